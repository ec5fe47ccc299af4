"""The benchmark runs, so that it cannot rot."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_the_reading_benchmark_runs_at_a_tiny_size() -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "bench.read", "--tiny"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, timeout=100)
    assert done.returncode == 0, done.stderr
    for words in ("join of 1000 requests", "only counted", "filter", "live end, 1000 events"):
        assert words in done.stdout
