"""Structured events: one flat JSON object a line, stamped with the trace, the process and the request."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from opentelemetry.sdk.resources import Resource

from telemetry.context import RequestContext
from telemetry.fields import BY_NAME, EVENT_FIELDS, EVENT_TYPES, SCHEMA_VERSION
from telemetry.guard import guard
from telemetry.ids import uuid7
from telemetry.journal import Journal
from telemetry.values import clean, dumps, rfc3339

_TIMES = frozenset(field.name for field in BY_NAME.values() if field.dtype == "time")
_guard = guard("event")


class EventLog:
    """Writes the events of one process."""

    def __init__(self, journal: Journal, resource: Resource) -> None:
        self._journal = journal
        stamps = {name: value for name, value in resource.attributes.items() if name in EVENT_FIELDS}
        self._stamps = {**stamps, "schema_version": SCHEMA_VERSION}
        self._types: set[str] = set(EVENT_TYPES)

    def declare(self, *event_types: str) -> None:
        """Allows further types: those of a service that is not ours."""
        self._types.update(event_types)

    def log_event(self, event_type: str, context: RequestContext, *, span_id: str | None = None, **fields: Any) -> str:
        """Writes one event and returns its id (UUIDv7). `span_id`: 16 hexadecimal digits; without it the span of `context`.

        Raises ValueError for a type that is not of `EVENT_TYPES` (a mistake in the program, found by its tests); nothing else.
        """
        return self.write_row(event_type, context, fields, span_id=span_id)

    def write_row(self, event_type: str, context: RequestContext, fields: Mapping[str, Any], *, span_id: str | None = None) -> str:
        """As `log_event`, for fields of any name."""
        if event_type not in self._types:
            raise ValueError(f"unknown event type {event_type!r}: add it to telemetry.fields.EVENT_TYPES")
        event_id = uuid7()
        with _guard:
            now = time.time_ns()
            row = {
                "@timestamp": rfc3339(now),
                "event_id": event_id,
                "event_type": event_type,
                "trace.id": context.trace_id,
                "span.id": span_id or context.span_id,
                **self._stamps,
                **context.stamps,
                **clean({**context.identity, **fields}),
            }
            for name in _TIMES & row.keys():
                row[name] = rfc3339(row[name])
            self._journal.write("events", dumps(row))
        return event_id
