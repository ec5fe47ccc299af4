"""Logs of the supervised processes are bounded."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from sonoscope.supervisor import Child, rotate

WRITER = "import sys, time\nfor n in range(20_000):\n    print(n, flush=True)\n    time.sleep(0 if n % 2000 else 0.05)\n"


def test_a_log_that_a_process_has_open_begins_anew_and_the_older_part_stays(tmp_path: Path) -> None:
    log = tmp_path / "child.log"
    child = Child("child", [sys.executable, "-c", WRITER])
    child.start({}, log)
    assert child.process is not None
    rotations = 0
    while child.process.poll() is None:
        before = log.stat().st_size
        rotate(tmp_path, 10_000)
        rotations += log.stat().st_size < before
        time.sleep(0.001)
    child.process.wait()
    assert rotations >= 2
    # Written at the new end, not at the old place with zeros before it.
    assert b"\0" not in log.read_bytes()
    assert log.read_text().splitlines()[-1] == "19999"
    assert (tmp_path / "child.log.1").stat().st_size > 10_000
