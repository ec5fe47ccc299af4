"""The local files answer like any other store, before and after compaction."""

from __future__ import annotations

import pytest

from analytics import record
from analytics.stores.base import LogStore, Range, TraceStore
from telemetry.compact import Compactor

from .conftest import SECOND, START, Service


def test_a_record_is_the_same_before_and_after_compaction(service: Service) -> None:
    context = service.request(1, fps=30.0, house_rule="x", advice=["fps_high"])
    service.request(2)
    before = record.load(service.store, "request-0001")
    service.telemetry.journal.close()
    Compactor(service.folder / "journal", service.folder / "parquet").run_once()
    after = record.load(service.store, context.trace_id)
    assert before is not None
    assert before == after
    assert len(before.spans) == 2
    assert service.store.find("job-2") == "request-0002"
    assert service.store.find("nobody") is None


def test_surrounding_events_are_those_of_the_same_host_in_time(service: Service) -> None:
    contexts = [service.context(number) for number in range(7)]
    ids = [service.telemetry.events.log_event("input_start", context) for context in contexts]
    logs: LogStore = service.store.logs
    assert logs.surrounding(ids[3], 2, 1).table["event_id"].to_pylist() == ids[1:5]
    assert logs.surrounding(ids[0], 2, 0).table["event_id"].to_pylist() == ids[:1]
    assert logs.surrounding("nobody", 2, 2).table.num_rows == 0


def test_counts_and_values(service: Service) -> None:
    for number in range(3):
        service.request(number, model_name="lite" if number else "sonic")
    traces: TraceStore = service.store.traces
    assert traces.values("model_name", Range()).table.to_pylist() == [{"value": "lite", "count": 2}, {"value": "sonic", "count": 1}]
    counts = {row["value"]: row["count"] for row in service.store.logs.count_by("event_type", Range()).table.to_pylist()}
    assert counts == {"request_received": 3, "business_output": 3}
    with pytest.raises(KeyError):
        traces.values("no_such_field", Range())


def test_a_search_says_when_there_is_more(service: Service) -> None:
    for number in range(3):
        service.request(number)
    found = service.store.traces.search(None, Range(START, START + 10 * SECOND), limit=2)
    assert found.truncated
    assert found.table["request_id"].to_pylist() == ["request-0002", "request-0001"]
    assert not service.store.traces.search(None, Range(), limit=3).truncated
    assert service.store.traces.search(None, Range(until=START)).table.num_rows == 0
