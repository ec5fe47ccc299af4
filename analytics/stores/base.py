"""What every store answers, whoever keeps the telemetry: Arrow tables that say what was asked and whether something was cut off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from analytics.filters import Filter


@dataclass(frozen=True)
class Range:
    """Moments in ns since 1970: from `since` on, before `until`; None = open."""

    since: int | None = None
    until: int | None = None


@dataclass(frozen=True)
class Answer:
    """Rows, whether there are more than these, and the question in words."""

    table: pa.Table
    truncated: bool
    asked: str


class TraceStore(Protocol):
    """Spans, with the columns of `telemetry.tables.schema("spans")`."""

    def search(self, where: Filter | None, range: Range, *, limit: int | None = None) -> Answer:
        """Record spans; at least those that pass the filter."""
        ...

    def trace(self, trace_id: str) -> Answer:
        """Every span of a trace, in the order of their start."""
        ...

    def values(self, field: str, range: Range) -> Answer:
        """`value` and `count` of a field of the record spans, the most frequent first."""
        ...


class LogStore(Protocol):
    """Events, with the columns of `telemetry.tables.schema("events")`."""

    def search(self, where: Filter | None, range: Range, *, limit: int | None = None) -> Answer:
        """Events of every type; of the terminal ones at least those that pass the filter."""
        ...

    def surrounding(self, event_id: str, before: int, after: int) -> Answer:
        """The event between its `before` predecessors and `after` successors on the same host."""
        ...

    def count_by(self, field: str, range: Range) -> Answer:
        """`value` and `count` of a field of the events, the most frequent first."""
        ...
