"""Requests of a service that never ran: written by the real writers, at times and with outcomes of our choice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from analytics.stores.local import LocalStore
from telemetry.context import RequestContext
from telemetry.errors import RequestError
from telemetry.ids import new_traceparent
from telemetry.record import RequestRecord
from telemetry.stages import parent_of
from telemetry.tracing import Telemetry, setup

START = 1_795_000_000_000_000_000
SECOND = 1_000_000_000


class Service:
    """Writes requests into one data folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.telemetry: Telemetry = setup("test", folder, version="1.0")
        self.store = LocalStore(folder / "journal")

    def context(self, number: int, attempt: int = 1) -> RequestContext:
        parent = new_traceparent()
        identity = {"trace_id": parent.split("-")[1]}  # as admission does
        return RequestContext(f"request-{number:04}", parent, job_id=f"job-{number}", attempt=attempt, identity=identity)

    def receive(self, context: RequestContext, **values: Any) -> None:
        self.telemetry.events.log_event("request_received", context, **values)

    def stage(self, context: RequestContext, name: str, start_ns: int, ms: float, **attributes: Any) -> None:
        """A stage span at a time of our choice."""
        span = self.telemetry.tracer.start_span(name, context=parent_of(context), start_time=start_ns)
        span.set_attributes({**context.stamps, f"{name}_ms": ms, **attributes})
        span.end(end_time=start_ns + int(ms * 1e6))

    def finish(self, context: RequestContext, start_ns: int, error: RequestError | None = None, **values: Any) -> None:
        """Record span and terminal event."""
        record = RequestRecord(self.telemetry, context, started_ns=start_ns, values=values)
        if error is not None:
            record.fail(error)
        record.finish(start_ns + 2 * SECOND)

    def request(self, number: int, start_ns: int | None = None, **values: Any) -> RequestContext:
        """A whole request: received, one stage, ended."""
        context, start = self.context(number), START + number * SECOND if start_ns is None else start_ns
        self.receive(context)
        self.stage(context, "run_inference", start + SECOND // 2, 1000.0)
        self.finish(context, start, **values)
        return context


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = Service(tmp_path)
    yield made
    made.telemetry.shutdown()
