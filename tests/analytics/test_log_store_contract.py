"""The same events in, the same answers out: the local files and a real Elasticsearch behind one protocol."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import orjson
import pyarrow as pa
import pytest

from analytics.columns import vocabulary
from analytics.filters import parse
from analytics.filters.evaluate import matches
from analytics.record import load as load_record
from analytics.requests import joined, load
from analytics.stores.base import LogStore, Range
from analytics.stores.configured import Addresses, open_store
from analytics.stores.local import LocalStore
from analytics.stores.mapping import read_mapping
from telemetry.errors import RequestError
from telemetry.fields import TERMINAL_EVENTS
from telemetry.forward import Forwarding
from telemetry.shipping.connect import Elastic
from telemetry.tables import schema
from tests.telemetry.forwarding import drain

from .conftest import SECOND, START, Service

pytestmark = pytest.mark.timeout(300)

STORES = ["local", pytest.param("elasticsearch", marks=pytest.mark.server)]
Open = Callable[..., Any]


@pytest.fixture(params=STORES)
def opened(request: pytest.FixtureRequest, service: Service, index: str) -> Open:
    """Opens the store once the service has written: `opened()` is the whole store, with traces from the files either way."""

    def make(mapping: Path | None = None) -> Any:
        service.telemetry.journal.close()
        named = read_mapping(mapping) if mapping else None
        if request.param == "local":
            return LocalStore(service.folder / "journal", mapping=named)
        url = request.getfixturevalue("elasticsearch").url
        assert drain(Forwarding(service.folder, elastic=Elastic(url, index=index)))["events"]["lag_bytes"] == 0
        httpx.post(f"{url}/{index}-*/_refresh").raise_for_status()
        addresses = Addresses(elasticsearch_url=url, elasticsearch_index=index)
        return open_store(service.folder / "journal", mapping=named, addresses=addresses)

    return make


def fill(service: Service) -> None:
    """Requests of several kinds: good, failed, scored, unfinished, in Chinese, with fields of their own."""
    for number in range(12):
        values: dict[str, Any] = {"inference_steps": 10 + number, "audio_drift_ms": 20.0 * number, "cache_hit": number % 2 == 0}
        service.request(
            number, synthetic=number % 3 == 0, department="百灵" if number % 4 else "film", mouth=f"m{number % 2}", **values
        )
    failed = service.context(20)
    service.receive(failed)
    service.stage(failed, "load_audio", START + 20 * SECOND, 12.5)
    service.finish(failed, START + 20 * SECOND, RequestError("face_not_found", "no face", stage="preprocess_image"), fps=25.0)
    service.telemetry.events.log_event("user_score", failed, user_score=-1, user_comment="late")
    service.receive(service.context(21))


def plain(table: pa.Table, order: str) -> list[dict[str, Any]]:
    return sorted(table.to_pylist(), key=lambda row: row[order] or "")


def test_events_come_back_as_they_were_written(service: Service, opened: Open) -> None:
    fill(service)
    logs: LogStore = opened().logs
    expected = LocalStore(service.folder / "journal").logs.search(None, Range()).table
    found = logs.search(None, Range())
    assert not found.truncated
    assert found.table.schema.names == schema("events").names
    assert plain(found.table, "event_id") == plain(expected, "event_id")
    assert found.table["logged_at"].to_pylist() == sorted(found.table["logged_at"].to_pylist(), reverse=True)


def test_a_range_is_half_open_to_the_nanosecond(service: Service, opened: Open) -> None:
    fill(service)
    moments = LocalStore(service.folder / "journal").logs.search(None, Range()).table["logged_at"].cast(pa.int64()).to_pylist()
    low, high = sorted(moments)[3], sorted(moments)[9]
    found = opened().logs.search(None, Range(low, high)).table["logged_at"].cast(pa.int64()).to_pylist()
    assert sorted(found) == sorted(at for at in moments if low <= at < high)


def test_a_limit_takes_the_newest_and_says_so(service: Service, opened: Open) -> None:
    fill(service)
    logs = opened().logs
    everything = logs.search(None, Range()).table["event_id"].to_pylist()
    for limit in (1, 5, len(everything) - 1):
        cut = logs.search(None, Range(), limit=limit)
        assert cut.truncated
        assert cut.table["event_id"].to_pylist() == everything[:limit]
    assert not logs.search(None, Range(), limit=len(everything)).truncated


@pytest.mark.parametrize(
    "text",
    [
        "inference_steps > 15 && audio_drift_ms > 200",
        "!(cache_hit)",
        "error_type = nil",
        'department = "百灵"',
        "status =~ `err.*`",
        "mouth = m1",
    ],
)
def test_a_filter_never_costs_a_request_that_passes(service: Service, opened: Open, text: str) -> None:
    fill(service)
    where = parse(text, vocabulary(["mouth"]))
    everything = LocalStore(service.folder / "journal").logs.search(None, Range()).table.to_pylist()
    found = {row["event_id"] for row in opened().logs.search(where, Range()).table.to_pylist()}
    for row in everything:
        extra = {**row, "extra": orjson.loads(row["extra"]) if row["extra"] else None}
        if row["event_type"] not in TERMINAL_EVENTS or matches(where.node, extra):
            assert row["event_id"] in found, row


def test_surrounding_events_are_those_of_the_same_host_in_time(service: Service, opened: Open) -> None:
    ids = [service.telemetry.events.log_event("input_start", service.context(number)) for number in range(7)]
    logs: LogStore = opened().logs
    assert logs.surrounding(ids[3], 2, 1).table["event_id"].to_pylist() == ids[1:5]
    assert logs.surrounding(ids[0], 2, 0).table["event_id"].to_pylist() == ids[:1]
    assert logs.surrounding(ids[6], 0, 5).table["event_id"].to_pylist() == ids[6:]
    assert logs.surrounding("nobody", 2, 2).table.num_rows == 0


@pytest.mark.parametrize(
    "field",
    [
        "event_type",
        "department",
        "cache_hit",
        "inference_steps",
        "audio_drift_ms",
        "error_type",
        "service.name",
        "advice",
        "user_score",
    ],
)
def test_counts(service: Service, opened: Open, field: str) -> None:
    fill(service)
    expected = LocalStore(service.folder / "journal").logs.count_by(field, Range()).table
    assert opened().logs.count_by(field, Range()).table.to_pylist() == expected.to_pylist()


def test_an_unknown_field_cannot_be_counted(service: Service, opened: Open) -> None:
    with pytest.raises(KeyError):
        opened().logs.count_by("no_such_field", Range())


def test_nothing_written_is_an_answer(service: Service, opened: Open) -> None:
    store = opened()
    assert store.logs.search(None, Range()).table.num_rows == 0
    assert store.logs.count_by("status", Range()).table.num_rows == 0
    assert load(store).table.num_rows == 0
    assert load_record(store, "nobody") is None


@pytest.mark.parametrize("details", [False, True])
def test_the_join_gives_the_same_rows_and_the_same_coverage(service: Service, opened: Open, details: bool) -> None:
    fill(service)
    store, files = opened(), LocalStore(service.folder / "journal")
    for range in (Range(), Range(START + 3 * SECOND, START + 9 * SECOND), Range(until=START)):
        expected, found = load(files, range, details=details), load(store, range, details=details)
        assert plain(found.table, "request_id") == plain(expected.table, "request_id")
        assert found.coverage == expected.coverage
        where = parse("audio_drift_ms > 100 || error_type != nil")
        with joined(files, range, where) as one, joined(store, range, where) as other:
            assert one.count(where) == other.count(where)
            assert one.group("error_type", where).equals(other.group("error_type", where))


def test_a_request_that_ends_after_the_range_belongs_to_it(service: Service, opened: Open) -> None:
    context, now = service.context(1), time.time_ns()
    service.receive(context)
    service.finish(context, now - 10 * SECOND, fps=25.0)
    (row,) = load(opened(), Range(now - 20 * SECOND, now - 5 * SECOND)).table.to_pylist()
    assert row["has_logs"]
    assert not row["orphan"]


def test_a_record_is_found_by_every_id_and_is_the_same(service: Service, opened: Open) -> None:
    fill(service)
    store, files = opened(), LocalStore(service.folder / "journal")
    expected = load_record(files, "request-0003")
    assert expected is not None
    for id in ("request-0003", "job-3", expected.request["trace_id"]):
        assert load_record(store, id) == expected


def test_other_peoples_names(service: Service, opened: Open, tmp_path: Path) -> None:
    path = tmp_path / "names.yaml"
    columns = "  request_id: {log: reqId}\n  fps: {log: rate}\n  mood: {log: m.ood, kind: outcome, type: int}\n"
    path.write_text("record: {event: {kind: done}}\ncolumns:\n" + columns)
    for number in range(3):
        row = {"@timestamp": f"2026-11-22T10:00:0{number}Z", "event_id": f"e{number}", "kind": "done"}
        row |= {"reqId": f"r{number}", "rate": 20 + number, "m.ood": number}
        service.telemetry.journal.write("events", orjson.dumps(row))
    store = opened(path)
    rows = load(store, Range(), parse("fps >= 21")).table.to_pylist()
    assert sorted((row["request_id"], row["fps"], row["mood"]) for row in rows) == [("r1", 21.0, 1), ("r2", 22.0, 2)]
    assert store.logs.count_by("fps", Range()).table["value"].to_pylist() == ["20.0", "21.0", "22.0"]
    assert store.logs.search(parse("fps > 21"), Range()).table.num_rows == 3
