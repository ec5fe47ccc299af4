"""The benchmark of the stores runs, so that it cannot rot."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.elasticsearch import Elasticsearch


@pytest.mark.server
@pytest.mark.timeout(300)
def test_the_benchmark_of_the_stores_runs_at_a_tiny_size(elasticsearch: Elasticsearch) -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "bench.stores", "--tiny", "--elasticsearch-url", elasticsearch.url]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    for words in ("forwarder", "events into Arrow"):
        assert words in done.stdout
