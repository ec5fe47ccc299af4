"""What happened on the same host shortly before a stage began: a question that needs the spans and the events."""

from __future__ import annotations

import pyarrow as pa

from analytics.stores.base import Range
from analytics.stores.duck import arrow
from analytics.stores.local import LocalStore


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
