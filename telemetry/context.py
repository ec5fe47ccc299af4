"""What every call of a request carries, passed explicitly so that nothing depends on ambient state."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from opentelemetry.trace import SpanContext, TraceFlags

from telemetry.errors import RequestError


@dataclass(frozen=True)
class RequestContext:
    """Identity, trace and deadline of one request.

    `traceparent` is the W3C header of the record span, so that every stage span becomes its child wherever it runs.
    `deadline` is wall-clock seconds since 1970 (None: no limit).
    """

    request_id: str
    traceparent: str
    job_id: str = ""
    attempt: int = 1
    operation: str = "generate"
    deadline: float | None = None
    identity: Mapping[str, Any] = field(default_factory=dict)

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits, lower case."""
        return self.traceparent.split("-")[1]

    @property
    def span_id(self) -> str:
        """16 hexadecimal digits: the record span."""
        return self.traceparent.split("-")[2]

    @property
    def span_context(self) -> SpanContext:
        """The record span as OpenTelemetry sees it from another process."""
        return SpanContext(int(self.trace_id, 16), int(self.span_id, 16), is_remote=True, trace_flags=TraceFlags(1))

    @property
    def stamps(self) -> dict[str, str | int]:
        """What stands on every span and event of the request, where it is known: who it is and which attempt."""
        stamps = {"request_id": self.request_id, "job_id": self.job_id, "attempt": self.attempt, "operation": self.operation}
        return {name: value for name, value in stamps.items() if value}

    def child_of(self, traceparent: str) -> RequestContext:
        """The same request, with another span as parent of what follows."""
        return replace(self, traceparent=traceparent)

    def remaining_s(self) -> float | None:
        """Seconds until the deadline (None: no limit; never below 0)."""
        return None if self.deadline is None else max(0.0, self.deadline - time.time())

    def check_deadline(self, stage: str) -> None:
        """Raises RequestError(deadline_exceeded) when the time is up."""
        if self.remaining_s() == 0.0:
            raise RequestError("deadline_exceeded", f"The deadline passed before {stage} could end.", stage=stage)
