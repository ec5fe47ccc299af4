"""The journal on this machine's disk, read as it grows: no server, no waiting."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from telemetry.segments import read_lines

_STATUS = ("unset", "ok", "error")


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


class LocalStore:
    """Reads the segments below a journal folder, live ones included."""

    def __init__(self, journal_dir: Path):
        self._journal_dir = journal_dir

    def spans(self, trace_id: str) -> list[Span]:
        """The spans of a trace in the order of their start; empty where there are none."""
        found = [span for line in read_lines(self._journal_dir, "spans", trace_id.encode()) for span in parse_spans(line)]
        return sorted((span for span in found if span.trace_id == trace_id), key=lambda span: (span.start_ns, -span.end_ns))

    def events(self, request_id: str) -> list[dict[str, Any]]:
        """The events of a request in the order of their time; empty where there are none."""
        found = (orjson.loads(line) for line in read_lines(self._journal_dir, "events", request_id.encode()))
        return sorted((event for event in found if event.get("request_id") == request_id), key=event_time)

    def find(self, id: str) -> str | None:
        """The request that has `id` as its request_id, job_id, trace_id or client_request_id; the newest where there are several."""
        names = ("request_id", "job_id", "trace.id", "trace_id", "client_request_id")
        matches: list[dict[str, Any]] = []
        for line in read_lines(self._journal_dir, "events", id.encode()):
            event = orjson.loads(line)
            if "request_id" in event and any(event.get(name) == id for name in names):
                matches.append(event)
        return max(matches, key=event_time)["request_id"] if matches else None


def event_time(event: dict[str, Any]) -> str:
    """The event's time as text that sorts: RFC 3339, UTC, nine decimals."""
    return event["@timestamp"]


def event_ns(event: dict[str, Any]) -> int:
    """The event's time in ns since 1970."""
    whole, _, fraction = event["@timestamp"].removesuffix("Z").partition(".")
    return int(datetime.fromisoformat(whole + "+00:00").timestamp()) * 1_000_000_000 + int(fraction.ljust(9, "0"))


def parse_spans(line: bytes) -> Iterator[Span]:
    """The spans of one OTLP/JSON line."""
    for group in orjson.loads(line)["resourceSpans"]:
        resource = _attributes(group["resource"].get("attributes", []))
        for scope in group["scopeSpans"]:
            for span in scope["spans"]:
                yield _span(span, resource)


def _span(span: dict[str, Any], resource: dict[str, Any]) -> Span:
    status = span.get("status", {})
    events = (SpanEvent(e["name"], int(e["timeUnixNano"]), _attributes(e.get("attributes", []))) for e in span.get("events", []))
    return Span(
        name=span["name"],
        trace_id=span["traceId"],
        span_id=span["spanId"],
        parent_id=span.get("parentSpanId", ""),
        start_ns=int(span["startTimeUnixNano"]),
        end_ns=int(span["endTimeUnixNano"]),
        status=_STATUS[status.get("code", 0)],
        status_message=status.get("message", ""),
        attributes=_attributes(span.get("attributes", [])),
        events=tuple(events),
        resource=resource,
    )


def _attributes(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    return {pair["key"]: _value(pair["value"]) for pair in pairs}


def _value(value: dict[str, Any]) -> Any:
    """An OTLP value as Python has it: 64-bit integers come as text, and a whole double must not turn into an int."""
    kind, content = next(iter(value.items()))
    match kind:
        case "intValue":
            return int(content)
        case "doubleValue":
            return float(content)
        case "arrayValue":
            return [_value(item) for item in content.get("values", [])]
        case _:
            return content
