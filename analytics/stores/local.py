"""The telemetry on this disk, read as it grows: Parquet of the manifest and live segments as one. No server, no waiting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from analytics.columns import vocabulary
from analytics.filters import Filter
from analytics.filters.sql import literal, quoted
from analytics.stores import lookup
from analytics.stores.base import Answer, Range
from analytics.stores.duck import arrow
from analytics.stores.mapping import Mapping
from analytics.stores.snapshot import Reader, Snapshot
from analytics.stores.spans import Span, SpanEvent, event_ns, event_time, parse_spans
from telemetry.segments import Kind

__all__ = ["LocalLogs", "LocalStore", "LocalTraces", "Span", "SpanEvent", "event_ns", "event_time", "parse_spans"]

SLACK_NS = 300_000_000_000
"""What hosts' clocks may differ by: so much earlier than the range a request's first line may lie."""


class LocalStore:
    """Journal and Parquet folder of one data folder (by default `parquet` beside the journal), read under a mapping's names."""

    def __init__(self, journal_dir: Path, parquet_dir: Path | None = None, mapping: Mapping | None = None) -> None:
        self.mapping = mapping or Mapping()
        self.journal_dir = journal_dir
        self.parquet_dir = parquet_dir or journal_dir.parent / "parquet"
        self._reader = Reader(journal_dir, self.parquet_dir)
        self.traces = LocalTraces(self)
        self.logs = LocalLogs(self)

    def position(self) -> tuple[int, tuple[tuple[str, int], ...]]:
        """Where the files end; equal positions mean equal lines."""
        return self._reader.position()

    def spans(self, trace_id: str) -> list[Span]:
        """The spans of a trace in the order of their start; empty where there are none."""
        return lookup.spans(self.journal_dir, self.parquet_dir, trace_id)

    def events(self, request_id: str) -> list[dict[str, Any]]:
        """The events of a request in the order of their time; empty where there are none."""
        return lookup.events(self.journal_dir, self.parquet_dir, request_id)

    def find(self, id: str) -> str | None:
        """The request with this request_id, job_id, trace_id or client_request_id; the newest where there are several."""
        return lookup.find(self.journal_dir, self.parquet_dir, id)

    @contextmanager
    def open(self, range: Range | None = None) -> Iterator[tuple[duckdb.DuckDBPyConnection, Snapshot]]:
        """A connection with the views `spans` and `events`: every row of one moment that the range can concern.

        Raises OSError where the files cannot be read, ValueError where the manifest is not ours.
        """
        since = None if range is None or range.since is None else range.since - SLACK_NS
        snapshot = self._reader.take()
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = false")
            for kind, live in snapshot.live.items():
                connection.register(f"live_{kind}", live.table)
                source = f"({_union(kind, snapshot.paths(kind, since))})"
                connection.execute(f"CREATE VIEW {kind} AS {self.mapping.view(kind, source)}")
            yield connection, snapshot


def _union(kind: Kind, paths: list[str]) -> str:
    live = f"SELECT * FROM live_{kind}"
    if not paths:
        return live
    listed = ", ".join(map(literal, paths))
    # By name, and the live table always has today's columns: files of an older schema have fewer.
    return f"{live} UNION ALL BY NAME SELECT * FROM read_parquet([{listed}], union_by_name = true)"


class LocalTraces:
    """The TraceStore of the local files."""

    def __init__(self, store: LocalStore) -> None:
        self._store = store

    def search(self, where: Filter | None, range: Range, *, limit: int | None = None) -> Answer:
        """Record spans in the range, the newest first; filters are applied by the join, so all of them are returned."""
        bounds = _bounds("start_at", range)
        return self._ask(f"SELECT * FROM spans WHERE is_record AND {bounds} ORDER BY start_at DESC", range, limit, where)

    def trace(self, trace_id: str) -> Answer:
        """Every span of a trace, in the order of their start."""
        return self._ask("SELECT * FROM spans WHERE trace_id = ? ORDER BY start_at", Range(), None, None, trace_id)

    def values(self, field: str, range: Range) -> Answer:
        """`value` and `count` of a field of the record spans, the most frequent first. Raises KeyError for an unknown field."""
        return self._ask(_counted(field, "spans", f"is_record AND {_bounds('start_at', range)}"), range, None, None)

    def _ask(self, query: str, range: Range, limit: int | None, where: Filter | None, *parameters: Any) -> Answer:
        return _ask(self._store, query, range, limit, where, *parameters)


class LocalLogs:
    """The LogStore of the local files."""

    def __init__(self, store: LocalStore) -> None:
        self._store = store

    def search(self, where: Filter | None, range: Range, *, limit: int | None = None) -> Answer:
        """Events in the range, the newest first; filters are applied by the join, so all of them are returned."""
        return _ask(
            self._store, f"SELECT * FROM events WHERE {_bounds('logged_at', range)} ORDER BY logged_at DESC", range, limit, where
        )

    def surrounding(self, event_id: str, before: int, after: int) -> Answer:
        """The event between its `before` predecessors and `after` successors on the same host; empty where it is unknown."""
        query = """
            WITH centre AS (SELECT logged_at, event_id, host_name FROM events WHERE event_id = $id LIMIT 1),
            near AS (SELECT e.* FROM events e, centre c WHERE e.host_name IS NOT DISTINCT FROM c.host_name),
            earlier AS (SELECT n.* FROM near n, centre c WHERE (n.logged_at, n.event_id) < (c.logged_at, c.event_id)
                        ORDER BY n.logged_at DESC, n.event_id DESC LIMIT $before),
            later AS (SELECT n.* FROM near n, centre c WHERE (n.logged_at, n.event_id) >= (c.logged_at, c.event_id)
                      ORDER BY n.logged_at, n.event_id LIMIT $after + 1)
            SELECT * FROM (FROM earlier UNION ALL FROM later) ORDER BY logged_at, event_id"""
        with self._store.open() as (connection, _):
            found = arrow(connection, query, {"id": event_id, "before": before, "after": after})
        return Answer(found, False, f"{before} events before and {after} after {event_id}")

    def count_by(self, field: str, range: Range) -> Answer:
        """`value` and `count` of a field of the events, the most frequent first. Raises KeyError for an unknown field."""
        return _ask(self._store, _counted(field, "events", _bounds("logged_at", range)), range, None, None)


def _ask(store: LocalStore, query: str, range: Range, limit: int | None, where: Filter | None, *parameters: Any) -> Answer:
    with store.open(range) as (connection, _):
        # One row more than asked for tells whether there are more.
        cut = "" if limit is None else f" LIMIT {int(limit) + 1}"
        found = arrow(connection, query + cut, list(parameters))
    truncated = limit is not None and found.num_rows > limit
    return Answer(found.slice(0, limit) if truncated else found, truncated, where.text if where else "")


def _counted(field: str, view: str, condition: str) -> str:
    column = field if field == "event_type" else vocabulary()[field].column
    counted = f"SELECT {quoted(column)}::VARCHAR AS value, count(*) AS count FROM {view}"
    return f"{counted} WHERE {condition} AND {quoted(column)} IS NOT NULL GROUP BY value ORDER BY count DESC, value"


def _bounds(column: str, range: Range) -> str:
    low = "true" if range.since is None else f"epoch_ns({column}) >= {int(range.since)}"
    high = "true" if range.until is None else f"epoch_ns({column}) < {int(range.until)}"
    return f"{low} AND {high}"
