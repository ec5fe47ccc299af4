"""A finished span as one line of OTLP/JSON in the journal: what any OTLP receiver takes as it stands.

Encoded by hand: the SDK has no JSON encoder, and its protobuf one takes 4 to 6 times as long (bench/telemetry.py).
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext

from telemetry.guard import guard
from telemetry.journal import Journal
from telemetry.losses import count_error
from telemetry.values import dumps

# SpanFlags of OTLP: "is_remote is known" and "is remote".
_HAS_IS_REMOTE, _IS_REMOTE = 0x100, 0x200
_END = b"]}]}]}"
_guard = guard("span")


class JournalSpanProcessor(SpanProcessor):
    """Writes every span to the journal at its end."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._seen: tuple[Resource | None, InstrumentationScope | None, bytes] = (None, None, b"")

    def on_end(self, span: ReadableSpan) -> None:
        """One line. Never raises; what the journal cannot take is counted there."""
        with _guard:
            # Nearly every span of a process has the same resource and scope, so they are serialised once.
            resource, scope, begin = self._seen
            if span.resource is not resource or span.instrumentation_scope is not scope:
                begin = encode_begin(span)
                self._seen = (span.resource, span.instrumentation_scope, begin)
            self._journal.write("spans", begin + dumps(encode_span(span)) + _END)

    def shutdown(self) -> None:
        """Seals the journal."""
        self._journal.close()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Nothing is ever held back."""
        return True


def encode_begin(span: ReadableSpan) -> bytes:
    """The line up to its span: resource and scope."""
    resource: dict[str, Any] = {"attributes": encode_attributes(span.resource.attributes)}
    scope: dict[str, Any] = {}
    if span.instrumentation_scope is not None:
        scope["name"] = span.instrumentation_scope.name
        if span.instrumentation_scope.version:
            scope["version"] = span.instrumentation_scope.version
        if span.instrumentation_scope.attributes:
            scope["attributes"] = encode_attributes(span.instrumentation_scope.attributes)
    return b'{"resourceSpans":[{"resource":%b,"scopeSpans":[{"scope":%b,"spans":[' % (dumps(resource), dumps(scope))


def encode_span(span: ReadableSpan) -> dict[str, Any]:
    """One span as OTLP/JSON has it: hexadecimal ids, 64-bit integers as strings, empty parts left out."""
    context, parent = span.context, span.parent
    assert context is not None
    row: dict[str, Any] = {"traceId": f"{context.trace_id:032x}", "spanId": f"{context.span_id:016x}"}
    if context.trace_state:
        row["traceState"] = context.trace_state.to_header()
    if parent is not None:
        row["parentSpanId"] = f"{parent.span_id:016x}"
    row |= {
        "flags": _flags(parent),
        "name": span.name,
        "kind": span.kind.value + 1,  # OTLP starts with "unspecified"
        "startTimeUnixNano": str(span.start_time),
        "endTimeUnixNano": str(span.end_time),
        "attributes": encode_attributes(span.attributes),
    }
    if span.dropped_attributes:
        row["droppedAttributesCount"] = span.dropped_attributes
    if span.events:
        row["events"] = [_event(event) for event in span.events]
    if span.dropped_events:
        row["droppedEventsCount"] = span.dropped_events
    if span.links:
        row["links"] = [_link(link) for link in span.links]
    if span.dropped_links:
        row["droppedLinksCount"] = span.dropped_links
    message = {"message": span.status.description} if span.status.description else {}
    row["status"] = {"code": span.status.status_code.value, **message}
    return row


def encode_attributes(attributes: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Key-value pairs. What OTLP cannot hold (an int beyond 64 bits) is left out and counted: a receiver would refuse the whole."""
    pairs: list[dict[str, Any]] = []
    for key, value in (attributes or {}).items():
        try:
            pairs.append({"key": key, "value": _value(value)})
        except (TypeError, OverflowError) as error:
            count_error(f"attribute {key}: {error}")
    return pairs


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise OverflowError("beyond 64 bits")
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value if math.isfinite(value) else _not_finite(value)}
    if value is None:
        return {}
    if isinstance(value, bytes):
        return {"bytesValue": base64.b64encode(value).decode()}
    if isinstance(value, Sequence):
        return {"arrayValue": {"values": [_value(item) for item in value]}}
    if isinstance(value, Mapping):
        return {"kvlistValue": {"values": [{"key": str(key), "value": _value(item)} for key, item in value.items()]}}
    raise TypeError(f"no OTLP value for {type(value).__name__}")


def _not_finite(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _event(event: Event) -> dict[str, Any]:
    row: dict[str, Any] = {"timeUnixNano": str(event.timestamp), "name": event.name}
    if event.attributes:
        row["attributes"] = encode_attributes(event.attributes)
    if event.dropped_attributes:
        row["droppedAttributesCount"] = event.dropped_attributes
    return row


def _link(link: Link) -> dict[str, Any]:
    row: dict[str, Any] = {"traceId": f"{link.context.trace_id:032x}", "spanId": f"{link.context.span_id:016x}"}
    if link.attributes:
        row["attributes"] = encode_attributes(link.attributes)
    if link.dropped_attributes:
        row["droppedAttributesCount"] = link.dropped_attributes
    row["flags"] = _flags(link.context)
    return row


def _flags(context: SpanContext | None) -> int:
    return _HAS_IS_REMOTE | _IS_REMOTE if context is not None and context.is_remote else _HAS_IS_REMOTE
