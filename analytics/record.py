"""The one record of a request, joined: what was asked, what happened, how good it was."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Protocol

from analytics.stores.spans import Span
from telemetry import fields


class Lookup(Protocol):
    """A store that finds one request."""

    def spans(self, trace_id: str) -> list[Span]:
        """The spans of a trace in the order of their start."""
        ...

    def events(self, request_id: str) -> list[dict[str, Any]]:
        """The events of a request in the order of their time."""
        ...

    def find(self, id: str) -> str | None:
        """The request with this id, None where there is none."""
        ...


@dataclass(frozen=True)
class Record:
    """`request` is the flat row (empty while the request runs), `spans` and `events` are in the order of time."""

    request: dict[str, Any]
    spans: list[Span]
    events: list[dict[str, Any]]

    @property
    def finished(self) -> bool:
        """False while the request runs, or when its process died before anyone noticed."""
        return bool(self.request)

    def part(self, kind: fields.Kind) -> dict[str, Any]:
        """The row's parameters, outcomes or identity, in the table's order; what was not measured is absent."""
        return {name: self.request[name] for name in fields.names(kind) if name in self.request}

    def as_dict(self) -> dict[str, Any]:
        """`{"request", "spans", "events"}` of plain values."""
        return {"request": self.request, "spans": [dataclasses.asdict(span) for span in self.spans], "events": self.events}


def load(store: Lookup, id: str, *, department: str | None = None) -> Record | None:
    """The record of a request by its request_id, job_id, trace_id or the client's own id; None where there is none.

    With a `department` there is none of another's, and no span of another request in the same trace.
    """
    request_id = store.find(id)
    if request_id is None:
        return None
    events = store.events(request_id)
    terminal = [event for event in events if event["event_type"] in fields.TERMINAL_EVENTS]
    row = {name: terminal[-1][name] for name in fields.BY_NAME if name in terminal[-1]} if terminal else {}
    spans = store.spans(events[-1]["trace.id"])
    if department is not None:
        if {event["department"] for event in events if event.get("department")} != {department}:
            return None
        spans = [span for span in spans if span.attributes.get("request_id") in (None, request_id)]
    return Record(row, spans, events)
