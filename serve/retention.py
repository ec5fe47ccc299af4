"""Results are kept for a stated time: then the files go and the job says so, and after as long again the job goes, too."""

from __future__ import annotations

import time
from pathlib import Path

from serve.jobs import JobTable


def sweep(table: JobTable, videos: Path, keep_s: float) -> int:
    """Removes what ended more than `keep_s` seconds ago; returns how many results. Blocking.

    Telemetry is not touched: the record of a request has a retention of its own.
    """
    limit = time.time_ns() - int(keep_s * 1e9)
    results = table.ended_before(limit, removed=False)
    for row in results:
        # The files first: a job whose files are there and which says they are gone would never be looked at again.
        remove_files(videos, row["request_id"])
        table.update(row["job_id"], removed_ns=time.time_ns())
    for row in table.ended_before(limit - int(keep_s * 1e9), removed=True):
        table.remove(row)
    return len(results)


def remove_files(videos: Path, request_id: str) -> None:
    """Removes whatever there is of a request: its video, what belongs to it, and what a killed encoder was writing."""
    for path in (*videos.glob(f"{request_id}.*"), *videos.glob(f".{request_id}.*")):
        path.unlink(missing_ok=True)
