"""Runs the jobs of the table: the one path on which a generation is executed, whether somebody waits for it or not."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeVar

import ray
from ray import serve
from sqlalchemy.exc import OperationalError

from deployments.artifacts import artifacts_at
from deployments.lifeline import Lifeline
from deployments.messages import LOAD_AUDIO, RUN_INFERENCE, Progress
from serve import jobs
from serve.ends import context_of, record_of, state_of, tell_again
from serve.jobs import JobTable
from serve.meters import RunnerMeters
from serve.pipeline import Handle, PixelBudget, Stages, generate
from serve.retention import sweep, sweep_assets
from serve.retry import Again, another, used
from serve.settings import Settings
from serve.views import job_answer
from serve.webhooks import Messenger, message
from telemetry.context import RequestContext
from telemetry.errors import RequestError
from telemetry.ids import uuid7
from telemetry.record import RequestRecord
from telemetry.stages import past
from telemetry.tracing import setup

NAME = "runner"
QUEUE_WAIT = "queue_wait"
"""Span of the time that an attempt waited for its turn."""
_log = logging.getLogger("ray.serve")

PROGRESS_S = 0.05
"""Seconds between two writes of one job's progress: a write takes 0.5 ms, and readers look every 0.1 s."""
LOOK_S = 1.0
"""Seconds between two looks at the table for what nobody told us: a job whose back-off is over. A look takes 0.4 ms."""
RETENTION_S = 60.0
"""Seconds between two looks for results that are too old."""

T = TypeVar("T")


