"""Results are kept for a stated time: then the files go and the job says so, and after as long again the job goes, too.

Uploads are kept for a stated time after their last use.
"""

from __future__ import annotations

import time

from deployments.artifacts import Artifacts
from serve.jobs import JobTable


def sweep(table: JobTable, store: Artifacts, keep_s: float) -> int:
    """Removes what ended more than `keep_s` seconds ago; returns how many results. Blocking; raises as the store does.

    Telemetry is not touched: the record of a request has a retention of its own.
    """
    limit = time.time_ns() - int(keep_s * 1e9)
    results = table.ended_before(limit, removed=False)
    for row in results:
        # The files first: a job whose files are there and which says they are gone would never be looked at again.
        store.remove_result(row["request_id"])
        table.update(row["job_id"], removed_ns=time.time_ns())
    for row in table.ended_before(limit - int(keep_s * 1e9), removed=True):
        table.remove(row)
    return len(results)


def sweep_assets(table: JobTable, store: Artifacts, keep_s: float) -> int:
    """Removes uploads that nobody has used for `keep_s` seconds and no unfinished job needs; returns how many.

    Blocking; raises as the store does.
    """
    limit = time.time() - keep_s
    stale = [name for name, used_at in store.uploads() if used_at < limit]
    if not stale:
        return 0
    wanted = table.wanted_assets()
    # Looked at once more: a request may have used it since. What a killed upload left (.part) is stale, too.
    used = dict(store.uploads())
    gone = [name for name in stale if name.rpartition("/")[2] not in wanted and used.get(name, limit) < limit]
    for name in gone:
        store.remove(name)
    table.forget_assets([name.rpartition("/")[2] for name in gone])
    return len(gone)
