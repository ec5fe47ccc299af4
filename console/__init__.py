"""The console: pages that draw what `analytics` returns, and hold no logic of their own."""
