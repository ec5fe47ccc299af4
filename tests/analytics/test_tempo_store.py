"""The Tempo store beside its traps: rows, whole traces, tag values, errors with a type, bounded requests."""

from __future__ import annotations

import threading
import time
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from analytics.filters import parse
from analytics.stores.base import Range, TraceStore
from analytics.stores.tempo import TempoStore
from analytics.stores.tempo_http import BadQuery, Busy, Refused, TempoError, TimedOut, TooLarge, Unreachable
from analytics.stores.tempo_slices import Slice, even, planned, tail, windows
from analytics.stores.tempo_text import BLOCK, whole
from telemetry.tables import schema

from .tempo_fake import END, SECOND, START, Recorded, Simulated, recorded_mapping

HOUR = Range(START * SECOND, END * SECOND)
FAILED = "2d15dbe371231073639219b2c864669a"


def test_recorded_rows_have_our_columns_and_types(tmp_path: Path) -> None:
    tempo = Recorded({"/api/search": "search-select-3-traces.json"}, recorded_mapping(tmp_path))
    traces: TraceStore = tempo.store
    table = traces.search(None, HOUR).table
    assert table.schema.names == [*schema("spans").names, "gpu_memory_mb"]
    assert [field for field in table.schema if field.name != "gpu_memory_mb"] == list(schema("spans"))
    assert table["start_at"].to_pylist() == sorted(table["start_at"].to_pylist(), reverse=True)
    rows = {row["trace_id"]: row for row in table.to_pylist()}
    good = rows["6eb7d2cb51296a648b5bc653ba74417f"]
    assert (good["dynamic_scale"], good["inference_steps"], good["audio_drift_ms"]) == (1.0, 10, 79.194)
    assert (good["span_ms"], good["service_name"], good["is_record"]) == (2679.0, "sonic-demo", True)
    assert rows[FAILED]["error_type"] == "RuntimeError"
    assert rows[FAILED]["audio_drift_ms"] is None


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_trace_by_id_has_every_span_with_its_events(version: str) -> None:
    tempo = Recorded({f"/api{'/v2' if version == 'v2' else ''}/traces/": f"trace-{version}-by-id.json"})
    found = tempo.store.trace(FAILED.upper())
    assert found.table["start_at"].to_pylist() == sorted(found.table["start_at"].to_pylist())
    rows = {row["name"]: row for row in found.table.to_pylist()}
    assert rows["sonic_generation"]["parent_id"] == ""
    assert rows["load_audio"]["parent_id"] == rows["sonic_generation"]["span_id"]
    assert set(found.table["trace_id"].to_pylist()) == {FAILED}
    assert rows["encode_video"]["span_status"] == "error"
    assert "exception" in rows["encode_video"]["span_events"]


def test_a_part_of_a_trace_is_called_a_part() -> None:
    assert Recorded({"/api/v2/traces/": "trace-v2-partial.json"}).store.trace("9b68da50fb860a5bd046be86123adf5a").truncated
    old = Recorded({"/api/traces/": "trace-v1-too-big-422.txt"}).store.trace("9b68da50fb860a5bd046be86123adf5a")
    assert (old.truncated, old.table.num_rows) == (True, 0)


def test_what_is_no_trace_id_is_never_put_into_an_address() -> None:
    tempo = Recorded({})
    assert tempo.store.trace("../../ready").table.num_rows == 0
    assert tempo.store.spans(['" || true || "'], HOUR).table.num_rows == 0
    assert tempo.requests == []


def test_values_are_counted_from_the_spans_and_types_told_by_the_server() -> None:
    tempo = Recorded({"/api/search": "search-select-3-traces.json", "/api/v2/search/tag/span.inf": "tag-values-int.json"})
    counts = tempo.store.values("keep_resolution", HOUR).table.to_pylist()
    assert sum(row["count"] for row in counts) == 3
    assert {row["value"] for row in counts} == {"true", "false"} or len(counts) == 1
    assert tempo.store.types("span.inference_steps", HOUR) == {"int": 6}
    with pytest.raises(KeyError):
        tempo.store.values("no_such_field", HOUR)


def test_attributes_beyond_the_table_of_names_come_along() -> None:
    answers = {"/api/v2/search/tags": "tags-v2-span-scope.json", "/api/search": "search-empty.json"}
    tempo = Recorded(answers, own_names=True)
    tempo.store.search(None, HOUR)
    assert "span.crop.w" in tempo.asked()[0]["q"]
    assert tempo.asked()[0]["q"].count("span.inference_steps") == 1
    assert "sonic_generation" in tempo.asked("/api/v2/search/tags")[0]["q"]


def test_a_server_that_does_not_list_attributes_is_searched_all_the_same() -> None:
    tempo = Recorded({"/api/search": "search-select-3-traces.json"}, own_names=True)
    assert tempo.store.search(None, HOUR).table.num_rows == 3


