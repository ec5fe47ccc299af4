"""What the devices do: one Ray Serve deployment a file, its mathematics in a plain class beside it."""
