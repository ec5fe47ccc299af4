"""Which stores are read: the local files, unless an address names a server for the traces or for the logs."""

from __future__ import annotations

import builtins
from collections.abc import Mapping as Dict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from analytics.requests import Remote
from analytics.stores.base import Answer, LogStore, Range, TraceStore
from analytics.stores.duck import arrow
from analytics.stores.local import SLACK_NS, LocalStore, LocalTraces, event_time
from analytics.stores.mapping import Mapping
from analytics.stores.spans import Span, stored_event, stored_span

IDS_AT_ONCE = 500
"""Traces whose spans are asked for in one question."""


@dataclass(frozen=True)
class Addresses:
    """Where the servers are and how they let us in; nothing set = only local files."""

    tempo_url: str | None = None
    tempo_tenant: str | None = None
    tempo_headers: Dict[str, str] = field(default_factory=dict)
    elasticsearch_url: str | None = None
    elasticsearch_username: str | None = None
    elasticsearch_password: str | None = None
    elasticsearch_api_key: str | None = None
    elasticsearch_ca_file: str | None = None
    elasticsearch_index: str = "sonoscope-logs"


class Logs(LogStore, Protocol):
    """A log store that can also look a request up."""

    def for_join(self, range: Range, *, details: bool) -> Answer:
        """The events of requests accepted in the range, also those logged after it."""
        ...

    def events(self, request_id: str) -> Answer:
        """The events of a request."""
        ...

    def find(self, id: str) -> str | None:
        """The request with this id."""
        ...


class Traces(TraceStore, Protocol):
    """A trace store that can also give the spans of many traces."""

    def spans(self, trace_ids: Sequence[str], range: Range) -> Answer:
        """Every span of these traces."""
        ...


@dataclass(frozen=True)
class RemoteStore(Remote):
    """Traces and logs from two places, asked like one `LocalStore`."""

    traces: Traces
    logs: Logs

    def lines(self, range: Range, *, details: bool) -> tuple[Answer, Answer]:
        """Every span and event that the join of the range needs: without a filter, for coverage is counted over all rows."""
        events = self.logs.for_join(range, details=details)
        records = self.traces.search(None, range, limit=self.limit)
        below = self._below(records.table, events.table, range, details)
        spans = pa.concat_tables([records.table, *below], promote_options="default")
        return Answer(spans, records.truncated, records.asked), events

    def spans(self, trace_id: str) -> list[Span]:
        """The spans of a trace in the order of their start; empty where there are none."""
        once = {span.span_id: span for span in map(stored_span, _plain(self.traces.trace(trace_id).table))}
        return sorted(once.values(), key=lambda span: (span.start_ns, -span.end_ns))

    def events(self, request_id: str) -> list[dict[str, Any]]:
        """The events of a request in the order of their time; empty where there are none."""
        once = {event["event_id"]: event for event in map(stored_event, _plain(self.logs.events(request_id).table))}
        return sorted(once.values(), key=event_time)

    def find(self, id: str) -> str | None:
        """The request with this request_id, job_id, trace_id or client_request_id; the newest where there are several."""
        return self.logs.find(id)

    def _below(self, records: pa.Table, events: pa.Table, range: Range, details: bool) -> list[pa.Table]:
        """Child spans: of every trace for the details, else of those that did not end well (their record lacks stage times)."""
        ended = pa.concat_tables([table.select(["trace_id", "status"]) for table in (records, events)]).to_pylist()
        ok = set() if details else {row["trace_id"] for row in ended if row["status"] == "ok"}
        wanted = sorted({row["trace_id"] for row in ended if row["trace_id"]} - ok)
        starts = builtins.range(0, len(wanted), IDS_AT_ONCE)
        found = [self.traces.spans(wanted[start : start + IDS_AT_ONCE], range).table for start in starts]
        # A record span is among its trace's spans again, perhaps with fewer values.
        known = records["span_id"].combine_chunks()
        return [table.filter(pc.invert(pc.or_(table["is_record"], pc.is_in(table["span_id"], known)))) for table in found]  # pyright: ignore[reportAttributeAccessIssue]


class LocalHalf:
    """The local files as the log store or the trace store beside a server."""

    def __init__(self, store: LocalStore) -> None:
        self._store = store
        self.search = store.logs.search
        self.surrounding = store.logs.surrounding
        self.count_by = store.logs.count_by
        self.find = store.find

    def for_join(self, range: Range, *, details: bool) -> Answer:
        """Everything from shortly before the range on: the files are cheap to read."""
        since = None if range.since is None else range.since - SLACK_NS
        return self._store.logs.search(None, Range(since, None))

    def events(self, request_id: str) -> Answer:
        """The events of a request in the order of their time."""
        with self._store.open() as (connection, _):
            found = arrow(connection, "SELECT * FROM events WHERE request_id = ? ORDER BY logged_at", [request_id])
        return Answer(found, False, f"events of {request_id}")


class LocalSpans(LocalTraces):
    """The local files as the trace store beside a server's logs."""

    def spans(self, trace_ids: Sequence[str], range: Range) -> Answer:
        """Every span of these traces."""
        query = "SELECT * FROM spans WHERE list_contains(?, trace_id)"
        return self._ask(query, Range(), None, None, list(trace_ids))


def open_store(
    journal_dir: Path, parquet_dir: Path | None = None, *, mapping: Mapping | None = None, addresses: Addresses | None = None
) -> LocalStore | RemoteStore:
    """The store that the addresses name; what has none is read from the local files. Raises OSError for an address that is none."""
    local = LocalStore(journal_dir, parquet_dir, mapping)
    given = addresses or Addresses()
    if not given.tempo_url and not given.elasticsearch_url:
        return local
    return RemoteStore(traces=_traces(local, given), logs=_logs(local, given), mapping=local.mapping)


def _traces(local: LocalStore, given: Addresses) -> Traces:
    if not given.tempo_url:
        return LocalSpans(local)
    from analytics.stores.tempo import TempoStore

    return TempoStore(given.tempo_url, tenant=given.tempo_tenant, headers=given.tempo_headers, mapping=local.mapping)


def _logs(local: LocalStore, given: Addresses) -> Logs:
    if not given.elasticsearch_url:
        return LocalHalf(local)
    from analytics.stores.elasticsearch import ElasticLogs

    return ElasticLogs(
        given.elasticsearch_url,
        username=given.elasticsearch_username,
        password=given.elasticsearch_password,
        api_key=given.elasticsearch_api_key,
        ca_file=given.elasticsearch_ca_file,
        index=given.elasticsearch_index,
        mapping=local.mapping,
    )


def _plain(table: pa.Table) -> list[dict[str, Any]]:
    """The rows with times as ns since 1970."""
    for number, column in enumerate(table.schema):
        if pa.types.is_timestamp(column.type):
            table = table.set_column(number, column.name, table.column(number).cast(pa.int64()))
    return table.to_pylist()
