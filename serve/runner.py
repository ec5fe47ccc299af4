"""Runs the jobs of the table: the one path on which a generation is executed, whether somebody waits for it or not."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from ray import serve

from deployments.messages import LOAD_AUDIO, RUN_INFERENCE, Progress
from serve import jobs
from serve.jobs import JobTable
from serve.pipeline import Handle, PixelBudget, Stages, generate
from serve.settings import Settings
from telemetry import fields
from telemetry.context import RequestContext
from telemetry.errors import RequestError
from telemetry.ids import uuid7
from telemetry.record import RequestRecord
from telemetry.tracing import setup

NAME = "runner"
_log = logging.getLogger("ray.serve")

PROGRESS_S = 0.05
"""Seconds between two writes of one job's progress: a write takes 0.5 ms, and readers look every 0.1 s."""

T = TypeVar("T")


def context_of(row: jobs.Row) -> RequestContext:
    """The context of a job, as it was fixed at acceptance."""
    identity = {name: row["values"][name] for name in fields.names("identity") if name in row["values"]}
    return RequestContext(
        request_id=row["request_id"],
        traceparent=row["traceparent"],
        job_id=row["job_id"],
        attempt=row["attempt"],
        operation=row["operation"],
        deadline=row["deadline"],
        identity=identity,
    )


