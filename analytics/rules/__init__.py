"""Known causes: a condition, what is behind it, what to do, and how often that was so before."""
