"""What every door does with a job that is in the table: shows it, follows it, ends it. HTTP and gRPC differ in words only."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from starlette.requests import Request

from serve import jobs
from serve.access import see
from serve.admission import Admission
from serve.audit import Action, Trail
from serve.expect import Expectation
from serve.jobs import JobTable
from serve.pipeline import Handle
from serve.schema import JobAnswer
from serve.views import job_answer
from telemetry.errors import RequestError

_log = logging.getLogger("ray.serve")
POLL_S = 0.1
"""Seconds between two looks at a job that is followed: a look takes 0.3 ms."""


class Desk:
    """The jobs, as whoever sent a request may see and change them."""

    _table: JobTable
    _runner: Handle
    _door: Admission
    _expectation: Expectation
    _trail: Trail
    _telling: set[asyncio.Task[None]]

    async def _ended(self, job_id: str) -> jobs.Row:
        """The job's row once it is in a final state. A runner that dies meanwhile is replaced, and its successor ends the job."""
        while True:
            try:
                row = await self._runner.wait.remote(job_id)
            except (RayError, RayServeException):
                await asyncio.sleep(POLL_S)
                continue
            if row is None:
                raise RequestError("internal", "The job has vanished from the table.")
            return row

    async def _tell_runner(self, what: str, *arguments: str) -> None:
        """Calls the runner. One that is dead needs no telling: its successor looks into the table."""
        try:
            await getattr(self._runner, what).remote(*arguments)
        except (RayError, RayServeException) as error:
            _log.warning("the runner could not be told to %s: %s", what, type(error).__name__)

    async def _note(self, action: Action, request: Request, row: jobs.Row, **more: Any) -> None:
        """An entry of the audit trail about a job, on the disk when this returns."""
        names = ("department", "owner_hash")
        about = {"request_id": row["request_id"], **{name: row["values"].get(name) for name in names}}
        await asyncio.to_thread(self._trail.note, action, {**about, **self._door.who(request), **more})

    def _say_that_there_is_work(self) -> None:
        """Wakes the runner, without waiting for its answer: the job is in the table already, and it looks there by itself, too."""
        telling = asyncio.create_task(self._tell_runner("notify"))
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)

    async def _cancel(self, job_id: str) -> None:
        await asyncio.to_thread(self._table.request_cancel, job_id)
        await self._tell_runner("cancel", job_id)

    async def _job(self, id: str, request: Request | None = None) -> jobs.Row:
        """The job with this id, which whoever sent the `request` may see."""
        row = await asyncio.to_thread(self._table.get, id)
        if row is None:
            raise RequestError("not_found", f"There is no job or request {id[:64]}.", field="job_id")
        if request is not None:
            see(request, row["values"].get("department"), f"job or request {id[:64]}")
        return row

    async def _answer(self, id: str) -> JobAnswer:
        def look() -> JobAnswer | None:
            row = self._table.get(id)
            return None if row is None else job_answer(row, *self._expectation.outlook(row))

        answer = await asyncio.to_thread(look)
        if answer is None:
            raise RequestError("not_found", f"There is no job or request {id[:64]}.", field="job_id")
        return answer

    async def _stop(self, id: str, request: Request) -> JobAnswer:
        """Cancels a job for whoever sent the `request`; one that has ended stays as it is. Raises RequestError(not_found)."""
        row = await self._job(id, request)
        if row["state"] not in jobs.FINAL_STATES:
            await self._note("cancel", request, row)
            await self._cancel(row["job_id"])
        return await self._answer(id)

    async def _follow(self, job_id: str) -> AsyncIterator[JobAnswer]:
        """The job whenever it changes, until it has ended."""
        last, seen, looked = "", None, 0.0
        while True:
            row = dict(await self._job(job_id))
            # The place in the queue is counted once a second: what is before a job takes three looks at the table.
            if row != seen or time.monotonic() - looked >= 1.0:
                seen, looked = row, time.monotonic()
                answer = await self._answer(job_id)
                # The expectation shrinks all the time; it goes along with what has changed.
                shown = answer.model_dump_json(exclude={"expected_s"})
                if shown != last:
                    yield answer
                    last = shown
                if answer.state in jobs.FINAL_STATES:
                    return
            await asyncio.sleep(POLL_S)
