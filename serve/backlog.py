"""What the jobs in the table still cost, in seconds of one replica: steps x seconds x pixels, priced by what jobs took."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa

from serve import jobs
from serve.scaling import WINDOW_S, Backlog
from serve.tables import JOBS

UNIT_S = 4e-8
"""Seconds of a device for one step x second x pixel, until jobs have shown it. Measured: inference of 10 s at 256 px and 25 steps
took 0.65 s (median of 16; lite, one thread, two busy cores). Steps cost lite little, so this errs where they are many or few."""
USUAL_S = 10.0
"""Length of a speech of which nothing is known."""
ENOUGH = 5
PAST = 200
"""Newest ended jobs from which prices are taken."""
LIKE = ("model_name", "inference_steps", "min_resolution", "fps")

Kind = tuple[Any, ...]


def units(values: Mapping[str, Any], seconds: float) -> float:
    """Steps x seconds x pixels of a request (a square of `min_resolution`: the other side is not known before the picture is)."""
    return float(values["inference_steps"]) * seconds * float(values["min_resolution"]) ** 2


@dataclass(frozen=True)
class Prices:
    """Seconds for a second of video of each kind (LIKE), for a unit where the kind is new, and how long a speech usually is."""

    kinds: Mapping[Kind, float] = field(default_factory=dict)
    unit_s: float = UNIT_S
    usual_s: float = USUAL_S

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]]) -> Prices:
        """From ended jobs (`values` and `result`). A kind with fewer than ENOUGH of them has no price of its own."""
        seconds: dict[Kind, list[float]] = defaultdict(list)
        each: list[float] = []
        lengths: list[float] = []
        for row in rows:
            values, result = row["values"], row["result"] or {}
            device_s, video_s = result.get("device_s"), result.get("video_s")
            if device_s and video_s:
                seconds[_kind(values)].append(device_s / video_s)
                each.append(device_s / units(values, video_s))
                lengths.append(video_s)
        if len(each) < ENOUGH:
            return cls()
        kinds = {kind: statistics.median(found) for kind, found in seconds.items() if len(found) >= ENOUGH}
        return cls(kinds, statistics.median(each), statistics.median(lengths))

    def seconds(self, values: Mapping[str, Any]) -> float:
        """Seconds of a replica that a request will take."""
        length = values.get("duration_s") or self.usual_s
        own = self.kinds.get(_kind(values))
        return own * length if own is not None else self.unit_s * units(values, length)


def backlog(rows: Sequence[Mapping[str, Any]], prices: Prices) -> Backlog:
    """What these queued and running jobs still need; one whose last frame is drawn needs nothing."""
    found = Backlog()
    for row in rows:
        left = 1.0 - (row["frames"] or 0) / row["frames_total"] if row["frames_total"] else 1.0
        if row["operation"] == "generate" and left > 0:
            found = Backlog(found.jobs + 1, found.seconds + left * prices.seconds(row["values"]))
    return found


class Arrivals:
    """What came in the last WINDOW_S, read bit by bit: each look reads only what is new since the last."""

    def __init__(self) -> None:
        self._read_ns = time.time_ns() - int(WINDOW_S * 1e9)
        self._came: deque[tuple[int, float]] = deque()

    def look(self, engine: sa.Engine, prices: Prices) -> tuple[int, float]:
        """Jobs of the window, and their seconds of a replica as priced when they came. Raises sqlalchemy.exc.DatabaseError."""
        query = sa.select(JOBS.c.accepted_ns, JOBS.c.operation, JOBS.c["values"]).where(JOBS.c.accepted_ns > self._read_ns)
        for row in _rows(engine, query.order_by(JOBS.c.accepted_ns)):
            self._read_ns = row["accepted_ns"]
            if row["operation"] == "generate":
                self._came.append((row["accepted_ns"], prices.seconds(row["values"])))
        oldest = time.time_ns() - int(WINDOW_S * 1e9)
        while self._came and self._came[0][0] < oldest:
            self._came.popleft()
        return len(self._came), sum(seconds for _, seconds in self._came)


def seen(engine: sa.Engine, prices: Prices, arrivals: Arrivals) -> Backlog:
    """The backlog of now, with what came lately. Raises sqlalchemy.exc.DatabaseError."""
    came, came_s = arrivals.look(engine, prices)
    return replace(backlog(unfinished(engine), prices), came=came, came_s=came_s)


def unfinished(engine: sa.Engine) -> list[dict[str, Any]]:
    """The queued and running jobs. Raises sqlalchemy.exc.DatabaseError."""
    columns = (JOBS.c.operation, JOBS.c["values"], JOBS.c.frames, JOBS.c.frames_total)
    return _rows(engine, sa.select(*columns).where(JOBS.c.state.in_((jobs.QUEUED, jobs.RUNNING))))


def past(engine: sa.Engine) -> list[dict[str, Any]]:
    """The newest jobs that succeeded. Raises sqlalchemy.exc.DatabaseError."""
    query = sa.select(JOBS.c["values"], JOBS.c.result).where(JOBS.c.state == jobs.SUCCEEDED)
    return _rows(engine, query.order_by(JOBS.c.ended_ns.desc()).limit(PAST))


def _rows(engine: sa.Engine, query: sa.Executable) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(query).mappings()]


def _kind(values: Mapping[str, Any]) -> Kind:
    return tuple(values.get(name) for name in LIKE)
