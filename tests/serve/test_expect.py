"""How long a job will take is what like jobs took, with those before it; where too little is known, nothing is said."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from serve import jobs
from serve.expect import ENOUGH, Expectation
from serve.jobs import JobTable

SLOW = {"model_name": "lite", "inference_steps": 50, "min_resolution": 512, "fps": 25.0}
FAST = {**SLOW, "inference_steps": 10}


def past(table: JobTable, job: Callable[..., dict], values: dict, took_s: float, times: int = ENOUGH, *, at_once: int = 1) -> None:
    """Jobs that ran one after the other, or so many at a time; half of each was inference."""
    for number in range(times):
        table.add(job(values=values))
        row = table.claim("me", 30.0)
        assert row is not None
        started = row["started_ns"] - (1 + number // at_once) * int(took_s * 1e9)
        table.note(row["job_id"], "me", started_ns=started)
        table.finish(row, jobs.SUCCEEDED, ended_ns=started + int(took_s * 1e9), result={"device_s": took_s / 2})


def test_nothing_is_said_before_enough_is_known(table: JobTable, job: Callable[..., dict]) -> None:
    past(table, job, SLOW, 8.0, ENOUGH - 1)
    table.add(job("one", values=SLOW))
    assert Expectation(table).outlook(table.get("one")) == (0, None)


def test_a_queued_job_takes_what_is_before_it_on_the_device_and_its_own_time(table: JobTable, job: Callable[..., dict]) -> None:
    past(table, job, SLOW, 8.0)
    past(table, job, FAST, 2.0)
    for name, values in (("a", SLOW), ("b", FAST), ("c", FAST)):
        table.add(job(name, values=values))
    expected = Expectation(table)
    assert expected.outlook(table.get("a")) == (0, pytest.approx(8.0))
    assert expected.outlook(table.get("c")) == (2, pytest.approx(4.0 + 1.0 + 2.0))


def test_devices_that_work_side_by_side_share_what_is_ahead(table: JobTable, job: Callable[..., dict]) -> None:
    past(table, job, SLOW, 8.0, 40, at_once=8)  # each has half of its time on a device: four at a time
    for name in ("a", "b", "c", "d", "e"):
        table.add(job(name, values=SLOW))
    expected = Expectation(table)
    assert expected.outlook(table.get("e")) == (4, pytest.approx(4 * 4.0 / 4 + 8.0, rel=0.01))
    assert expected.drain_s() == pytest.approx(5 * 4.0 / 4, rel=0.01)


def test_a_running_job_takes_the_rest_of_its_time_and_an_ended_one_none(table: JobTable, job: Callable[..., dict]) -> None:
    past(table, job, SLOW, 8.0)
    table.add(job("one", values=SLOW))
    row = table.claim("me", 30.0)
    assert row is not None
    table.note("one", "me", started_ns=time.time_ns() - 6 * 10**9)
    assert Expectation(table).outlook(table.get("one")) == (None, pytest.approx(2.0, abs=0.9))
    table.finish(row, jobs.FAILED)
    assert Expectation(table).outlook(table.get("one")) == (None, None)
