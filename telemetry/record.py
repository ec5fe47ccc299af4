"""The record of a request: its record span and its terminal event, both from one row, written in one place and once."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, StatusCode, TraceFlags, set_span_in_context

from telemetry.context import RequestContext
from telemetry.errors import RequestError
from telemetry.fields import RECORD_SPANS, Value
from telemetry.guard import guard
from telemetry.ids import parse_traceparent
from telemetry.stages import record_error
from telemetry.tracing import pinned
from telemetry.values import clean

if TYPE_CHECKING:
    from telemetry.tracing import Telemetry


class RequestRecord:
    """Gathers one request's row, from acceptance to `finish`. Safe in threads: whoever finishes first decides how it ended.

    `started_ns`: acceptance, ns since 1970. `values`: parameters and what else is known by name. `parent`: the client's
    `traceparent`, if it sent one.
    """

    def __init__(
        self,
        telemetry: Telemetry,
        context: RequestContext,
        *,
        started_ns: int,
        values: Mapping[str, Any],
        parent: str | None = None,
    ) -> None:
        self._telemetry = telemetry
        self._context = context
        self._parent = parent
        self._started_ns = self._ended_ns = started_ns
        self._error: RequestError | None = None
        self._lock = threading.Lock()
        self._finished = self._written = False
        self._advice: list[str] = []
        self._row: dict[str, Value] = {"status": "ok", "http_status": 200, "clock_skew": False}
        self.update(**{**context.identity, **values, **context.stamps, "trace_id": context.trace_id, "started_at": started_ns})

    def update(self, **values: Any) -> None:
        """Adds or replaces values, each in the type of its name; None is ignored, and so is what comes after `finish`.

        `advice` is never replaced: it adds up, as by `advise`.
        """
        with guard("record"):
            self.advise(*values.pop("advice", None) or ())
        row = clean(values)
        with self._lock:
            if not self._finished:
                self._row.update(row)

    def advise(self, *codes: str) -> None:
        """Adds advice; every new code is also an `advice` event of its own (`advice_code`)."""
        with self._lock:
            new = [] if self._finished else [code for code in dict.fromkeys(codes) if code not in self._advice]
            self._advice += new
        for code in new:
            self._telemetry.events.log_event("advice", self._context, advice=[code], advice_code=code)

    def fail(self, error: RequestError) -> None:
        """The request ends with `error`: status `error`, or `cancelled` for that type."""
        status = "cancelled" if error.type == "cancelled" else "error"
        with self._lock:
            self._error = self._error if self._finished else error
        self.update(
            status=status,
            http_status=error.http_status,
            error_type=error.type,
            error_message=error.message,
            failed_stage=error.stage,
        )

    def finish(self, ended_ns: int | None = None) -> dict[str, Value]:
        """Writes the record span and the terminal event, and returns the row; the second time it only returns it.

        `ended_ns`: ns since 1970, now where none is given. An end before the start (two hosts' clocks) counts as 0 s, flagged.
        """
        row = self.close(ended_ns)
        with self._lock:
            first, self._written = not self._written, True
        if first:
            with guard("record span"):
                self._write_span(row)
            event_type = "business_output" if row["status"] == "ok" else "request_failed"
            self._telemetry.events.write_row(event_type, self._context, row)
        return row

    def close(self, ended_ns: int | None = None) -> dict[str, Value]:
        """Completes the row and returns it, and writes nothing: for whoever must keep it elsewhere before `finish` tells it.

        The first time decides: what comes later changes nothing.
        """
        with self._lock:
            if not self._finished:
                self._finished = True
                with guard("finish"):
                    self._complete(time.time_ns() if ended_ns is None else ended_ns)
            return dict(self._row)

    def _complete(self, ended_ns: int) -> None:
        row, took_ns = self._row, ended_ns - self._started_ns
        if took_ns < 0:
            row["clock_skew"], took_ns = True, 0
        row["advice"] = self._advice
        row["ended_at"] = self._ended_ns = self._started_ns + took_ns
        row["latency_s"] = latency_s = took_ns / 1e9
        video_s = row.get("video_s")
        if isinstance(video_s, float) and video_s > 0:
            row["rtf"] = latency_s / video_s

    def _write_span(self, row: dict[str, Value]) -> None:
        with pinned(self._context.traceparent):
            span = self._telemetry.tracer.start_span(
                RECORD_SPANS.get(self._context.operation, self._context.operation),
                context=_client_span(self._parent),
                attributes={name: value for name, value in row.items() if value is not None},
                start_time=self._started_ns,
            )
        if self._error is None:
            span.set_status(StatusCode.OK)
        else:
            record_error(span, self._error, self._ended_ns)
        span.end(end_time=self._ended_ns)


def _client_span(traceparent: str | None) -> Context:
    ids = parse_traceparent(traceparent)
    if ids is None:
        return Context()
    remote = SpanContext(int(ids[0], 16), int(ids[1], 16), is_remote=True, trace_flags=TraceFlags(1))
    return set_span_in_context(NonRecordingSpan(remote), Context())