@serve.deployment(name=NAME)
class Runner:
    """Takes queued jobs from the table, sees each to its end, and is the only one that sets their states."""

    def __init__(
        self, settings: Settings, load_audio: Handle, preprocess_image: Handle, encode_video: Handle, measure_sync: Handle
    ):
        self._settings = settings
        self._telemetry = setup("sonoscope", settings.data_dir, environment=settings.environment, version=settings.service_version)
        self._table = JobTable(settings.jobs_url)
        self._artifacts = artifacts_at(settings.place)
        self._stages = Stages(load_audio, preprocess_image, encode_video, measure_sync)
        self._name = f"{socket.gethostname()[:40]}-{os.getpid()}-{uuid7()[:13]}"
        self._budget = PixelBudget(settings.max_pixel_seconds)
        self._slots = asyncio.Semaphore(settings.max_jobs_running)
        self._database = ThreadPoolExecutor(1, "jobs")
        self._running: dict[str, asyncio.Task[None]] = {}
        self._work: dict[str, asyncio.Task[None]] = {}
        self._lost: set[str] = set()
        self._drained: set[str] = set()
        self._open = asyncio.Event()
        self._open.set()
        self._meters = RunnerMeters()
        self._ended: dict[str, asyncio.Event] = {}
        self._wake = asyncio.Event()
        self._loops: list[asyncio.Task[None]] = []
        self._messenger = Messenger(
            self._table,
            settings.webhook_key,
            self._webhook_body,
            allow_private=settings.webhook_allow_private,
            backoff_s=settings.webhook_backoff_s,
        )

        # Serve awaits this before a replica ends (an update). An attribute of the instance, for the interpreter would call a method
        # of the class as well, and not await it.
        self.__del__ = self._hand_over

    async def wait(self, job_id: str) -> dict[str, Any] | None:
        """Wakes the runner for a new job and waits for its end; returns its row (None where there is no such job)."""
        ended = self._ended.setdefault(job_id, asyncio.Event())
        self.wake()
        while (row := await self._in_database(self._table.get, job_id)) is not None and row["state"] not in jobs.FINAL_STATES:
            try:
                await asyncio.wait_for(ended.wait(), self._settings.job_lease_s)
            except TimeoutError:
                continue  # another runner may end it, and tells nobody here
        self._ended.pop(job_id, None)
        return None if row is None else dict(row)

    async def notify(self) -> None:
        """Says that the table has something new."""
        self.wake()

    async def cancel(self, job_id: str) -> None:
        """Stops a job: at its next step where it runs, at once where it is queued."""
        await self._in_database(self._table.request_cancel, job_id)
        if job_id in self._work:
            self._work[job_id].cancel()
        else:
            await self._end_queued(job_id)

    async def metrics(self) -> bytes:
        """What has been counted, in Prometheus' format."""
        return self._meters.text()

    async def drain(self, within_s: float) -> int:
        """Takes no more jobs, gives those that run `within_s` seconds, and puts the rest back into the queue; returns how many.

        What is queued stays queued: the next runner takes it up.
        """
        self._open.clear()
        running = list(self._running.values())
        if running:
            await asyncio.wait(running, timeout=within_s)
        left = [job_id for job_id in self._work if not self._work[job_id].done()]
        self._drained.update(left)
        tasks = [self._running[job_id] for job_id in left]
        for job_id in left:
            self._work[job_id].cancel()
        if tasks:
            await asyncio.wait(tasks)
        return len(left)

    async def _hand_over(self) -> None:
        """Ends what runs, or puts it back for the runner that comes: a job must not wait until the lease of this one is over."""
        await self.drain(min(self._settings.drain_s, 0.8 * self._settings.replica_drain_s))

    def wake(self) -> None:
        """Starts the loops at the first call, and lets the first of them look at the table."""
        if not self._loops:
            every = self._settings.job_lease_s / 4
            self._loops = [
                asyncio.create_task(self._take_jobs()),
                asyncio.create_task(self._every(every, self._renew)),
                asyncio.create_task(self._every(every, self._take_over)),
                asyncio.create_task(self._every(LOOK_S, self._end_hopeless)),
                asyncio.create_task(self._every(LOOK_S, self._messenger.send_due)),
                asyncio.create_task(self._every(RETENTION_S, self._remove_old)),
            ]
        self._wake.set()

    async def check_health(self) -> None:
        """Serve calls this at the start and now and then: a runner that was restarted takes up its work without being told."""
        self.wake()

    async def _every(self, seconds: float, call: Callable[[], Awaitable[Any]]) -> None:
        while True:
            try:
                await call()
            except Exception:
                # A look that fails, fails in the log, and is taken again: without it jobs of dead runners would run for ever.
                _log.exception("%s failed; it is tried again", getattr(call, "__name__", call))
            await asyncio.sleep(seconds)

    async def _take_jobs(self) -> None:
        lifeline = await Lifeline.open(self._settings.flow_host or ray.util.get_node_ip_address())
        self._stages = replace(self._stages, lifeline=lifeline.address)
        try:
            while True:
                await self._slots.acquire()
                row = await self._next()
                job_id = row["job_id"]
                self._running[job_id] = task = asyncio.create_task(self._run(row))
                task.add_done_callback(lambda done, job_id=job_id: self._release(job_id, done))
        finally:
            lifeline.close()

    async def _next(self) -> jobs.Row:
        """The next job, claimed."""
        while True:
            await self._open.wait()
            self._wake.clear()
            if (row := await self._in_database(self._table.claim, self._name, self._settings.job_lease_s)) is not None:
                return row
            try:
                await asyncio.wait_for(self._wake.wait(), LOOK_S)
            except TimeoutError:
                continue

    def _release(self, job_id: str, task: asyncio.Task[None]) -> None:
        self._running.pop(job_id, None)
        self._slots.release()
        if not task.cancelled() and (error := task.exception()) is not None:
            # Its lease ends, and it is taken up again.
            _log.error("job %s was left: %r", job_id, error)

    async def _run(self, row: jobs.Row) -> None:
        """One attempt, from claim to final state or back into the queue; in the end one terminal event is written."""
        context, record = context_of(row), record_of(self._telemetry, row)
        waits_since = row["queued_ns"] or row["accepted_ns"]
        past(self._telemetry, QUEUE_WAIT, context, waits_since, row["started_ns"], priority=row["priority"])
        record.update(queue_wait_ms=max(0, row["started_ns"] - waits_since) / 1e6)
        error = await self._attempt(context, row, record)
        if row["job_id"] in self._lost:
            # Another runner holds it by now, and so do its files belong to that one.
            self._lost.discard(row["job_id"])
            return
        if error is not None:
            await self._remove_result(row["request_id"])
            if row["job_id"] in self._drained:
                error = RequestError("replica_lost", "The service was stopped.", stage=error.stage)
                if await self._again(row, error, Again(0.0, dict(row["values"])), extra=1):
                    return
            again = another(row, error, self._settings.job_backoff_s)
            if again is not None and await self._again(row, error, again):
                return
            record.fail(error)
        await self._end(row, record, error)

    async def _attempt(self, context: RequestContext, row: jobs.Row, record: RequestRecord) -> RequestError | None:
        """Does the work; returns what went wrong. A task of its own, so that a cancel stops the work and not what follows it."""
        job_id = row["job_id"]
        self._work[job_id] = work = asyncio.create_task(self._generate(context, row, record))
        try:
            await asyncio.wait([work])
        finally:
            del self._work[job_id]
        if work.cancelled():
            return RequestError("cancelled", "The job was cancelled.", stage=RUN_INFERENCE)
        error = work.exception()
        if error is None or isinstance(error, RequestError):
            return error
        if isinstance(error, TimeoutError):
            return RequestError("deadline_exceeded", "The deadline passed while the work went on.", stage=RUN_INFERENCE)
        # A defect of ours or of Ray. Let through, it would leave a job that runs for ever and a request without an end.
        _log.error("job %s failed unexpectedly", job_id, exc_info=error)
        return RequestError("internal", f"The runner failed: {type(error).__name__}.", stage=NAME)

    async def _generate(self, context: RequestContext, row: jobs.Row, record: RequestRecord) -> None:
        def on_fields(values: Mapping[str, Any], advice: tuple[str, ...]) -> None:
            record.update(**values)
            record.advise(*advice)

        context.check_deadline("queue")
        await self._note(row, stage=LOAD_AUDIO)
        now = await self._in_database(self._table.get, row["job_id"])
        if now is None or now["cancel_requested"]:  # asked for between the claim and the start of this task
            raise RequestError("cancelled", "The job was cancelled.", stage="queue")
        async with asyncio.timeout(context.remaining_s()):
            await generate(self._stages, context, used(row["values"]), self._budget, on_fields, self._progress_writer(row))

    async def _again(self, row: jobs.Row, error: RequestError, again: Again, *, extra: int = 0) -> bool:
        """Puts a job back into the queue and says why; False where it is not ours to put back."""
        not_before = time.time() + again.wait_s
        if not await self._in_database(lambda: self._table.requeue(row, not_before=not_before, values=again.values, extra=extra)):
            return False
        self._meters.tried_again(error.type)
        self._telemetry.events.log_event(
            "attempt_failed",
            context_of(row),
            error_type=error.type,
            error_message=error.message,
            failed_stage=error.stage,
            min_resolution=used(row["values"]).get("min_resolution"),
            retry_in_s=again.wait_s,
        )
        asyncio.get_running_loop().call_later(again.wait_s, self.wake)
        return True

    async def _end(self, row: jobs.Row, record: RequestRecord, error: RequestError | None) -> None:
        """The final state into the table, then record span and terminal event into the journal."""
        result = record.close()
        said = {"ended_ns": result["ended_at"], "result": result, "error": None if error is None else error.as_dict()}
        if await self._in_database(lambda: self._table.finish(row, state_of(error), **said)):
            record.finish()
            self._meters.ended(result)
            await self._note(row, told=True)
        if row["job_id"] in self._ended:
            self._ended[row["job_id"]].set()

    async def _end_queued(self, job_id: str) -> None:
        """Ends a queued job that was cancelled or whose deadline has passed, without a slot of the pipeline."""
        row = await self._in_database(self._table.take, job_id, self._name, self._settings.job_lease_s)
        if row is None:
            return
        record, waits_since = record_of(self._telemetry, row), row["queued_ns"] or row["accepted_ns"]
        past(self._telemetry, QUEUE_WAIT, context_of(row), waits_since, row["started_ns"], priority=row["priority"])
        record.update(queue_wait_ms=max(0, row["started_ns"] - waits_since) / 1e6)
        error = RequestError("cancelled", "The job was cancelled while it was queued.", stage="queue")
        if not row["cancel_requested"]:
            error = RequestError("deadline_exceeded", "The deadline passed while the job was queued.", stage="queue")
        record.fail(error)
        await self._end(row, record, error)

    async def _end_hopeless(self) -> None:
        for row in await self._in_database(self._table.hopeless):
            await self._end_queued(row["job_id"])

    async def _renew(self) -> None:
        """Keeps our jobs ours; stops work that is not ours any more, and work whose cancel did not reach us."""
        held = await self._in_database(self._table.renew, self._name, self._settings.job_lease_s)
        for job_id, work in self._work.items():
            if job_id not in held:
                _log.error("the lease of job %s was lost: another runner has it", job_id)
                self._lost.add(job_id)
            if held.get(job_id, True):
                work.cancel()

    async def _take_over(self) -> None:
        """Jobs of dead runners go on, or end where they had their attempts; ends that such a runner did not tell are told."""
        for row in await self._in_database(self._table.abandoned, self._name):
            error = RequestError("replica_lost", "The process that ran the job died.", stage=row["stage"] or "queue")
            if row["cancel_requested"]:
                error = RequestError("cancelled", "The job was cancelled.", stage=row["stage"] or "queue")
            await self._remove_result(row["request_id"])
            again = another(row, error, self._settings.job_backoff_s)
            if again is None or not await self._again(row, error, again):
                record = record_of(self._telemetry, row)
                record.fail(error)
                await self._end(row, record, error)
        before_ns = time.time_ns() - int(self._settings.job_lease_s * 1e9)
        for row in await self._in_database(self._table.untold, self._name, before_ns):
            await asyncio.to_thread(tell_again, self._telemetry, self._settings, row)
            await self._note(row, told=True)

    async def _remove_old(self) -> None:
        # Not in the thread of the table: a store far away takes its time, and the leases must be renewed meanwhile.
        await asyncio.to_thread(sweep, self._table, self._artifacts, self._settings.results_keep_s)
        await asyncio.to_thread(sweep_assets, self._table, self._artifacts, self._settings.assets_keep_s)

    async def _remove_result(self, request_id: str) -> None:
        """Takes away what an attempt left. A store that does not answer keeps it: no job that failed waits for that."""
        try:
            await asyncio.to_thread(self._artifacts.remove_result, request_id)
        except RequestError as error:
            _log.warning("what %s left was not removed: %s", request_id, error.message)

    async def _webhook_body(self, job_id: str) -> bytes | None:
        row = await self._in_database(self._table.get, job_id)
        return None if row is None else message(row["state"], job_answer(row).model_dump())

    def _progress_writer(self, row: jobs.Row) -> Callable[[Progress], Awaitable[None]]:
        last: dict[str, float] = {}

        async def write(progress: Progress) -> None:
            ends = progress.step in (1, progress.steps)
            if not ends and time.monotonic() - last.get(progress.stage, 0.0) < PROGRESS_S:
                return
            last[progress.stage] = time.monotonic()
            if progress.stage == RUN_INFERENCE:
                await self._note(row, stage=progress.stage, step=progress.step, steps=progress.steps)
            else:
                await self._note(row, stage=progress.stage, frames=progress.step, frames_total=progress.steps)

        return write

    async def _note(self, row: jobs.Row, **values: Any) -> None:
        await self._in_database(lambda: self._table.note(row["job_id"], row["runner"], **values))

    async def _in_database(self, call: Callable[..., T], *arguments: Any) -> T:
        """Calls in the thread of the table. While the database cannot be reached nothing is lost: the call waits for it."""
        while True:
            try:
                return await asyncio.get_running_loop().run_in_executor(self._database, call, *arguments)
            except OperationalError as error:
                _log.warning("the table of jobs does not answer: %s", error.orig)
                await asyncio.sleep(LOOK_S)
