"""One department's lines: what others did is neither counted, nor joined, nor found by its id."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet
import pytest

from analytics.alerts.ledger import Known
from analytics.alerts.standing import Standing, of_own
from analytics.nearby import around
from analytics.record import load as load_record
from analytics.requests import from_file, joined, load
from analytics.stores.base import Range
from telemetry.context import RequestContext
from tests.analytics.conftest import SECOND, START, Service


def of(
    service: Service, number: int, department: str | None, traceparent: str | None = None, *, ends: bool = True
) -> RequestContext:
    """A request of a department, in a trace of somebody's choice."""
    plain = service.context(number)
    parent = traceparent or plain.traceparent
    identity = {"trace_id": parent.split("-")[1]} | ({} if department is None else {"department": department})
    context = dataclasses.replace(plain, traceparent=parent, identity=identity)
    service.receive(context, **({} if department is None else {"department": department}))
    start = START + number * SECOND
    service.stage(context, "run_inference", start, 900.0)
    if ends:
        service.finish(context, start, inference_steps=number)
    return context


@pytest.fixture
def two(service: Service) -> Service:
    """Film has 0, 2 and 4 (which runs still), claims 1, 3 and 5 (which does as well); 6 is nobody's."""
    for number in range(6):
        of(service, number, ("film", "claims")[number % 2], ends=number < 4)
    of(service, 6, None)
    return service


def test_rows_counts_and_running_are_the_departments_own(two: Service) -> None:
    found = load(two.store, details=True, department="film")
    assert sorted(found.frame["request_id"]) == ["request-0000", "request-0002"]
    assert found.coverage.requests == 2
    assert found.coverage.running == 1
    assert load(two.store).coverage.requests == 5


def test_a_department_that_nobody_has_sees_nothing_and_its_name_is_no_sql(two: Service) -> None:
    for name in ("", "none", "film' OR true --"):
        assert load(two.store, department=name).coverage.requests == 0


def test_the_events_of_a_view_are_the_departments_own(two: Service) -> None:
    with joined(two.store, Range(), department="claims") as view:
        found = set(view.rows("SELECT DISTINCT request_id FROM events")["request_id"].to_pylist())
    assert found == {"request-0001", "request-0003", "request-0005"}


def test_a_trace_id_that_one_happens_to_know_opens_nothing(service: Service) -> None:
    theirs = of(service, 1, "claims")
    of(service, 2, "film", theirs.traceparent)
    found = load(service.store, department="film", details=True).frame
    assert list(found["request_id"]) == ["request-0002"]
    assert list(found["inference_steps"]) == [2]
    record = load_record(service.store, "request-0002", department="film")
    assert record is not None
    assert {span.attributes["request_id"] for span in record.spans} == {"request-0002"}
    assert {event["request_id"] for event in record.events} == {"request-0002"}


def test_a_record_of_another_department_is_not_there(two: Service) -> None:
    for id in ("request-0001", "job-1", "request-0005", "request-0006"):
        assert load_record(two.store, id) is not None
        assert load_record(two.store, id, department="film") is None
    assert load_record(two.store, "request-0002", department="film") is not None


def test_what_happened_beside_a_request_leaves_out_others_requests(two: Service) -> None:
    record = load_record(two.store, "request-0002", department="film")
    assert record is not None
    near = around(two.store.logs, record, 8, department="film")["request_id"].to_pylist()
    assert set(near) <= {"request-0000", "request-0002", "request-0004"}
    assert "request-0001" in around(two.store.logs, record, 8)["request_id"].to_pylist()


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_a_file_of_rows_is_narrowed_too(two: Service, tmp_path: Path, suffix: str) -> None:
    whole = load(two.store).table
    path = tmp_path / f"rows{suffix}"
    if suffix == ".csv":
        pyarrow.csv.write_csv(whole.select(["request_id", "department", "inference_steps"]), path)
    else:
        pyarrow.parquet.write_table(whole, path)
    with from_file(path, department="film") as view:
        for source in ("requests", "given"):
            found = view.rows(f"SELECT request_id FROM {source} ORDER BY request_id")["request_id"].to_pylist()
            assert found == ["request-0000", "request-0002"], source
    pyarrow.parquet.write_table(whole.select(["request_id"]), tmp_path / "nameless.parquet")
    with from_file(tmp_path / "nameless.parquet", department="film") as view:
        assert view.count()[0] == 0


def test_alerts_are_told_with_own_requests_only_and_without_values() -> None:
    mixed = Known("drift", "host = a", "firing", 1.0, value=7.0, requests=("mine", "theirs"))
    other = Known("drift", "host = b", "firing", 1.0, value=9.0, requests=("theirs",))
    history = ({"alert": "drift", "key": "", "event": "firing", "at": 1.0, "value": 7.0, "requests": ["theirs"]},)
    found = of_own(Standing((mixed, other), (other,), history, ({"alert": "*"},), ({"sink": "mail"},)), {"mine"})
    assert found == Standing((dataclasses.replace(mixed, value=None, requests=("mine",)),))
