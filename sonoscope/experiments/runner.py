"""Makes the requests of a plan one after the other. Killed at any point and started again it makes none of them twice."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from analytics.questions.arms import BUSY
from analytics.record import Lookup
from sonoscope.client import Client
from sonoscope.experiments.plan import Notebook, Plan, Run
from telemetry.errors import RequestError

PATIENCE_S = 600.0
"""How long a service that is busy is asked again before the command gives up; the plan is then gone on with later."""
ASK_AGAIN_S = 2.0
FINAL = ("succeeded", "failed", "cancelled")


@dataclass
class Tally:
    """What has come of the runs so far: `there` before this call, then by their ends."""

    total: int
    there: int = 0
    ok: int = 0
    failed: int = 0

    @property
    def done(self) -> int:
        """Runs that have ended."""
        return self.there + self.ok + self.failed


OnRun = Callable[[Tally, Run | None], None]
"""Told before each run (what is made now) and at the end (None)."""


class Runner:
    """One plan against one service. `store` knows requests by their ids; `finished` are the ids of runs whose rows are there."""

    def __init__(self, plan: Plan, notebook: Notebook, client: Client, store: Lookup, finished: Collection[str]) -> None:
        self._plan, self._notebook, self._client, self._store = plan, notebook, client, store
        self._finished = set(finished)
        self._sent = notebook.sent()

    def perform(self, on_run: OnRun, *, at_once: int = 1, for_s: float | None = None) -> Tally:
        """Makes what is not there yet, `at_once` requests at a time; after `for_s` seconds no more is begun.

        Raises Unreachable where the service goes away, RequestError where it stays busy.
        """
        end = None if for_s is None else time.monotonic() + for_s
        tally = Tally(len(self._plan.runs))
        pending: list[Run] = []
        for run in self._plan.runs:
            if run.id in self._finished:
                tally.there += 1
            else:
                pending.append(run)

        def make(run: Run) -> None:
            if end is None or time.monotonic() < end:
                on_run(tally, run)
                self.make(run, tally)

        with ThreadPoolExecutor(at_once) as pool:
            try:
                for made in [pool.submit(make, run) for run in pending]:
                    made.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        on_run(tally, None)
        return tally

    def make(self, run: Run, tally: Tally) -> str | None:
        """Makes one run, or waits for the end of the request that it was sent as; its request, None where it was refused."""
        request_id = self._before(run)
        try:
            request_id = request_id or self._send(run)
            state = self._end(request_id)
        except RequestError as error:
            if error.type in BUSY:
                raise
            tally.failed += 1  # refused at the door: that left a row, too
            return None
        tally.ok += state == "succeeded"
        tally.failed += state != "succeeded"
        return request_id

    def _before(self, run: Run) -> str | None:
        """The request as which the run was sent by a process that did not live to see its end."""
        if run.id not in self._sent:
            return None
        request_id = self._sent[run.id] or self._store.find(run.id)
        if request_id is None:
            return None
        try:
            self._client.job(request_id)
        except RequestError as error:
            if error.type != "not_found":
                raise
            return None  # refused at the door, or the service has another table of jobs by now
        return request_id

    def _send(self, run: Run) -> str:
        end = time.monotonic() + PATIENCE_S
        headers = {"X-Request-ID": run.id} | ({"X-Department": run.department} if run.department else {})
        while True:
            self._notebook.note(run.id, None)
            try:
                job = self._client.order(run.portrait, run.audio, headers=headers, **run.order)
            except RequestError as error:
                if error.type not in BUSY or time.monotonic() > end:
                    raise
                time.sleep(ASK_AGAIN_S)
            else:
                self._notebook.note(run.id, job.request_id)
                return job.request_id

    def _end(self, request_id: str) -> str:
        """The final state of a request."""
        state = "queued"
        while state not in FINAL:
            for job in self._client.watch(request_id):
                state = job.state
        return state
