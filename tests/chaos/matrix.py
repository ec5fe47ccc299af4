"""Load, kills and the count: what was accepted, what ended, what was lost, what ended twice."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from analytics.record import load
from analytics.stores.local import LocalStore
from deployments.media.probe import probe
from serve.jobs import FINAL_STATES, SUCCEEDED, JobTable
from serve.settings import Settings
from sonoscope.run import read_run
from telemetry import fields
from tests.chaos.victims import kill

MEDIA = Path(__file__).parents[2] / "sonoscope" / "media"
AFTER_CANCEL_S = 1.0
"""A stage that starts so long after a cancel was acknowledged is work for nobody."""


@dataclass
class Order:
    """One job as its client knows it."""

    key: str
    job_id: str | None = None
    request_id: str = ""
    cancelled_ns: int | None = None
    refused: str | None = None


@dataclass
class Count:
    """What came out."""

    accepted: int = 0
    final: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    untold: list[str] = field(default_factory=list)
    half_written: list[str] = field(default_factory=list)
    worked_after_cancel: list[str] = field(default_factory=list)
    states: Counter[str] = field(default_factory=Counter)
    attempts: Counter[int] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def faultless(self) -> bool:
        """Every accepted job ended exactly once, whole, and nothing was done for nobody."""
        bad = (self.lost, self.doubled, self.untold, self.half_written, self.worked_after_cancel)
        return self.accepted == self.final and not any(bad)

    def table(self) -> str:
        """For people."""
        rows: dict[str, Any] = {
            "accepted": self.accepted, "final": self.final, "lost": len(self.lost), "doubled": len(self.doubled),
            "without an end in the journal": len(self.untold), "videos not whole": len(self.half_written),
            "work after a cancel": len(self.worked_after_cancel), "states": dict(self.states), "attempts": dict(self.attempts),
            "errors": dict(self.errors), "kills": dict(self.kills), "not accepted": dict(self.refused),
            "seconds": round(self.seconds),
        }  # fmt: skip
        return "\n".join(f"{name:<30} {value}" for name, value in rows.items())


class Matrix:
    """One run over a service's data folder. `restart()` starts the service again after everything was killed."""

    def __init__(self, data_dir: Path, *, jobs: int, kills: list[str], seed: int, restart: Callable[[], None], speech: bytes):
        self._data_dir = data_dir
        self._draw = random.Random(seed)
        self._orders = [Order(f"chaos-{seed}-{n}-{time.time_ns()}") for n in range(jobs)]
        self._kills = kills
        self._restart = restart
        self._speech = speech
        self._portrait = (MEDIA / "portrait_astronaut.png").read_bytes()
        self._submitted = threading.Event()
        self.count = Count()

    def run(self, settle_s: float, every_s: float, pause_s: float) -> Count:
        """Submits a job about every `pause_s`, kills about every `every_s`, then waits at most `settle_s` for every end."""
        started = time.monotonic()
        client = threading.Thread(target=self._submit_all, args=(pause_s,))
        client.start()
        for kind in self._kills:
            time.sleep(self._draw.uniform(0.3, 1.0) * every_s)
            run = read_run(self._data_dir)
            if run is not None and kill(kind, run, self._draw):
                self.count.kills[kind] += 1
            if kind == "everything":
                self._restart()
        client.join()
        with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C ends the wait; what has not ended by then counts as lost
            self._await_ends(settle_s)
        self.count.seconds = time.monotonic() - started
        self._look()
        return self.count

    def _submit_all(self, pause_s: float) -> None:
        draw = random.Random(self._draw.random())
        for order in self._orders:
            self._submit(order, draw)
            if order.job_id and draw.random() < 0.2:
                time.sleep(draw.uniform(0.0, 1.0))
                self._cancel(order)
            time.sleep(draw.uniform(0.0, 2.0) * pause_s)

    def _submit(self, order: Order, draw: random.Random) -> None:
        """Sends it until it is answered, always under the same key: an answer that got lost does not make two jobs."""
        headers = {"Prefer": "respond-async", "Idempotency-Key": order.key, "X-Priority": draw.choice(["low", "normal", "high"])}
        files = {"portrait": ("p.png", self._portrait), "audio": ("a.wav", self._speech)}
        form = {"min_resolution": "128", "inference_steps": "4"}
        answer = self._until_answered(
            lambda url: httpx.post(f"{url}/generate", files=files, data=form, headers=headers, timeout=20)
        )
        if answer.status_code == 202:
            order.job_id, order.request_id = answer.json()["job_id"], answer.json()["request_id"]
        else:
            order.refused = answer.json()["error"]["type"]

    def _cancel(self, order: Order) -> None:
        answer = self._until_answered(lambda url: httpx.delete(f"{url}/jobs/{order.job_id}", timeout=20))
        if answer.status_code == 202:
            order.cancelled_ns = time.time_ns()

    def _until_answered(self, call: Callable[[str], httpx.Response], within_s: float = 180.0) -> httpx.Response:
        """What the service says, once it is there and not about to be."""
        end = time.monotonic() + within_s
        while True:
            try:
                run = read_run(self._data_dir)
                if run is not None and (answer := call(run.url)).status_code < 500 and answer.status_code != 404:
                    return answer
            except httpx.HTTPError:
                pass
            if time.monotonic() > end:
                raise TimeoutError("the service did not come back")
            time.sleep(0.3)

    def _await_ends(self, settle_s: float) -> None:
        table = self._table()
        end = time.monotonic() + settle_s
        mine = {order.job_id for order in self._orders}
        while time.monotonic() < end:
            open_jobs = [row for row in table.list(states=("queued", "running"), limit=1000) if row["job_id"] in mine]
            untold = [row for row in table.untold("nobody", time.time_ns()) if row["job_id"] in mine]
            if not open_jobs and not untold:
                break
            time.sleep(0.5)
        table.close()

    def _table(self) -> JobTable:
        return JobTable(Settings(data_dir=self._data_dir).jobs_url)  # pyright: ignore[reportCallIssue]

    def _look(self) -> None:
        table, store = self._table(), LocalStore(self._data_dir / "journal")
        for order in self._orders:
            if order.job_id is None:
                self.count.refused[order.refused or "?"] += 1
            else:
                self.count.accepted += 1
                self._look_at(order, table, store)
        table.close()

    def _look_at(self, order: Order, table: JobTable, store: LocalStore) -> None:
        count, id = self.count, order.request_id
        row = table.get(order.job_id or "")
        if row is None or row["state"] not in FINAL_STATES:
            count.lost.append(id)
            return
        count.final += 1
        count.states[row["state"]] += 1
        count.attempts[row["attempt"]] += 1
        if row["error"]:
            count.errors[row["error"]["type"]] += 1
        record = load(store, id)
        events = [] if record is None else [e for e in record.events if e["event_type"] in fields.TERMINAL_EVENTS]
        if len(events) != 1:
            (count.doubled if events else count.untold).append(id)
        video = self._data_dir / "videos" / f"{id}.mp4"
        whole = video.is_file() and probe(video).frames == (row["result"] or {}).get("video_frames")
        if whole != (row["state"] == SUCCEEDED) or list(video.parent.glob(f".{id}.*")):
            count.half_written.append(id)
        if order.cancelled_ns is not None and record is not None:
            late = order.cancelled_ns + int(AFTER_CANCEL_S * 1e9)
            if any(span.name in fields.STAGES and span.start_ns > late for span in record.spans):
                count.worked_after_cancel.append(id)
