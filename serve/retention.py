"""Results are kept for a stated time: then the files go and the job says so, and after as long again the job goes, too.

Uploads are kept for a stated time after their last use.
"""

from __future__ import annotations

import math
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


def sweep_assets(table: JobTable, assets: Path, keep_s: float) -> int:
    """Removes uploads that nobody has used for `keep_s` seconds and no unfinished job needs; returns how many. Blocking."""
    limit = time.time() - keep_s
    stale = [path for path in assets.iterdir() if _used(path) < limit]
    if not stale:
        return 0
    wanted = table.wanted_assets()
    # Looked at once more: a request may have used it since. What a killed upload left (.part) is stale, too.
    gone = [path for path in stale if path.name not in wanted and _used(path) < limit]
    for path in gone:
        path.unlink(missing_ok=True)
    table.forget_assets([path.name for path in gone])
    return len(gone)


def _used(path: Path) -> float:
    """When an upload was last used; never, if it has just got its name or gone."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return math.inf


def remove_files(videos: Path, request_id: str) -> None:
    """Removes whatever there is of a request: its video, what belongs to it, and what a killed encoder was writing."""
    for path in (*videos.glob(f"{request_id}.*"), *videos.glob(f".{request_id}.*")):
        path.unlink(missing_ok=True)
