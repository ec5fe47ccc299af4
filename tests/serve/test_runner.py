"""The runner with a real table and a real journal; only the pipeline behind it is a stand-in that does what a test tells it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import orjson
import pytest

from serve import jobs
from serve.jobs import JobTable
from serve.settings import Settings
from telemetry import fields
from telemetry.errors import RequestError
from telemetry.segments import read_lines
from telemetry.tracing import setup

pytestmark = pytest.mark.filterwarnings("ignore::pydantic.PydanticDeprecatedSince20")  # Ray's own models, when they are imported
Pipeline = Callable[[dict[str, Any]], Awaitable[None]]
VALUES = {"operation": "generate", "min_resolution": 512, "audio_hash": "a" * 64, "portrait_hash": "b" * 64}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(data_dir=tmp_path, job_lease_s=2.0, job_backoff_s=0.05, max_jobs_running=1, flow_host="127.0.0.1")  # pyright: ignore[reportCallIssue]
    made.prepare()
    return made


def with_runner(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    pipeline: Pipeline,
    test: Callable[[Any, JobTable], Coroutine[Any, Any, None]],
) -> None:
    """Runs `test(runner, table)` in a loop with a runner whose pipeline is `pipeline(values of the job)`."""

    from serve import runner

    async def generate(_stages: Any, _context: Any, values: dict[str, Any], *_: Any) -> None:
        await pipeline(values)

    monkeypatch.setattr(runner, "generate", generate)

    async def main() -> None:
        one: Any = runner.Runner.func_or_class(settings, None, None, None, None)  # pyright: ignore[reportArgumentType]
        table = JobTable(settings.jobs_url)
        one.wake()
        try:
            await asyncio.wait_for(test(one, table), 60)
        finally:
            for task in one._loops:
                task.cancel()
            await asyncio.gather(*one._loops, return_exceptions=True)
            one._table.close()
            table.close()

    asyncio.run(main())
    setup("sonoscope", settings.data_dir).shutdown()


def events(settings: Settings, job_id: str) -> list[dict[str, Any]]:
    lines = read_lines(settings.journal_dir, "events", containing=f"r-{job_id}".encode())
    return [orjson.loads(line) for line in lines]


def ends(settings: Settings, job_id: str) -> list[tuple[str, int]]:
    return [(e["event_type"], e["attempt"]) for e in events(settings, job_id) if e["event_type"] in fields.TERMINAL_EVENTS]


async def until(table: JobTable, job_id: str, *states: str) -> jobs.Row:
    while (row := table.get(job_id)) is None or row["state"] not in states:
        await asyncio.sleep(0.02)
    return row


async def nothing(_: dict[str, Any]) -> None:
    return


async def for_ever(_: dict[str, Any]) -> None:
    await asyncio.sleep(3600)


def test_a_job_ends_once_in_table_and_journal_with_its_wait_as_a_span(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, job: Callable[..., dict]
) -> None:
    async def test(one: Any, table: JobTable) -> None:
        table.add(job("one", values=VALUES))
        row = await one.wait("one")
        assert (row["state"], row["attempt"]) == (jobs.SUCCEEDED, 1)

    with_runner(settings, monkeypatch, nothing, test)
    assert ends(settings, "one") == [("business_output", 1)]
    spans = [
        orjson.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"][0] for line in read_lines(settings.journal_dir, "spans")
    ]
    assert {span["name"] for span in spans} == {"queue_wait", "sonic_generation"}
    assert len({span["traceId"] for span in spans}) == 1


def test_an_error_that_may_pass_is_tried_again_and_leaves_one_end(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, job: Callable[..., dict]
) -> None:
    tried: list[int] = []

    async def fails_twice(values: dict[str, Any]) -> None:
        tried.append(values["min_resolution"])
        if len(tried) < 3:
            raise RequestError("encoder_timeout", "It stood still.", stage="encode_video")

    async def test(one: Any, table: JobTable) -> None:
        table.add(job("one", values=VALUES))
        assert (await one.wait("one"))["attempt"] == 3

    with_runner(settings, monkeypatch, fails_twice, test)
    assert ends(settings, "one") == [("business_output", 3)]
    assert [e["error_type"] for e in events(settings, "one") if e["event_type"] == "attempt_failed"] == ["encoder_timeout"] * 2


def test_a_cancelled_job_in_the_queue_ends_at_once_and_does_no_work(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, job: Callable[..., dict]
) -> None:
    worked: list[str] = []

    async def note(values: dict[str, Any]) -> None:
        worked.append(values["job_id"])
        await asyncio.sleep(3600)

    async def test(one: Any, table: JobTable) -> None:
        table.add(job("busy", values={**VALUES, "job_id": "busy"}))
        table.add(job("queued", values={**VALUES, "job_id": "queued"}))
        await until(table, "busy", jobs.RUNNING)
        await one.cancel("queued")
        assert table.get("queued")["state"] == jobs.CANCELLED, "the only slot is busy"
        await one.cancel("busy")
        await until(table, "busy", jobs.CANCELLED)

    with_runner(settings, monkeypatch, note, test)
    assert worked == ["busy"]
    assert ends(settings, "queued") == ends(settings, "busy") == [("request_failed", 1)]


def test_a_deadline_that_passes_in_the_queue_ends_the_job_while_the_slot_is_busy(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, job: Callable[..., dict]
) -> None:
    async def test(one: Any, table: JobTable) -> None:
        table.add(job("busy", values=VALUES))
        await until(table, "busy", jobs.RUNNING)
        table.add(job("late", values=VALUES, deadline=time.time() + 0.1))
        row = await until(table, "late", jobs.FAILED)
        assert row["error"]["type"] == "deadline_exceeded"
        await one.cancel("busy")
        await until(table, "busy", jobs.CANCELLED)

    with_runner(settings, monkeypatch, for_ever, test)


@pytest.mark.parametrize(
    ("cancelled", "attempt", "end"), [(False, 1, "business_output"), (True, 1, "request_failed"), (False, 3, "request_failed")]
)
def test_a_job_of_a_dead_runner_goes_on_or_ends_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, job: Callable[..., dict], cancelled: bool, attempt: int, end: str
) -> None:
    table = JobTable(settings.jobs_url)
    table.add(job("one", values=VALUES, attempt=attempt))
    table.claim("dead", -1.0)
    if cancelled:
        table.request_cancel("one")

    async def test(one: Any, table: JobTable) -> None:
        row = await until(table, "one", *jobs.FINAL_STATES)
        if attempt == 3:
            assert row["error"]["type"] == "replica_lost"
        while not table.get("one")["told"]:
            await asyncio.sleep(0.02)

    with_runner(settings, monkeypatch, nothing, test)
    table.close()
    assert [kind for kind, _ in ends(settings, "one")] == [end]


def test_a_runner_that_lost_its_lease_stops_its_work_and_writes_no_end(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, job: Callable[..., dict]
) -> None:
    async def test(one: Any, table: JobTable) -> None:
        table.add(job("one", values=VALUES))
        row = await until(table, "one", jobs.RUNNING)
        table.requeue(row, not_before=time.time() + 3600, values=VALUES)
        while one._running:
            await asyncio.sleep(0.02)
        now = table.get("one")
        assert (now["state"], now["attempt"]) == (jobs.QUEUED, 2)

    with_runner(settings, monkeypatch, for_ever, test)
    assert ends(settings, "one") == []


def test_a_drained_runner_lets_the_short_end_puts_the_long_back_and_takes_nothing_new(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, job: Callable[..., dict]
) -> None:
    async def as_long_as_asked(values: dict[str, Any]) -> None:
        await asyncio.sleep(values["duration_s"])

    async def test(one: Any, table: JobTable) -> None:
        for name, seconds in (("short", 0.5), ("long", 3600.0), ("waiting", 0.1)):
            table.add(job(name, values={**VALUES, "duration_s": seconds}))
        await until(table, "short", jobs.RUNNING)
        await until(table, "long", jobs.RUNNING)
        assert await one.drain(1.0) == 1
        await until(table, "short", jobs.SUCCEEDED)
        long, waiting = table.get("long"), table.get("waiting")
        assert (long["state"], long["attempt"], long["attempt_limit"]) == (jobs.QUEUED, 2, 4)
        assert (waiting["state"], waiting["attempt"]) == (jobs.QUEUED, 1)

    with_runner(settings.model_copy(update={"max_jobs_running": 2}), monkeypatch, as_long_as_asked, test)
    assert ends(settings, "long") == []


def test_ends_that_a_dead_runner_did_not_tell_are_told(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, job: Callable[..., dict]
) -> None:
    table = JobTable(settings.jobs_url)
    table.add(job("one", values=VALUES))
    row = table.claim("dead", 30.0)
    assert row is not None
    result = {"status": "ok", "video_s": 1.0, "operation": "generate"}
    table.finish(row, jobs.SUCCEEDED, ended_ns=time.time_ns() - 10**10, result=result)

    async def test(one: Any, table: JobTable) -> None:
        while not table.get("one")["told"]:
            await asyncio.sleep(0.02)

    with_runner(settings, monkeypatch, nothing, test)
    table.close()
    assert ends(settings, "one") == [("business_output", 1)]
