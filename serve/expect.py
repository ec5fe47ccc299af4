"""How long a job will take, from what like jobs took: the baselines of the table's own past rows."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from serve import jobs
from serve.jobs import JobTable, Row
from serve.tables import JOBS

LIKE = ("model_name", "inference_steps", "min_resolution", "fps")
"""Like jobs have the same values of these. The length of the sound is not known before it is decoded."""
ENOUGH = 5
"""Fewer rows say nothing of what is usual."""
PAST = 200
"""Rows that are looked at: the newest, because replicas and machines change."""
LATELY = 50
"""Of them, those that say how many devices work at a time: replicas come and go within minutes."""
KEEP_S = 5.0
"""The past is read again after so long: 200 rows take 4 ms."""

Kind = tuple[Any, ...]


class Expectation:
    """Medians of what past jobs took, read now and then."""

    def __init__(self, table: JobTable):
        self._table = table
        self._read_at = float("-inf")
        self._whole: dict[Kind, float] = {}
        self._device: dict[Kind, float] = {}
        self._at_once = 1.0

    def outlook(self, row: Row) -> tuple[int | None, float | None]:
        """Queued jobs before this one (None unless it is queued), and seconds from now until it ends (None where too little is
        known or it has ended). Blocking."""
        if row["state"] in jobs.FINAL_STATES:
            return None, None
        ahead = self._table.ahead(row) if row["state"] == jobs.QUEUED else []
        position = sum(other["state"] == jobs.QUEUED for other in ahead) if row["state"] == jobs.QUEUED else None
        self._refresh()
        own = _of(self._whole, row["values"])
        if own is None:
            return position, None
        if row["state"] == jobs.RUNNING:
            return position, max(0.0, own - _age_s(row["started_ns"]))
        # Those ahead cost their time on the devices, of which the running ones have spent some.
        waits = 0.0
        for other in ahead:
            device = _of(self._device, other["values"]) or own
            waits += max(0.0, device - _age_s(other["started_ns"])) if other["state"] == jobs.RUNNING else device
        return position, waits / self._at_once + own

    def drain_s(self) -> float | None:
        """Seconds until what is queued now has gone through the devices; None where too little is known. Blocking."""
        self._refresh()
        usual = self._device.get(())
        return None if usual is None else usual * self._table.waiting() / self._at_once

    def _refresh(self) -> None:
        if time.monotonic() - self._read_at < KEEP_S:
            return
        self._read_at = time.monotonic()
        query = sa.select(JOBS.c["values"], JOBS.c.started_ns, JOBS.c.ended_ns, JOBS.c.result).where(JOBS.c.state == jobs.SUCCEEDED)
        with self._table.engine.connect() as connection:
            rows = connection.execute(query.order_by(JOBS.c.ended_ns.desc()).limit(PAST)).mappings().all()
        whole: dict[Kind, list[float]] = defaultdict(list)
        device: dict[Kind, list[float]] = defaultdict(list)
        for row in rows:
            took = (row["ended_ns"] - row["started_ns"]) / 1e9
            for kind in (_kind(row["values"]), ()):
                whole[kind].append(took)
                device[kind].append((row["result"] or {}).get("device_s") or took)
        self._whole, self._device = _medians(whole), _medians(device)
        self._at_once = _at_once(rows[:LATELY])


def _at_once(rows: Sequence[Row]) -> float:
    """How many devices worked at a time while any of these jobs ran: devices' seconds over the seconds in which a job ran.

    1 at least: of jobs that came one by one nothing more is known.
    """
    busy_ns = until_ns = 0
    for row in sorted(rows, key=lambda row: row["started_ns"]):
        busy_ns += max(0, row["ended_ns"] - max(row["started_ns"], until_ns))
        until_ns = max(until_ns, row["ended_ns"])
    device_s = sum((row["result"] or {}).get("device_s") or 0.0 for row in rows)
    return max(1.0, device_s * 1e9 / busy_ns) if busy_ns else 1.0


def _kind(values: Mapping[str, Any]) -> Kind:
    return tuple(values.get(name) for name in LIKE)


def _of(medians: Mapping[Kind, float], values: Mapping[str, Any]) -> float | None:
    return medians.get(_kind(values), medians.get(()))


def _medians(found: Mapping[Kind, list[float]]) -> dict[Kind, float]:
    return {kind: statistics.median(times) for kind, times in found.items() if len(times) >= ENOUGH}


def _age_s(since_ns: int | None) -> float:
    return 0.0 if since_ns is None else max(0.0, (time.time_ns() - since_ns) / 1e9)
