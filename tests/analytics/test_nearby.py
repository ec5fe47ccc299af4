"""Around a failure: the events of the process in which it failed, not those of its neighbours on the host."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from analytics.nearby import around
from analytics.record import Record, load
from analytics.stores.local import LocalStore
from telemetry.errors import RequestError
from tests.analytics.conftest import SECOND, START, Service

REPLICA = f"""
import sys, pathlib
from telemetry.context import RequestContext
from tests.analytics.conftest import Service
service = Service(pathlib.Path(sys.argv[1]))
for number, parent in enumerate(sys.argv[2:]):
    context = RequestContext(f"request-{{number:04}}", parent)
    service.telemetry.events.log_event("preprocess_complete", context)
    service.stage(context, "run_inference", {START} + number * {SECOND}, 900.0)
service.telemetry.shutdown()
"""
"""A replica: a process of its own that logs an event and a stage for every request."""


def record(store: LocalStore, number: int) -> Record:
    found = load(store, f"request-{number:04}")
    assert found is not None
    return found


def test_the_events_of_the_replica_are_told_from_those_of_its_host(service: Service, tmp_path: Path) -> None:
    contexts = [service.context(number) for number in range(6)]
    for context in contexts:
        service.receive(context)
    command = [sys.executable, "-c", REPLICA, str(tmp_path), *(context.traceparent for context in contexts)]
    subprocess.run(command, check=True, timeout=120)
    for number, context in enumerate(contexts):
        error = RequestError("internal", "It broke.", stage="run_inference") if number == 3 else None
        service.finish(context, START + number * SECOND, error)
    near = around(service.store.logs, record(service.store, 3), 2).select(["request_id", "event_type"]).to_pylist()
    assert near == [{"request_id": f"request-{k:04}", "event_type": "preprocess_complete"} for k in range(1, 6)]
    host = around(service.store.logs, record(service.store, 2), 2)  # it did not fail: there is no replica to ask about
    assert "business_output" in host["event_type"].to_pylist()


def test_a_failure_that_left_no_span_is_shown_among_the_events_of_its_host(service: Service) -> None:
    context = service.context(0)
    service.receive(context)
    service.finish(context, START, RequestError("invalid_parameter", "Bad.", stage="admission"))
    near = around(service.store.logs, record(service.store, 0), 3)
    assert near["event_type"].to_pylist() == ["request_received", "request_failed"]
