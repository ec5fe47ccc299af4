"""The questions asked of a store of any size: the counts are exact, the statistics over a sample that the answer states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import pandas as pd

from analytics.columns import vocabulary
from analytics.filters import Filter
from analytics.filters.sql import condition_of, quoted
from analytics.filters.syntax import Compare
from analytics.questions.arrivals import seen
from analytics.questions.capacity import SETTINGS, Seen
from analytics.questions.contrast import Contrast, contrast
from analytics.questions.filtered import columns_of
from analytics.questions.report import ROWS, Report, analyze, columns_needed
from analytics.questions.similar import Similar, similar
from analytics.questions.twin import Twin, twin
from analytics.requests import Joined
from analytics.sample import sample, sides
from telemetry import fields

COMPARED = 40_000
"""Rows that a contrast compares: with more, its answer comes later and says the same (a test holds that)."""
TIMED = 20_000
"""Rows that service times are taken from: the mean of a stage is then known to about 1 %."""
LIKELY = 20_000
"""Rows among which a twin is looked for, beside every request with the same input."""
SAME_INPUT = 2_000
T = TypeVar("T")


@dataclass(frozen=True)
class Asked(Generic[T]):
    """An answer, the `rows` that it was computed from, and of how many requests these are a sample."""

    answer: T
    rows: int
    of: int

    @property
    def sampled(self) -> bool:
        """True where the answer is over a part of the requests."""
        return self.rows < self.of


@dataclass(frozen=True)
class Contrasted(Asked[Contrast]):
    """A contrast, and the exact numbers of requests asked about (`bad`) and of all others (`rest`)."""

    bad: int
    rest: int


def effects_of(view: Joined, where: Filter | None, outcome: str, *, truncated: bool = False) -> Asked[Report]:
    """What goes with an outcome among the requests that have a parameter. Raises ValueError where it is no outcome."""
    columns = columns_needed(view.columns(), [outcome])
    parameters = [name for name in fields.names("parameter") if name in columns]
    rows = sample(view, columns, where, ROWS, any_of=parameters)
    return Asked(analyze(rows.table.to_pandas(), [outcome], truncated=truncated), rows.n, rows.of)


def contrast_of(view: Joined, where: Filter | None, bad: Filter, columns: Sequence[str], *, truncated: bool = False) -> Contrasted:
    """What differs in the requests that pass `bad` from the others. `columns`: what is compared."""
    found = sides(view, columns, where, bad, COMPARED)
    answer = contrast(found.table.to_pandas(), found.inside, filtered=columns_of(bad), truncated=truncated, stands=found.stands)
    return Contrasted(answer, found.table.num_rows, found.bad + found.rest, found.bad, found.rest)


@dataclass(frozen=True)
class Times:
    """Request rows for the questions of capacity, and how the requests of all arrived at a stage."""

    frame: pd.DataFrame
    seen: Seen


def times_of(view: Joined, where: Filter | None, stage: str) -> Asked[Times]:
    """The rows for `capacity`, `service_times` and `cost`."""
    wanted = {*SETTINGS, "request_id", "attempt", "started_at", "replica", "video_s", "device_s", "weight", "sampling_weight"}
    wanted |= {f"{one}_{kind}" for one in fields.STAGES for kind in ("ms", "busy_ms")}
    rows = sample(view, [name for name in view.columns() if name in wanted], where, TIMED)
    return Asked(Times(rows.table.to_pandas(), seen(view, where, stage)), rows.n, rows.of)


def twin_of(view: Joined, where: Filter | None, columns: Sequence[str], request_id: str) -> Asked[Twin | None]:
    """The good request that is most like one, looked for among all with the same input and a sample of the others.

    None where the request is not among the rows.
    """
    wanted = list(dict.fromkeys(("request_id", "audio_hash", *columns)))
    listed = ", ".join(map(quoted, wanted))
    one = view.typed(f"SELECT {listed} FROM requests WHERE request_id = ?", [request_id])
    if not one.num_rows:
        return Asked(None, 0, 0)
    condition, values = condition_of(where)
    same = f"SELECT {listed} FROM requests WHERE audio_hash = ? AND request_id <> ? AND {condition} LIMIT {SAME_INPUT}"
    alike = view.typed(same, [one.column("audio_hash")[0].as_py(), request_id, *values])
    rows = sample(view, wanted, where, LIKELY)
    frames = [table.to_pandas() for table in (one, alike, rows.table) if table.num_rows]
    frame = pd.concat(frames, ignore_index=True).drop_duplicates(["request_id"], ignore_index=True)
    return Asked(twin(frame, request_id), len(frame), max(rows.of, len(frame)))


def similar_of(view: Joined, where: Filter | None, columns: Sequence[str], row: Mapping[str, Any]) -> Asked[Similar | None]:
    """The earlier failures that read as this one, beside a sample of the other requests.

    None where the request is not among the rows.
    """
    wanted = list(dict.fromkeys(("request_id", "error_type", *columns)))
    listed = ", ".join(map(quoted, wanted))
    one = view.typed(f"SELECT {listed} FROM requests WHERE request_id = ?", [row["request_id"]])
    if not one.num_rows:
        return Asked(None, 0, 0)
    error_type = vocabulary()["error_type"]
    like = Filter("", Compare(error_type, "=", str(row.get("error_type") or "")))
    rows = sides(view, wanted, where, like, LIKELY)
    frame = pd.concat([one.to_pandas(), rows.table.to_pandas()], ignore_index=True)
    frame = frame.drop_duplicates(["request_id"], ignore_index=True)
    return Asked(similar(frame, row), rows.table.num_rows, rows.bad + rows.rest)
