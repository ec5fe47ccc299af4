"""`python -m sonoscope`."""

from sonoscope.cli import main

main()
