"""Spans and events of one request as plain objects, from a journal line or from a stored row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from telemetry import fields
from telemetry.tables import RESOURCE, attributes
from telemetry.values import rfc3339

_STATUS = ("unset", "ok", "error")
_EVENT_NAMES = {
    "event_id": "event_id",
    "event_type": "event_type",
    "schema_version": "schema_version",
    "trace.id": "trace_id",
    "span.id": "span_id",
    **RESOURCE,
}


@dataclass(frozen=True)
class SpanEvent:
    """Something that happened inside a span."""

    name: str
    time_ns: int
    attributes: dict[str, Any]


@dataclass(frozen=True)
class Span:
    """One span, as it was written. Times are ns since 1970; `parent_id` is "" for a root."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    start_ns: int
    end_ns: int
    status: str
    status_message: str
    attributes: dict[str, Any]
    events: tuple[SpanEvent, ...]
    resource: dict[str, Any]

    @property
    def ms(self) -> float:
        """Duration in milliseconds."""
        return (self.end_ns - self.start_ns) / 1e6


def event_time(event: Mapping[str, Any]) -> str:
    """The event's time as text that sorts: RFC 3339, UTC, nine decimals."""
    return event["@timestamp"]


def event_ns(event: Mapping[str, Any]) -> int:
    """The event's time in ns since 1970."""
    whole, _, fraction = event["@timestamp"].removesuffix("Z").partition(".")
    return int(datetime.fromisoformat(whole + "+00:00").timestamp()) * 1_000_000_000 + int(fraction.ljust(9, "0"))


def parse_spans(line: bytes) -> Iterator[Span]:
    """The spans of one OTLP/JSON line."""
    for group in orjson.loads(line)["resourceSpans"]:
        resource = attributes(group["resource"].get("attributes", []))
        for scope in group["scopeSpans"]:
            for span in scope["spans"]:
                yield _parsed(span, resource)


def _parsed(span: dict[str, Any], resource: dict[str, Any]) -> Span:
    status = span.get("status", {})
    events = (SpanEvent(e["name"], int(e["timeUnixNano"]), attributes(e.get("attributes", []))) for e in span.get("events", []))
    return Span(
        name=span["name"],
        trace_id=span["traceId"],
        span_id=span["spanId"],
        parent_id=span.get("parentSpanId", ""),
        start_ns=int(span["startTimeUnixNano"]),
        end_ns=int(span["endTimeUnixNano"]),
        status=_STATUS[status.get("code", 0)],
        status_message=status.get("message", ""),
        attributes=attributes(span.get("attributes", [])),
        events=tuple(events),
        resource=resource,
    )


def stored_span(row: Mapping[str, Any]) -> Span:
    """The span of a row of `telemetry.tables.schema("spans")` whose times are ns since 1970."""
    # Only a record span has its trace id among its attributes too.
    known = {name: row[name] for name in fields.BY_NAME if row.get(name) is not None and (row["is_record"] or name != "trace_id")}
    events = orjson.loads(row["span_events"] or b"[]")
    return Span(
        name=row["name"],
        trace_id=row["trace_id"],
        span_id=row["span_id"],
        parent_id=row["parent_id"],
        start_ns=row["start_at"],
        end_ns=row["end_at"],
        status=row["span_status"],
        status_message=row["span_message"] or "",
        attributes=known | orjson.loads(row["extra"] or b"{}"),
        events=tuple(SpanEvent(name, at, found) for name, at, found in events),
        resource={name: row[column] for name, column in RESOURCE.items() if row[column] is not None},
    )


def stored_event(row: Mapping[str, Any]) -> dict[str, Any]:
    """The event of a row of `telemetry.tables.schema("events")` whose times are ns since 1970, under the names of the journal."""
    event = {"@timestamp": rfc3339(row["logged_at"])}
    event |= {name: row[column] for name, column in _EVENT_NAMES.items() if row[column] is not None}
    for name, field in fields.BY_NAME.items():
        if row.get(name) is not None:
            event[name] = rfc3339(row[name]) if field.dtype == "time" else row[name]
    return event | orjson.loads(row["extra"] or b"{}")
