"""A queue that fills refuses the less urgent first, and says when to come back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deployments.artifacts import artifacts_at
from serve import jobs
from serve.admission import Admission
from serve.answers import error_response
from serve.expect import ENOUGH
from serve.jobs import JobTable
from serve.settings import Settings
from serve.uploads import AssetStore
from telemetry.errors import RequestError
from telemetry.redact import Redactor
from telemetry.tracing import setup
from tests.serve.test_admission import form, request

LIMIT = 10


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Admission]:
    settings = Settings(data_dir=tmp_path, max_jobs_queued=LIMIT)  # pyright: ignore[reportCallIssue]
    settings.prepare()
    telemetry = setup("test", tmp_path)
    table = JobTable(settings.jobs_url)
    yield Admission(settings, table, AssetStore(artifacts_at(settings.place)), telemetry, Redactor(b"k" * 32))
    table.close()
    telemetry.shutdown()


def ask(door: Admission, priority: str) -> RequestError | None:
    headers, body = form()
    try:
        asyncio.run(door.accept(request({**headers, "x-priority": priority}, body)))
    except RequestError as error:
        return error
    return None


def fill(door: Admission, job: Callable[..., dict], waiting: int) -> None:
    for _ in range(waiting):
        door._table.add(job())


@pytest.mark.parametrize(
    ("waiting", "taken"), [(4, {"low", "normal", "high"}), (5, {"normal", "high"}), (9, {"high"}), (10, set())]
)
def test_the_less_urgent_is_refused_first(door: Admission, job: Callable[..., dict], waiting: int, taken: set[str]) -> None:
    for priority in ("low", "normal", "high"):
        fill(door, job, waiting - door._table.waiting())
        error = ask(door, priority)
        assert (error is None) is (priority in taken), priority
        assert error is None or (error.type, error.http_status) == ("overloaded", 503)
        if error is None:  # make the place free again
            row = door._table.claim("me", 30.0)
            assert row is not None


def test_a_refusal_says_when_to_come_back_from_what_jobs_took(door: Admission, job: Callable[..., dict]) -> None:
    for number in range(ENOUGH):  # one after the other
        door._table.add(job())
        row = door._table.claim("me", 30.0)
        assert row is not None
        ended = time.time_ns() - number * 8 * 10**9
        door._table.note(row["job_id"], "me", started_ns=ended - 8 * 10**9)
        door._table.finish(row, jobs.SUCCEEDED, ended_ns=ended, result={"device_s": 8.0})
    fill(door, job, LIMIT)
    error = ask(door, "high")
    assert error is not None
    assert error_response(error, "t").headers["retry-after"] == "8"  # a tenth of ten jobs of 8 s


def test_a_service_that_is_being_stopped_takes_nothing_in_and_counts_it(door: Admission) -> None:
    door.draining = True
    error = ask(door, "high")
    assert error is not None
    assert error.type == "overloaded"
    text = door.meters.text(None).decode()
    assert 'sonoscope_refused_total{error_type="overloaded"} 1.0' in text
    assert "sonoscope_runner_up 0.0" in text
