"""The same rows written to files and to a Tempo give the same answers. Wants TEMPO_URL; OTLP goes to OTEL_EXPORTER_OTLP_ENDPOINT
or to port 4318 of the same host. Other data there do not matter."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pyarrow as pa
import pytest

from analytics.columns import vocabulary
from analytics.filters import parse
from analytics.requests import load
from analytics.stores.base import Range
from analytics.stores.configured import Addresses, open_store
from analytics.stores.local import LocalStore
from analytics.stores.tempo import TempoStore
from bench import stores_tempo
from telemetry.context import RequestContext
from telemetry.errors import RequestError
from telemetry.ids import new_traceparent
from telemetry.record import RequestRecord
from telemetry.segments import read_lines
from telemetry.stages import parent_of
from telemetry.tracing import Telemetry, setup

pytestmark = [pytest.mark.server, pytest.mark.timeout(300)]

SECOND = 1_000_000_000
COUNT = 24
VISIBLE_S = 120
"""A Tempo with its defaults shows a span in a search after 29 s; one under load later."""


@dataclass(frozen=True)
class Pair:
    """The same requests in two stores; `name` is the service's, so that nobody else has it."""

    name: str
    local: LocalStore
    tempo: TempoStore
    url: str
    range: Range
    ids: list[str]

    def own(self, text: str) -> str:
        return f'service.name = "{self.name}" && ({text})'


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    url = os.environ.get("TEMPO_URL")
    if not url:
        pytest.skip("TEMPO_URL names no Tempo")
    folder, name = tmp_path_factory.mktemp("contract"), f"contract-{uuid.uuid4().hex[:12]}"
    # Tempo dates blocks back by 2 minutes at most, so nothing older than that may be written.
    start = time.time_ns() - 100 * SECOND
    ids = _write(setup(name, folder, version="1"), name, start)
    _send(folder, url)
    with TempoStore(url) as tempo:
        range = Range(start, start + 90 * SECOND)
        _await(tempo, name, range)
        yield Pair(name, LocalStore(folder / "journal"), tempo, url, range, ids)


