"""The vocabulary, and everything that writes telemetry. No Ray, no torch: usable in any Python service."""
