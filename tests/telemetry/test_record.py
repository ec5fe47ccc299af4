"""One row a request: the record span and the terminal event hold the same, exactly once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from telemetry import fields
from telemetry.context import RequestContext
from telemetry.errors import RequestError
from telemetry.journal import Journal, read_losses
from telemetry.record import RequestRecord
from telemetry.tracing import Telemetry
from telemetry.values import rfc3339

Rows = Callable[[str], list[dict[str, Any]]]
_START = 1_795_000_000_000_000_000


@pytest.fixture
def record(telemetry: Telemetry, context: RequestContext) -> RequestRecord:
    return RequestRecord(telemetry, context, started_ns=_START, values=fields.defaults() | {"seed": 7})


def _terminal(rows: Rows) -> list[dict[str, Any]]:
    return [row for row in rows("events") if row["event_type"] in fields.TERMINAL_EVENTS]


def test_span_and_event_and_returned_row_agree_in_every_field(record: RequestRecord, context: RequestContext, rows: Rows) -> None:
    record.update(video_s=2, audio_drift_ms=float("nan"), cache_hit=False, width=512, own_field=3, seed=8)
    record.advise("fps_low")
    row = record.finish(_START + 3_000_000_000)
    (span,), (event,) = rows("spans"), _terminal(rows)

    assert span["attributes"] == row
    times = {name: rfc3339(int(str(row[name]))) for name in ("started_at", "ended_at")}
    assert {name: event[name] for name in row} == row | times
    assert (event["event_type"], event["trace.id"], event["span.id"]) == ("business_output", context.trace_id, context.span_id)

    expected = {
        "status": "ok", "http_status": 200, "seed": 8, "latency_s": 3.0, "rtf": 1.5, "clock_skew": False, "own_field": 3,
        "advice": ["fps_low"], "trace_id": context.trace_id, "request_id": context.request_id, "job_id": "job-1", "attempt": 1,
        "operation": "generate", "department": "film", "synthetic": True, "started_at": _START, "video_s": 2.0,
    }  # fmt: skip
    assert expected.items() <= row.items()
    assert "audio_drift_ms" not in row


def test_the_record_span_has_the_ids_and_the_times_that_were_promised(
    record: RequestRecord, context: RequestContext, rows: Rows
) -> None:
    record.finish(_START + 5)
    (span,) = rows("spans")
    assert (span["name"], span["traceId"], span["spanId"]) == ("sonic_generation", context.trace_id, context.span_id)
    assert (span["startTimeUnixNano"], span["endTimeUnixNano"]) == (str(_START), str(_START + 5))
    assert "parentSpanId" not in span
    assert span["status"] == {"code": 1}


def test_the_clients_span_is_the_parent(telemetry: Telemetry, context: RequestContext, rows: Rows) -> None:
    client = f"00-{context.trace_id}-{'2' * 16}-01"
    recognition = replace(context, operation="recognize")
    RequestRecord(telemetry, recognition, started_ns=_START, values={}, parent=client).finish()
    (span,) = rows("spans")
    assert (span["name"], span["traceId"], span["spanId"]) == ("recognition", context.trace_id, context.span_id)
    assert span["parentSpanId"] == "2" * 16


@pytest.mark.parametrize(
    ("error_type", "status", "http_status"), [("face_not_found", "error", 422), ("cancelled", "cancelled", 409)]
)
def test_a_failure_is_told_alike_in_span_and_event(
    record: RequestRecord, rows: Rows, error_type: str, status: str, http_status: int
) -> None:
    record.fail(RequestError(error_type, "No luck.", stage="preprocess_image"))
    row = record.finish()
    (span,), (event,) = rows("spans"), _terminal(rows)
    expected = {
        "status": status, "http_status": http_status, "error_type": error_type, "error_message": "No luck.",
        "failed_stage": "preprocess_image",
    }  # fmt: skip
    assert expected.items() <= row.items()
    assert expected.items() <= event.items()
    assert span["attributes"] == row
    assert event["event_type"] == "request_failed"
    assert span["status"] == {"code": 2, "message": "No luck."}
    assert [(e["name"], e["timeUnixNano"]) for e in span["events"]] == [("exception", span["endTimeUnixNano"])]


def test_only_the_first_end_counts_whoever_comes_second(record: RequestRecord, rows: Rows) -> None:
    answers: list[dict[str, Any]] = []
    threads = [threading.Thread(target=lambda: answers.append(record.finish())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    record.fail(RequestError("internal", "too late"))
    record.update(width=1)
    record.advise("too_late")
    assert len(_terminal(rows)) == len(rows("spans")) == 1
    assert all(answer == answers[0] for answer in [*answers, record.finish()])


def test_an_end_before_the_start_counts_as_no_time_and_is_flagged(record: RequestRecord, rows: Rows) -> None:
    row = record.finish(_START - 10)
    assert (row["latency_s"], row["clock_skew"], row["ended_at"]) == (0.0, True, _START)
    assert rows("spans")[0]["endTimeUnixNano"] == str(_START)


def test_every_new_advice_is_an_event(record: RequestRecord, rows: Rows) -> None:
    record.advise("fps_low", "fps_low")
    record.update(advice=["seed_odd", "fps_low"])
    row = record.finish()
    assert row["advice"] == ["fps_low", "seed_odd"]
    advice = [event for event in rows("events") if event["event_type"] == "advice"]
    assert [event["advice_code"] for event in advice] == ["fps_low", "seed_odd"]


def test_telemetry_that_cannot_write_still_answers(
    record: RequestRecord, telemetry: Telemetry, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> bool:
        raise ZeroDivisionError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "write", broken)
        row = record.finish(_START + 1)
    assert row["status"] == "ok"
    assert rows("spans") == rows("events") == []
    losses = read_losses(telemetry.journal.directory)
    assert losses["telemetry_errors"] == 2
    assert "ZeroDivisionError" in losses["last_error"]
