"""The plain mathematics of the media stages: sound and picture in, video out, exact facts of files. No Ray, no HTTP."""