def test_the_newest_rows_cost_only_the_newest_slices() -> None:
    now = int(time.time())
    tempo = Simulated([(f"{n:x}", now - 40_000 + n, now - 40_000 + n + 0.5) for n in range(1, 39_000)])
    found = tempo.store.search(None, Range((now - 40_000) * SECOND, None), limit=20)
    assert found.truncated
    assert found.table.num_rows == 20
    assert found.table["trace_id"][0].as_py() == f"{38_999:032x}"
    assert min(int(search["start"]) for search in tempo.searches) > now - 40_000


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("search-bad-query-400.txt", BadQuery, "syntax error"),
        ("search-range-too-long-400.txt", BadQuery, "168h"),
    ],
)
def test_recorded_refusals_have_a_type_and_keep_tempo_s_words(name: str, kind: type[TempoError], words: str) -> None:
    with pytest.raises(kind, match=words):
        Recorded({"/api/search": name}).store.search(None, HOUR)


def test_what_even_one_second_cannot_answer_is_an_error() -> None:
    with pytest.raises(TempoError, match="one second holds more"):
        Recorded({"/api/search": "search-response-too-large-500.txt"}).store.search(
            None, Range(START * SECOND, (START + 9) * SECOND)
        )
    with pytest.raises(TooLarge, match="larger than the max"):
        Recorded({"/api/search": "search-response-too-large-500.txt"}).store.spans(["a" * 32, "b" * 32], HOUR)


@pytest.mark.parametrize(
    ("status", "kind"), [(401, Refused), (403, Refused), (429, Busy), (503, Busy), (504, TimedOut), (502, TempoError)]
)
def test_each_status_has_its_error(status: int, kind: type[TempoError]) -> None:
    store = TempoStore("http://tempo/", transport=httpx.MockTransport(lambda _: httpx.Response(status, text="no")))
    with pytest.raises(kind, match=f"http://tempo/api/.*{status} no"):
        store.search(None, HOUR)


def test_nobody_there_a_silent_server_and_another_server_are_told_apart() -> None:
    with pytest.raises(Unreachable, match="does not answer"):
        TempoStore("http://127.0.0.1:9").trace("a" * 32)
    page = httpx.MockTransport(lambda _: httpx.Response(200, text="<html>"))
    with pytest.raises(Unreachable, match="not as Tempo does"):
        TempoStore("http://tempo", transport=page).trace("a" * 32)

    def silent(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("", request=request)

    with pytest.raises(TimedOut, match="shorter range"):
        TempoStore("http://tempo", transport=httpx.MockTransport(silent)).trace("a" * 32)


def test_tenant_and_headers_go_with_every_request() -> None:
    tempo = Recorded({"/api/search": "search-empty.json"}, tenant="film", headers={"Authorization": "Bearer x"})
    tempo.store.search(None, HOUR)
    assert {request.headers["X-Scope-OrgID"] for request in tempo.requests} == {"film"}
    assert {request.headers["Authorization"] for request in tempo.requests} == {"Bearer x"}


def test_several_requests_are_in_flight_but_never_more_than_allowed() -> None:
    running, most, lock = 0, 0, threading.Lock()

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal running, most
        if request.url.path != "/api/search":
            return httpx.Response(404)
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.02)
        with lock:
            running -= 1
        return httpx.Response(200, json={"traces": []})

    TempoStore("http://tempo", transport=httpx.MockTransport(answer), at_once=3, own_names=False).search(None, HOUR)
    assert most == 3


def test_an_unfinished_search_is_called_cut_off() -> None:
    partly = {"traces": [], "metrics": {"completedJobs": 1, "totalJobs": 2}}
    store = TempoStore("http://tempo", transport=httpx.MockTransport(lambda _: httpx.Response(200, json=partly)), own_names=False)
    assert store.search(None, HOUR).truncated


def test_slices_cover_a_window_and_follow_the_density() -> None:
    slices = planned(0, 9600, {9600: 5000, 9500: 10, 100: 900, 200: 200}, 100)
    assert slices[0].end == 9600
    assert slices[-1].start == 0
    assert all(older.end == newer.start for newer, older in pairwise(slices))
    assert sum(one.start >= 9500 for one in slices) == 5
    assert slices[-2:] == [Slice(100, 9500), Slice(0, 100)]
    assert even(0, 600) == [Slice(0, 600)]
    assert list(windows(0, 200_000, 86_400)) == [(113_600, 200_000), (27_200, 113_600), (0, 27_200)]
    assert [(one.start, one.end) for one in tail(1000, 2000, 500)] == [(1300, 1500), (1060, 1300), (1000, 1060)]


def test_names_and_numbers_never_lie_across_a_kilobyte_of_a_query() -> None:
    for fill in range(980, 1030):
        for scope, name in (("span.", "inference_steps"), ("resource.", "x"), ("span.", '"own thing"'), (".", "y")):
            text = whole(f'{{ a = "{"x" * fill}" && {scope}{name} > 20 }}').encode()
            place, number = text.index((scope + name).encode()), text.index(b"20 }")
            looked = place + len(scope) + min(len(name), 11)  # as far as Tempo looks ahead for another scope
            assert place // BLOCK == looked // BLOCK
            assert number // BLOCK == (number + 2) // BLOCK
    short = "{ span.a > 1 }"
    assert whole(short) == short
    many = parse(" || ".join(f"fps = {n}" for n in range(2000)))
    tempo = Recorded({"/api/search": "search-empty.json"})
    tempo.store.search(many, HOUR)
    assert tempo.asked()[0]["q"].replace(" ", "").count("span.fps=") == 2000