def _write(telemetry: Telemetry, name: str, start: int) -> list[str]:
    """Requests of every kind: good, failed, cancelled, unmeasured, with own fields, with zeros at the start of ids."""
    ids: list[str] = []
    for n in range(COUNT):
        zeros = f"00-000{uuid.uuid4().hex[:29]}-00{uuid.uuid4().hex[:14]}-01"
        parent = zeros if n % 5 == 0 else new_traceparent()
        ids.append(parent.split("-")[1])
        context = RequestContext(f"{name}-{n:02}", parent, job_id=f"{name}-j{n}", attempt=1 + n % 2)
        begun = start + n * 3 * SECOND + n
        for place, stage in enumerate(("load_audio", "run_inference")):
            at = begun + place * SECOND // 4
            span = telemetry.tracer.start_span(stage, context=parent_of(context), start_time=at)
            span.set_attributes({**context.stamps, f"{stage}_ms": 100.0})
            span.end(end_time=at + SECOND // 10)
        record = RequestRecord(telemetry, context, started_ns=begun, values=_values(n, name, ids[-1]))
        if n % 6 == 5:
            record.fail(RequestError("internal" if n % 12 == 5 else "cancelled", f"no. {n}", stage="run_inference"))
        record.finish(begun + (n + 1) * SECOND // 8)
    telemetry.shutdown()
    return ids


def _values(n: int, name: str, trace_id: str) -> dict[str, Any]:
    values: dict[str, Any] = {"inference_steps": 10 + n, "dynamic_scale": 1.0 + n % 3 / 2, "experiment": name}
    values |= {"keep_resolution": n % 2 == 0, "advice": ["fps_high", "百灵"][: n % 3], "trace_id": trace_id}
    values |= {} if n % 4 == 3 else {"audio_drift_ms": 10.0 * n, "seed": n}
    return values | ({"scene kind": f"s{n % 3}", "house.rule": n} if n % 2 else {})


def _send(folder: Path, url: str) -> None:
    parts = urlsplit(url)
    endpoint = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", f"{parts.scheme}://{parts.hostname}:4318").rstrip("/")
    with httpx.Client() as client:
        for line in read_lines(folder / "journal", "spans"):
            client.post(f"{endpoint}/v1/traces", content=line, headers={"Content-Type": "application/json"}).raise_for_status()


def _await(tempo: TempoStore, name: str, range: Range) -> None:
    give_up = time.monotonic() + VISIBLE_S
    while tempo.search(parse(f'service.name = "{name}"'), range).table.num_rows < COUNT:
        assert time.monotonic() < give_up, f"not all of {COUNT} traces can be searched after {VISIBLE_S} s"
        time.sleep(1)


def comparable(table: pa.Table, name: str) -> list[dict[str, Any]]:
    """Rows of the service, without what a search cannot bring (events of spans), own fields as a dict, in a fixed order."""
    rows = [row for row in table.to_pylist() if row["service_name"] == name]
    for row in rows:
        row.pop("span_events", None)
        row["extra"] = json.loads(row["extra"] or "{}")
        row["advice"] = row["advice"] or None  # an empty list is no attribute to Tempo
    return sorted(rows, key=lambda row: (row["trace_id"], row.get("span_id", "")))


FILTERS = [
    "span.inference_steps > 20 && span.audio_drift_ms > 100.0",
    "audio_drift_ms = nil",
    "!(audio_drift_ms > 100)",
    "inference_steps > 20 && !(dynamic_scale = 1) || seed = 3",
    "status = error || status = cancelled",
    'status != ok && error_type =~ "can.*"',
    "advice = fps_high",
    "keep_resolution && duration > 1s",
    "run_inference_ms > 50ms",
    "house.rule > 10",
    "attempt = 2 && latency_s <= 1.5",
]


def test_record_spans_are_the_same_rows(pair: Pair) -> None:
    ours, theirs = pair.local.traces.search(None, pair.range), pair.tempo.search(None, pair.range)
    assert comparable(theirs.table, pair.name) == comparable(ours.table, pair.name)
    assert len(comparable(theirs.table, pair.name)) == COUNT
    assert not theirs.truncated
    assert theirs.table.schema.names == ours.table.schema.names


@pytest.mark.parametrize("text", FILTERS)
def test_a_filter_finds_the_same_requests(pair: Pair, text: str) -> None:
    where = parse(pair.own(text), vocabulary(["house.rule"]))
    remote = open_store(pair.local.journal_dir, addresses=Addresses(tempo_url=pair.url))
    ours, theirs = load(pair.local, pair.range, where), load(remote, pair.range, where)
    assert comparable(theirs.table, pair.name) == comparable(ours.table, pair.name)
    assert 0 < ours.table.num_rows < COUNT
    # What the server was asked for holds at least these.
    found = pair.tempo.search(where, pair.range).table["trace_id"].to_pylist()
    assert set(ours.table["trace_id"].to_pylist()) <= set(found)


def test_times_from_child_spans_are_the_same(pair: Pair) -> None:
    where = parse(pair.own("inference_steps > 0"))
    remote = open_store(pair.local.journal_dir, addresses=Addresses(tempo_url=pair.url))
    ours, theirs = (load(store, pair.range, where, details=True) for store in (pair.local, remote))
    assert comparable(theirs.table, pair.name) == comparable(ours.table, pair.name)
    assert ours.table["run_inference_start_ms"].null_count == 0


def test_a_whole_trace_is_the_same(pair: Pair) -> None:
    for id in (pair.ids[0], pair.ids[5]):
        ours, theirs = pair.local.traces.trace(id).table, pair.tempo.trace(id).table
        events = [dict(zip(t["span_id"].to_pylist(), t["span_events"].to_pylist(), strict=True)) for t in (ours, theirs)]
        assert events[0] == events[1]
        assert comparable(theirs, pair.name) == comparable(ours, pair.name)
        assert theirs.num_rows == 3


def test_children_of_many_traces_are_the_same(pair: Pair) -> None:
    names = ["trace_id", "span_id", "parent_id", "name", "start_at", "end_at", "span_ms", "span_status"]
    ours = [row for id in pair.ids for row in pair.local.traces.trace(id).table.select(names).to_pylist()]
    theirs = pair.tempo.spans(pair.ids, pair.range).table.select(names).to_pylist()
    assert sorted(theirs, key=str) == sorted(ours, key=str)


def test_values_and_counts_are_the_same(pair: Pair) -> None:
    assert {"value": pair.name, "count": COUNT} in pair.tempo.values("experiment", pair.range).table.to_pylist()
    mine = pair.local.traces.values("request_id", pair.range).table.to_pylist()
    theirs = pair.tempo.values("request_id", pair.range).table.to_pylist()
    assert [row for row in theirs if row["value"].startswith(pair.name)] == mine
    where = parse(pair.own("inference_steps > 20 && audio_drift_ms > 100"))
    assert pair.tempo.count(where, pair.range) == load(pair.local, pair.range, where).table.num_rows


def test_the_newest_come_first_and_the_rest_is_announced(pair: Pair) -> None:
    found = pair.tempo.search(parse(f'service.name = "{pair.name}"'), pair.range, limit=3)
    assert found.truncated
    assert found.table["request_id"].to_pylist() == [f"{pair.name}-{n}" for n in (23, 22, 21)]


def test_a_range_is_held_to_the_nanosecond(pair: Pair) -> None:
    assert pair.range.since is not None
    begun = pair.range.since + 5 * 3 * SECOND + 5
    for low, high, count in ((begun, begun + 1, 1), (begun + 1, begun + SECOND, 0), (begun - SECOND, begun, 0)):
        for store in (pair.local.traces, pair.tempo):
            table = store.search(parse(f'service.name = "{pair.name}"'), Range(low, high)).table
            assert sum(name == pair.name for name in table["service_name"].to_pylist()) == count


def test_a_query_of_many_kilobytes_is_read_whole(pair: Pair) -> None:
    for fill in range(0, 40, 8):
        many = " || ".join(f"(inference_steps = {n} && audio_drift_ms >= 0.5)" for n in range(80 + fill))
        found = pair.tempo.search(parse(pair.own(many)), pair.range).table
        assert found.num_rows == load(pair.local, pair.range, parse("audio_drift_ms >= 0.5")).table.num_rows


def test_the_benchmark_prints_its_ratios(pair: Pair, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["stores_tempo", "--tiny"])
    stores_tempo.main()
    assert capsys.readouterr().out.count("ratio to both") == 2
    monkeypatch.delenv("TEMPO_URL")
    stores_tempo.main()
    assert capsys.readouterr().out.startswith("skipped: TEMPO_URL")
