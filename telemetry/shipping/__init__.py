"""From the journal to other people's servers: nothing is forgotten before it was acknowledged."""
