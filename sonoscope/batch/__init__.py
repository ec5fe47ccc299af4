"""Many videos from a manifest or from a folder of lessons: resumable, with retries and a count."""
