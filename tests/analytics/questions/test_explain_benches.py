"""The benchmarks run, so that they cannot rot."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("name", "words"), [("contrast", ("cause first", "no cause at all", "times")), ("capacity", ("mean wait", "replicas needed"))]
)
def test_a_benchmark_runs_at_a_tiny_size(name: str, words: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", f"bench.{name}", "--tiny"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[3], timeout=110)
    assert done.returncode == 0, done.stderr
    assert all(word in done.stdout for word in words)
