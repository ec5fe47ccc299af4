"""One row a request, whatever was lost, late, twice or never ended."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import orjson
import pytest

from analytics.filters import parse
from analytics.nearby import preceded_by
from analytics.requests import Remote, Requests, from_file, joined, load
from analytics.stores.base import Answer, Range
from analytics.stores.local import LocalStore
from telemetry import fields
from telemetry.compact import Compactor
from telemetry.errors import RequestError

from .conftest import SECOND, START, Service


def rows(found: Requests) -> dict[str, dict[str, Any]]:
    return {row["request_id"]: row for row in found.table.to_pylist()}


def compact(service: Service) -> None:
    service.telemetry.journal.close()
    Compactor(service.folder / "journal", service.folder / "parquet").run_once()


@pytest.mark.parametrize("where", ["live", "parquet", "both"])
def test_a_request_is_one_row_wherever_it_lies(service: Service, where: str) -> None:
    for number in range(4):
        service.request(number, inference_steps=20 + number, audio_drift_ms=50.0 * number)
        if where == "parquet" or (where == "both" and number == 1):
            compact(service)
    found = load(service.store)
    assert found.table.num_rows == 4
    assert found.coverage.with_both == 4
    assert not found.truncated
    for number, row in enumerate(sorted(found.table.to_pylist(), key=lambda row: row["request_id"])):
        assert (row["inference_steps"], row["audio_drift_ms"]) == (20 + number, 50.0 * number)
        assert row["started_at"].value == START + number * SECOND
        assert row["name"] == "sonic_generation"
        assert row["has_trace"]
        assert row["has_logs"]


def test_the_columns_have_the_types_of_the_table_of_names(service: Service) -> None:
    service.request(1)
    schema = load(service.store).table.schema
    for field in fields.arrow_schema():
        assert schema.field(field.name).type == field.type


def test_the_flagship_question(service: Service) -> None:
    for number in range(10):
        service.request(number, inference_steps=16 + number, audio_drift_ms=40.0 * number)
    where = parse("{ span.inference_steps > 20 && span.audio_drift_ms > 250.0 }")
    with joined(service.store, Range(), where) as view:
        matched, coverage = view.count(where)
    assert (matched, coverage.requests) == (3, 10)
    assert load(service.store, where=where).table.num_rows == 3


def test_a_request_without_its_trace_or_without_its_log_is_a_row(service: Service) -> None:
    service.request(1, fps=30.0)
    service.telemetry.journal.close()
    sealed = service.folder / "journal" / "sealed"
    for kind, missing in (("events", "spans"), ("spans", "events")):
        folder = service.folder / f"only_{kind}" / "journal"
        shutil.copytree(sealed, folder / "sealed")
        for path in folder.rglob(f"*.{missing}.jsonl"):
            path.unlink()
        found = load(LocalStore(folder))
        (row,) = found.table.to_pylist()
        assert row["fps"] == 30.0
        assert (row["has_logs"], row["has_trace"]) == (kind == "events", kind == "spans")
        assert found.coverage.with_both == 0
        assert "without" in found.coverage.sentence()


def test_what_never_ended_is_completed_as_lost_after_its_deadline(service: Service) -> None:
    service.receive(service.context(1), inference_steps=40)
    service.request(2)
    assert load(service.store, deadline_s=3600.0).coverage.running == 1
    found = load(service.store, deadline_s=None)
    assert (found.coverage.orphans, found.coverage.running) == (1, 0)
    row = rows(found)["request-0001"]
    assert (row["status"], row["error_type"], row["http_status"]) == ("error", "replica_lost", 503)
    assert (row["orphan"], row["has_logs"], row["inference_steps"]) == (True, False, 40)
    assert not rows(found)["request-0002"]["orphan"]


def test_the_first_real_end_counts_and_others_are_counted(service: Service) -> None:
    context = service.context(1)
    service.finish(context, START, RequestError("replica_lost", "nobody knew better"))
    service.finish(context, START, inference_steps=30)
    service.finish(context, START, inference_steps=31)
    found = load(service.store)
    (row,) = found.table.to_pylist()
    assert (row["status"], row["inference_steps"], row["duplicates"]) == ("ok", 30, 4)
    assert found.coverage.duplicates == 4


def test_attempts_of_one_job_are_rows_and_the_later_ones_are_marked(service: Service) -> None:
    for attempt in (1, 2):
        service.finish(service.context(1, attempt), START + attempt * SECOND)
    found = load(service.store)
    assert sorted((row["attempt"], row["is_retry"]) for row in found.table.to_pylist()) == [(1, False), (2, True)]
    assert found.coverage.retries == 1


def test_the_last_judgement_counts(service: Service) -> None:
    context = service.request(1)
    for score in (-1, 1):
        service.telemetry.events.log_event("user_score", context, user_score=score)
    assert load(service.store, where=parse("user_score = 1")).table.num_rows == 1


def test_stage_times_of_a_failed_request_come_from_its_spans(service: Service) -> None:
    context = service.context(1)
    service.stage(context, "run_inference", START, 9200.0)
    service.finish(context, START, RequestError("internal", "it broke", stage="run_inference"))
    (row,) = load(service.store).table.to_pylist()
    assert row["run_inference_ms"] == 9200.0
    assert row["encode_video_ms"] is None


def test_a_range_takes_what_was_accepted_in_it_however_late_it_is_written(service: Service) -> None:
    for number in range(5):
        service.request(number)  # the events are written now, years from START
    compact(service)
    found = load(service.store, Range(START + SECOND, START + 3 * SECOND))
    assert sorted(rows(found)) == ["request-0001", "request-0002"]


def test_details_come_from_child_spans_and_events(service: Service) -> None:
    service.request(1)
    (row,) = load(service.store, where=parse("run_inference_start_ms > 400 && span_count = 2")).table.to_pylist()
    assert (row["run_inference_start_ms"], row["head_ms"], row["tail_ms"]) == (500.0, 500.0, 500.0)
    assert (row["event_count"], row["failed_spans"]) == (2, 0)


def test_a_limit_takes_the_newest_and_says_that_there_are_more(service: Service) -> None:
    for number in range(5):
        service.request(number)
    found = load(service.store, limit=2)
    assert sorted(rows(found)) == ["request-0003", "request-0004"]
    assert found.truncated
    assert found.coverage.requests == 5
    assert not load(service.store, limit=5).truncated


def test_groups_and_own_fields(service: Service) -> None:
    for number in range(4):
        service.request(number, inference_steps=10 * (number % 2), mouth=f"m{number % 2}")
    with joined(service.store, Range()) as view:
        assert "mouth" in view.own_names()
        groups = view.group("inference_steps", parse("started_at >= `2026-11-18T00:00:00Z`"))
    assert groups["total"].to_pylist() == [2, 2]
    own = {"mouth": None}
    from analytics.columns import vocabulary

    assert load(service.store, where=parse("mouth = m1", vocabulary(own))).table.num_rows == 2


def test_a_question_that_needs_both_sides(service: Service) -> None:
    """Which slow run_inference had a fault injected on the same host within five seconds before it began?"""
    import time

    for number in range(2):
        context = service.context(number)
        if number:
            service.telemetry.events.log_event("fault_injected", context, fault="slow_stage")
        service.stage(context, "run_inference", time.time_ns() + (0 if number else -60 * SECOND), 9200.0)
        service.finish(context, time.time_ns())
    found = preceded_by(service.store, "run_inference", "fault_injected", within_s=5.0)
    (row,) = found.to_pylist()
    assert row["request_id"] == "request-0001"
    assert row["span_ms"] == pytest.approx(9200.0)
    assert 0.0 <= row["before_s"] < 5.0


def test_two_servers_are_joined_like_the_files(service: Service) -> None:
    for number in range(3):
        service.request(number, inference_steps=number)

    class Twice:
        """A log store that delivers every line twice and cuts its answer."""

        def search(self, where: Any, range: Range, *, limit: int | None = None) -> Answer:
            import pyarrow as pa

            found = service.store.logs.search(where, range).table
            return Answer(pa.concat_tables([found, found]), True, "")

        surrounding = count_by = None

    found = load(Remote(service.store.traces, Twice()))  # pyright: ignore[reportArgumentType]
    assert sorted(row["inference_steps"] for row in found.table.to_pylist()) == [0, 1, 2]
    assert found.truncated


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_rows_of_a_file_are_asked_like_those_of_a_store(service: Service, tmp_path: Path, ending: str) -> None:
    import pyarrow.parquet as pq

    for number in range(6):
        service.request(number, inference_steps=20 + number, cache_hit=number % 2 == 0)
    found, path = load(service.store), tmp_path / f"rows.{ending}"
    if ending == "csv":
        found.frame.to_csv(path, index=False)
    else:
        pq.write_table(found.table, path)
    for text in ("inference_steps > 22", "cache_hit", "audio_drift_ms = nil", f"started_at >= `{'2026-11-18T11:06:42Z'}`"):
        with from_file(path) as view:
            assert view.count(parse(text))[0] == load(service.store, where=parse(text)).table.num_rows, text
    with from_file(path, Range(START + 2 * SECOND, None)) as view:
        assert view.count()[0] == 4


def test_nothing_is_an_answer(service: Service) -> None:
    found = load(service.store)
    assert found.table.num_rows == 0
    assert found.coverage.requests == 0
    assert found.coverage.sentence() == "0 requests, 0 of them with trace and log"
    assert orjson.dumps(found.coverage.as_dict())
