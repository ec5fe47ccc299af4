"""A request ends once in the journal, whatever dies between the table and the journal."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from serve import jobs
from serve.ends import record_of, tell_again
from serve.jobs import JobTable
from serve.settings import Settings
from telemetry import fields
from telemetry.compact import Compactor
from telemetry.errors import RequestError
from telemetry.segments import read_lines
from telemetry.tracing import Telemetry, setup


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(data_dir=tmp_path)  # pyright: ignore[reportCallIssue]
    made.prepare()
    return made


def terminal(settings: Settings) -> list[dict[str, Any]]:
    events = (orjson.loads(line) for line in read_lines(settings.journal_dir, "events"))
    return [event for event in events if event["event_type"] in fields.TERMINAL_EVENTS]


def decided(telemetry: Telemetry, settings: Settings, job: Callable[..., dict], *, told: bool) -> Any:
    """A job that a runner ended with an error in the table, and told or did not tell."""
    table = JobTable(settings.jobs_url)
    table.add(job("one"))
    row = table.claim("dead", 30.0)
    assert row is not None
    record = record_of(telemetry, row)
    record.fail(RequestError("face_not_found", "No face.", stage="preprocess_image"))
    result = record.close()
    error = RequestError("face_not_found", "No face.").as_dict()
    assert table.finish(row, jobs.FAILED, ended_ns=result["ended_at"], result=result, error=error)
    if told:
        record.finish()
    (found,) = table.untold("alive", time.time_ns() + 1)
    return found


def test_an_end_that_was_decided_and_not_told_is_told_from_the_table(settings: Settings, job: Callable[..., dict]) -> None:
    telemetry = setup("test", settings.data_dir)
    row = decided(telemetry, settings, job, told=False)
    assert terminal(settings) == []
    assert tell_again(telemetry, settings, row)
    (event,) = terminal(settings)
    assert (event["error_type"], event["failed_stage"], event["request_id"]) == ("face_not_found", "preprocess_image", "r-one")
    assert event["latency_s"] == row["result"]["latency_s"]
    assert len(list(read_lines(settings.journal_dir, "spans"))) == 1
    telemetry.shutdown()


@pytest.mark.parametrize("compacted", [False, True])
def test_an_end_that_was_told_is_not_told_again(settings: Settings, job: Callable[..., dict], compacted: bool) -> None:
    telemetry = setup("test", settings.data_dir)
    row = decided(telemetry, settings, job, told=True)
    if compacted:
        telemetry.shutdown()
        Compactor(settings.journal_dir, settings.parquet_dir).run_once()
        assert terminal(settings) == []
        telemetry = setup("test", settings.data_dir)
    assert not tell_again(telemetry, settings, row)
    assert len(terminal(settings)) == (0 if compacted else 1)
    telemetry.shutdown()
