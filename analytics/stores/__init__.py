"""Where telemetry is read from."""
