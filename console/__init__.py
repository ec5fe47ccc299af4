"""The console: draws what `analytics` returns. Its pages come in a later version."""
