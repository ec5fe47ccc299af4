"""Where Tempo answers wrongly without an error, the store does not: against recorded answers, or on the request that is sent."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import orjson
import pyarrow.compute as pc
import pytest

from analytics.columns import vocabulary
from analytics.filters import parse
from analytics.stores import tempo_rows
from analytics.stores.base import Range
from analytics.stores.mapping import Mapping
from analytics.stores.tempo import TempoStore
from analytics.stores.tempo_query import condition, records
from analytics.stores.tempo_slices import MOST, PAGE

from .tempo_fake import END, FIXTURES, SECOND, START, Recorded, Simulated, recorded_mapping

HOUR = Range(START * SECOND, END * SECOND)


def filtered(text: str, mapping: Mapping | None = None) -> str:
    """What a filter adds to the condition of a record span."""
    mapping = mapping or Mapping()
    where = parse(text, vocabulary(mapping.own))
    return condition(where, mapping).text.removeprefix(records(mapping) + " && ")


def test_a_literal_has_the_type_of_its_attribute() -> None:
    assert "span.inference_steps > 20 && span.audio_drift_ms > 100.0" in filtered("inference_steps > 20 && audio_drift_ms > 100")
    assert "span.dynamic_scale = 1.0" in filtered("dynamic_scale = 1")


def test_an_attribute_of_another_service_is_asked_as_both_kinds_of_number(tmp_path: Path) -> None:
    mapping = recorded_mapping(tmp_path)
    ours = "span.audio_drift_ms > 100.0"
    assert f"({ours} || span.audio.drift_ms > 100.0 || span.audio.drift_ms > 100)" in filtered("audio_drift_ms > 100", mapping)
    assert "(span.gpu.mem_mb <= 1.5 || span.gpu.mem_mb <= 1)" in filtered("gpu_memory_mb <= 1.5", mapping)
    assert filtered("gpu_memory_mb = 1.5", mapping).endswith("span.gpu.mem_mb = 1.5")


def test_the_recorded_question_has_its_known_answer(tmp_path: Path) -> None:
    tempo = Recorded({"/api/search": "question-search-drift-over-100.json"}, recorded_mapping(tmp_path))
    found = tempo.store.search(parse("{ span.inference_steps > 20 && span.audio_drift_ms > 100.0 }"), HOUR)
    assert found.table.num_rows == 28
    assert not found.truncated
    assert pc.min(found.table["audio_drift_ms"]).as_py() > 100  # pyright: ignore[reportAttributeAccessIssue]
    assert pc.min(found.table["inference_steps"]).as_py() > 20  # pyright: ignore[reportAttributeAccessIssue]


def test_a_full_answer_is_thrown_away_and_asked_in_halves() -> None:
    traces = [(f"{n:x}", START + n / 10, START + n / 10 + 1) for n in range(PAGE + 500)]
    tempo = Simulated(traces)
    found = tempo.store.search(None, Range(START * SECOND, (START + 3600) * SECOND))
    assert found.table.num_rows == PAGE + 500
    assert not found.truncated
    assert len(set(found.table["trace_id"].to_pylist())) == PAGE + 500


def test_an_answer_too_large_for_tempo_is_asked_in_halves() -> None:
    traces = [(f"{n:x}", START + n, START + n + 0.5) for n in range(1, 600)]
    tempo = Simulated(traces, too_large=100)
    assert tempo.store.search(None, Range(START * SECOND, (START + 900) * SECOND)).table.num_rows == 599


def test_a_second_that_holds_more_than_a_page_is_asked_whole() -> None:
    tempo = Simulated([(f"{n:x}", START + 5.5, START + 5.75) for n in range(PAGE + 10)])
    found = tempo.store.search(None, Range(START * SECOND, (START + 10) * SECOND))
    assert found.table.num_rows == PAGE + 10
    assert {int(search["limit"]) for search in tempo.searches} == {PAGE, MOST}


def test_traces_outside_the_window_are_left_out_and_the_future_is_not_asked() -> None:
    now = int(time.time())
    # What Tempo does with a window in its last 30 s: it looks at the last 15 minutes instead.
    tempo = Simulated([("a", now - 600, now - 599), ("b", now - 10, now - 9)])
    tempo.late = lambda trace: 0
    found = tempo.store.search(None, Range((now - 20) * SECOND, None))
    assert [id[-1] for id in found.table["trace_id"].to_pylist()] == ["b"]
    assert "the last 30 s may be missing" in found.asked
    asked = len(tempo.searches)
    assert tempo.store.search(None, Range((now + 60) * SECOND, None)).table.num_rows == 0
    assert len(tempo.searches) == asked


def test_a_window_that_tempo_cuts_to_nothing_is_empty_and_no_error() -> None:
    words = "http parameter start must be before end. received start=1795384716 end=1795384716"
    store = TempoStore("http://tempo", transport=httpx.MockTransport(lambda _: httpx.Response(400, text=words)))
    assert store.search(None, HOUR).table.num_rows == 0
    assert store.count(None, HOUR) == 0


def test_every_request_has_both_ends_in_whole_seconds_and_no_body() -> None:
    tempo = Recorded({"/api/search": "search-empty.json"})
    tempo.store.search(None, Range(None, None))
    tempo.store.search(parse("fps > 3"), Range(START * SECOND + 1, END * SECOND - 1))
    for request in tempo.requests:
        assert request.method == "GET"
        assert not request.content
    for asked in tempo.asked():
        assert int(asked["start"]) < int(asked["end"]) <= int(asked["start"]) + 7 * 24 * 3600
        assert asked["q"].startswith("{ (name = ")
        assert asked["q"].count("{") == 1  # one span decides: Tempo may hold a long trace in pieces


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_an_unknown_trace_is_empty_in_both_ways_of_saying_so(version: str) -> None:
    tempo = Recorded({"/api/v2/traces/": "trace-v2-not-found-200.json"} if version == "v2" else {})
    found = tempo.store.trace("0123456789abcdef0123456789abcdef")
    assert (found.table.num_rows, found.truncated) == (0, False)


def test_missing_values_and_negation_are_not_left_to_tempo() -> None:
    assert condition(parse("seed = nil"), Mapping()).text == condition(None, Mapping()).text
    assert condition(parse("!(fps > 30)"), Mapping()).text == condition(None, Mapping()).text
    both = condition(parse("fps > 30 && !(inference_steps > 20) && seed = nil"), Mapping())
    assert both.text.endswith("&& span.fps > 30.0")
    assert not both.exact


def test_a_value_that_the_join_takes_from_elsewhere_drops_no_span() -> None:
    for text in ("run_inference_ms > 30s", "user_score = 1", "attempt = 1", 'error_message =~ ".*x"'):
        assert condition(parse(text), Mapping()).text == condition(None, Mapping()).text
    assert condition(parse("trace_id = abc"), Mapping()).text.endswith('trace:id = "abc"')
    assert condition(parse('trace_id =~ "a.*"'), Mapping()).text == condition(None, Mapping()).text  # 500 in Tempo


def test_what_is_no_number_is_missing() -> None:
    answer = orjson.loads((FIXTURES / "search-limit-hit-any.json").read_bytes())
    pairs = answer["traces"][0]["spanSets"][0]["spans"][0]["attributes"]
    pairs += [{"key": "audio_drift_ms", "value": {"doubleValue": "NaN"}}, {"key": "rtf", "value": {"doubleValue": "Infinity"}}]
    table, unreadable = tempo_rows.rows(tempo_rows.found_spans(answer), Mapping())
    assert unreadable == 0
    assert table["audio_drift_ms"].null_count == table["rtf"].null_count == table.num_rows


def test_a_long_trace_that_lies_in_late_blocks_is_found_from_behind_the_range() -> None:
    tempo = Simulated([("a", START + 10, START + 400), ("b", START + 20, START + 25), ("c", START + 300, START + 301)])
    tempo.late = lambda trace: trace[2] - 120 if trace[2] - trace[1] > 120 else 0
    found = tempo.store.search(None, Range(START * SECOND, (START + 60) * SECOND))
    assert sorted(id[-1] for id in found.table["trace_id"].to_pylist()) == ["a", "b"]
    assert [s for s in tempo.searches if int(s["start"]) > START + 60] != []
    assert all("duration >=" in s["q"] for s in tempo.searches if int(s["start"]) > START + 60)


def test_a_span_s_own_status_and_the_request_s_are_told_apart() -> None:
    for order in (0, 1):
        pairs = [{"key": "status", "value": {"stringValue": text}} for text in ("error", "cancelled")][:: 1 if order else -1]
        span = {"spanID": "1", "startTimeUnixNano": "5", "durationNanos": "1", "attributes": pairs}
        group = {"spans": [span], "matched": 1, "attributes": [{"key": "by(status)", "value": {"stringValue": "error"}}]}
        table, _ = tempo_rows.rows(tempo_rows.found_spans({"traces": [{"traceID": "1", "spanSets": [group]}]}), Mapping())
        assert (table["span_status"][0].as_py(), table["status"][0].as_py()) == ("error", "cancelled")


def test_a_key_of_spans_and_of_resources_is_brought_from_the_spans_alone() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/v2/search/tags":
            scopes = [{"name": "resource", "tags": ["region", "zone", "fps"]}, {"name": "span", "tags": ["region", "own thing"]}]
            return httpx.Response(200, json={"scopes": scopes})
        asked.append(request.url.params["q"])
        return httpx.Response(200, json={"traces": []})

    TempoStore("http://tempo", transport=httpx.MockTransport(answer)).search(None, HOUR)
    assert 'span.region, span."own thing"' in asked[-1] or 'span."own thing", span.region' in asked[-1]
    assert "resource.zone" in asked[-1]
    assert "resource.region" not in asked[-1]
    assert "resource.fps" not in asked[-1]


def test_an_attribute_that_tempo_cuts_is_not_compared_there() -> None:
    assert "error_message" not in condition(parse(f'error_message = "{"x" * 3000}"'), Mapping()).text


def test_leading_zeros_of_ids_come_back() -> None:
    tempo = Recorded({"/api/search": "search-select-3-traces.json"})
    ids = tempo.store.search(None, HOUR).table["trace_id"].to_pylist()
    assert "07834632a929a3c90b148b92b89623e6" in ids
    assert {len(id) for id in ids} == {32}


def test_children_are_found_by_the_ids_of_their_traces_and_none_is_cut_unseen() -> None:
    tempo = Recorded({"/api/search": "search-select-all-spans-1-trace.json", "/api/v2/traces/": "trace-v2-by-id.json"})
    found = tempo.store.spans(["2d15dbe371231073639219b2c864669a"] * 501, HOUR)
    assert sorted(found.table["name"].to_pylist())[:2] == ["encode_video", "load_audio"]
    lists = [asked["q"].count("trace:id") for asked in tempo.asked()]
    assert sorted(lists) == [1, 500]
    assert {asked["spss"] for asked in tempo.asked()} == {"100"}
    answer = orjson.loads((FIXTURES / "search-select-all-spans-1-trace.json").read_bytes())
    answer["traces"][0]["spanSets"][0]["matched"] = 120
    assert tempo_rows.cut_traces(answer) == ["2d15dbe371231073639219b2c864669a"]


def test_totals_are_instant_and_nothing_found_is_zero() -> None:
    where = parse("inference_steps > 20 && audio_drift_ms > 100")
    for name, count in (
        ("question-metrics-instant-drift-over-100", 28),
        ("question-metrics-instant-total", 101),
        ("metrics-empty", 0),
    ):
        tempo = Recorded({"/api/metrics/query": f"{name}.json"})
        assert tempo.store.count(where, HOUR) == count
        assert tempo.requests[0].url.path == "/api/metrics/query"
    assert tempo.store.count(parse("seed = nil"), HOUR) is None
    assert Recorded({"/api/metrics/query": "metrics-range-too-long-400.txt"}).store.count(None, HOUR) is None
    assert Recorded({}).store.count(None, HOUR) is None