@serve.deployment(name=NAME)
class Runner:
    """Takes queued jobs from the table, sees each to its end, and is the only one that sets their states."""

    def __init__(
        self, settings: Settings, load_audio: Handle, preprocess_image: Handle, encode_video: Handle, measure_sync: Handle
    ):
        self._settings = settings
        self._telemetry = setup("sonoscope", settings.data_dir, environment=settings.environment)
        self._table = JobTable(settings.jobs_url)
        self._stages = Stages(load_audio, preprocess_image, encode_video, measure_sync)
        self._name = f"{os.getpid()}-{uuid7()[:13]}"
        self._budget = PixelBudget(settings.max_pixel_seconds)
        self._slots = asyncio.Semaphore(settings.max_jobs_running)
        self._database = ThreadPoolExecutor(1, "jobs")
        self._running: dict[str, asyncio.Task[None]] = {}
        self._ended: dict[str, asyncio.Event] = {}
        self._wake = asyncio.Event()
        self._fail_orphans()
        self._loop: asyncio.Task[None] | None = None

    async def wait(self, job_id: str) -> dict[str, Any] | None:
        """Wakes the runner for a new job and waits for its end; returns its row (None where there is no such job)."""
        ended = self._ended.setdefault(job_id, asyncio.Event())
        self.wake()
        row = await self._in_database(self._table.get, job_id)
        if row is not None and row["state"] not in jobs.FINAL_STATES:
            await ended.wait()
            row = await self._in_database(self._table.get, job_id)
        self._ended.pop(job_id, None)
        return None if row is None else dict(row)

    async def notify(self) -> None:
        """Says that the table has something new."""
        self.wake()

    async def cancel(self, job_id: str) -> None:
        """Stops a job: at its next step where it runs, when its turn comes where it is queued."""
        await self._in_database(self._table.request_cancel, job_id)
        if job_id in self._running:
            self._running[job_id].cancel()
        self.wake()

    def wake(self) -> None:
        """Starts the loop at the first call, and lets it look at the table."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop().create_task(self._take_jobs())
        self._wake.set()

    async def check_health(self) -> None:
        """Serve calls this now and then: a runner that was restarted takes up what is queued without being told."""
        self.wake()

    async def _take_jobs(self) -> None:
        while True:
            await self._slots.acquire()
            while (row := await self._in_database(self._table.claim, self._name)) is None:
                await self._wake.wait()
                self._wake.clear()
            job_id = row["job_id"]
            self._running[job_id] = task = asyncio.create_task(self._run(row))
            task.add_done_callback(lambda _, job_id=job_id: self._release(job_id))

    def _release(self, job_id: str) -> None:
        self._running.pop(job_id, None)
        self._slots.release()
        if job_id in self._ended:
            self._ended[job_id].set()

    async def _run(self, row: jobs.Row) -> None:
        """One job from claim to final state; whatever happens, one terminal event is written."""
        context = context_of(row)
        record = self._record(row)
        record.update(queue_wait_ms=max(0, row["started_ns"] - row["accepted_ns"]) / 1e6)
        error = await self._attempt(context, row, record)
        if error is not None:
            record.fail(error)
            self._remove_files(context.request_id)
        self._close(row, record, error)

    async def _attempt(self, context: RequestContext, row: jobs.Row, record: RequestRecord) -> RequestError | None:
        def on_fields(values: Mapping[str, Any], advice: tuple[str, ...]) -> None:
            record.update(**values)
            record.advise(*advice)

        try:
            if row["cancel_requested"]:
                return RequestError("cancelled", "The job was cancelled while it was queued.", stage="queue")
            context.check_deadline("queue")
            await self._note(row["job_id"], stage=LOAD_AUDIO)
            async with asyncio.timeout(context.remaining_s()):
                await generate(self._stages, context, row["values"], self._budget, on_fields, self._progress_writer(row["job_id"]))
        except RequestError as error:
            return error
        except TimeoutError:
            return RequestError("deadline_exceeded", "The deadline passed while the work went on.", stage=RUN_INFERENCE)
        except asyncio.CancelledError:
            return RequestError("cancelled", "The job was cancelled.", stage=RUN_INFERENCE)
        except Exception as error:
            # A defect of ours or of Ray. Let through, it would leave a job that runs for ever and a request without an end.
            _log.exception("job %s failed unexpectedly", row["job_id"])
            return RequestError("internal", f"The runner failed: {type(error).__name__}.", stage=NAME)
        return None

    def _record(self, row: jobs.Row) -> RequestRecord:
        values, parent = row["values"], row["parent"]
        return RequestRecord(self._telemetry, context_of(row), started_ns=row["accepted_ns"], values=values, parent=parent)

    def _remove_files(self, request_id: str) -> None:
        """A failed request leaves no file: neither its video nor what a killed encoder was writing."""
        for path in self._settings.videos_dir.glob(f"*{request_id}.mp4*"):
            path.unlink(missing_ok=True)

    def _close(self, row: jobs.Row, record: RequestRecord, error: RequestError | None) -> None:
        """Writes record span, terminal event and final state, in this order and without an await in between."""
        state = jobs.SUCCEEDED if error is None else jobs.CANCELLED if error.type == "cancelled" else jobs.FAILED
        result = record.finish()
        self._table.finish(
            row["job_id"], state, ended_ns=time.time_ns(), result=result, error=None if error is None else error.as_dict()
        )

    def _progress_writer(self, job_id: str) -> Callable[[Progress], Awaitable[None]]:
        last: dict[str, float] = {}

        async def write(progress: Progress) -> None:
            ends = progress.step in (1, progress.steps)
            if not ends and time.monotonic() - last.get(progress.stage, 0.0) < PROGRESS_S:
                return
            last[progress.stage] = time.monotonic()
            if progress.stage == RUN_INFERENCE:
                await self._note(job_id, stage=progress.stage, step=progress.step, steps=progress.steps)
            else:
                await self._note(job_id, stage=progress.stage, frames=progress.step, frames_total=progress.steps)

        return write

    async def _note(self, job_id: str, **values: Any) -> None:
        await self._in_database(lambda: self._table.note(job_id, **values))

    async def _in_database(self, call: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._database, call, *arguments)

    def _fail_orphans(self) -> None:
        """Jobs that a dead runner left running end as `replica_lost`: nobody else would write their terminal event."""
        for row in self._table.orphans(self._name):
            record = self._record(row)
            error = RequestError("replica_lost", "The process that ran the job died.", stage=row["stage"] or "queue")
            record.fail(error)
            self._remove_files(row["request_id"])
            self._close(row, record, error)
