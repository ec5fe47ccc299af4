"""The kill matrix: processes die at random moments under load, and every accepted job still ends exactly once."""
