"""A file that somebody drops is explained by the command line in a process of its own, with bounds: a video is a stranger's."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from console.data import data_dir

MOST_BYTES = 200 * 2**20
SECONDS = 180.0
"""Wall clock: following a mouth costs about a third of a second a second of video, ten minutes are looked at."""
CPU_S = 300
MEMORY_KB = 8 * 2**20
"""Of address space; mapped libraries count, so this is far above what is used."""
FILE_BLOCKS = 2**16
"""Of 512 bytes that may be written to one file: the answer goes to a pipe."""
_ONE = threading.Semaphore(1)


class ExplainError(Exception):
    """The file cannot be explained; the message says why."""


def explain(video: bytes, department: str | None) -> dict[str, Any]:
    """What `sonoscope explain FILE --json` says, from one department's requests or from all. One at a time. Raises ExplainError."""
    if len(video) > MOST_BYTES:
        raise ExplainError(f"The file is larger than {MOST_BYTES // 2**20} MB.")
    if not _ONE.acquire(timeout=SECONDS):
        raise ExplainError("Another file is being explained; try again.")
    try:
        with tempfile.TemporaryDirectory(prefix="sonoscope-explain-") as folder:
            path = Path(folder) / "dropped.mp4"  # its own name is the sender's and goes nowhere
            path.write_bytes(video)
            return _asked(path, department)
    finally:
        _ONE.release()


def _asked(path: Path, department: str | None) -> dict[str, Any]:
    rows = os.environ.get("SONOSCOPE_ROWS")
    where = ["--input", rows] if rows else ["--data-dir", str(data_dir())]
    own = [] if department is None else [f"--department={department}"]
    answer, words = _run([sys.executable, "-m", "sonoscope", "explain", str(path), "--json", *where, *own], path.parent)
    try:
        told = json.loads(answer)
    except ValueError:
        last = words.strip().splitlines() or ["the process was ended by a bound"]
        raise ExplainError(last[0].removeprefix("error: ")) from None
    if "error" in told:
        raise ExplainError(f"{told['error']['message']} {told['error'].get('hint') or ''}".strip())
    return told


def _run(command: list[str], folder: Path) -> tuple[str, str]:
    """What a command prints to standard output and error, within the bounds. Raises ExplainError where it takes too long."""
    bounds = f'ulimit -t {CPU_S} && ulimit -v {MEMORY_KB} && ulimit -f {FILE_BLOCKS} && exec "$@"'
    child = subprocess.Popen(
        ["/bin/sh", "-c", bounds, "sh", *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, cwd=folder, start_new_session=True, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )  # fmt: skip
    try:
        return child.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        raise ExplainError(f"It took longer than {SECONDS:.0f} s.") from None
