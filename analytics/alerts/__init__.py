"""Alerts: conditions over requests in a window, and messages that name the fix and the files."""
