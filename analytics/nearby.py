"""What happened beside a request: before one of its stages began, or around its failure in the same replica."""

from __future__ import annotations

import pyarrow as pa

from analytics.record import Record
from analytics.stores.base import LogStore, Range
from analytics.stores.duck import arrow
from analytics.stores.local import LocalStore

WIDER = 8
"""Events of the host that are looked through for each one of the replica: a node runs about as many processes."""


def around(logs: LogStore, record: Record, count: int, *, department: str | None = None) -> pa.Table:
    """The events of the replica in which a request failed, `count` before and after; of the whole host where the replica is not
    known (the request did not fail, or its failed stage left no span). Columns of `telemetry.tables.schema("events")`.

    With a `department` the events of others' requests are left out; those of no request (a replica's start) stay.
    """
    stage = record.request.get("failed_stage")
    failed = next((span for span in record.spans if span.name == stage), None)
    process = None if failed is None else (failed.resource.get("host.name"), failed.resource.get("process.pid"))
    own = [event for event in record.events if (event.get("host.name"), event.get("process.pid")) == process]
    centre = (own or record.events)[-1]["event_id"]
    if process is None:
        return _own(logs.surrounding(centre, count, count).table, department)
    near = _own(logs.surrounding(centre, WIDER * count, WIDER * count).table, department)
    pids, ids = near["process_pid"].to_pylist(), near["event_id"].to_pylist()
    kept = [place for place, pid in enumerate(pids) if pid == process[1] or ids[place] == centre]
    middle = next((number for number, place in enumerate(kept) if ids[place] == centre), 0)
    return near.take(kept[max(0, middle - count) : middle + count + 1])


def _own(near: pa.Table, department: str | None) -> pa.Table:
    if department is None:
        return near
    whose = zip(near["request_id"].to_pylist(), near["department"].to_pylist(), strict=True)
    return near.filter(pa.array([id is None or of == department for id, of in whose], pa.bool_()))


def preceded_by(store: LocalStore, stage: str, event_type: str, *, within_s: float, range: Range | None = None) -> pa.Table:
    """Spans of `stage` with the nearest event of the type on the same host at most `within_s` seconds before their start.

    Columns: request_id, trace_id, start_at, span_ms, event_id, event_request_id, before_s; the slowest spans first.
    """
    query = """
        SELECT s.request_id, s.trace_id, s.start_at, s.span_ms, e.event_id, e.request_id AS event_request_id,
            (epoch_ns(s.start_at) - epoch_ns(e.logged_at)) / 1e9 AS before_s
        FROM (SELECT * FROM spans WHERE name = $stage) s
        ASOF JOIN (SELECT * FROM events WHERE event_type = $event_type) e
            ON s.host_name = e.host_name AND s.start_at >= e.logged_at
        WHERE epoch_ns(s.start_at) - epoch_ns(e.logged_at) <= $within_s * 1e9
        ORDER BY s.span_ms DESC"""
    with store.open(range) as (connection, _):
        return arrow(connection, query, {"stage": stage, "event_type": event_type, "within_s": within_s})
