"""One item after the other through the service, several at a time: hand in, watch, fetch, try again, write down."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import httpx

from serve.schema import JobAnswer
from sonoscope.batch.items import Item
from sonoscope.batch.ledger import Entry, Ledger
from sonoscope.client import Client, Unreachable
from telemetry.errors import ERROR_TYPES, RequestError

T = TypeVar("T")
PAUSES_S = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Waits while the service is full or away; the last one repeats."""
WAITING = ("overloaded", "rate_limited")


class Stopped(Exception):
    """Nobody waits for the batch any more; what was handed in goes on at the service."""


@dataclass
class Tally:
    """How it goes. `before`: done in an earlier run."""

    done: int = 0
    before: int = 0
    failed: int = 0
    retried: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    failures: list[tuple[Item, Entry]] = field(default_factory=list)

    @property
    def success_rate(self) -> float | None:
        """Share of what has ended that ended well; None before anything has."""
        ended = self.done + self.before + self.failed
        return (self.done + self.before) / ended if ended else None


class Worker:
    """Makes items. Safe in threads: each calls `make` for an item of its own."""

    def __init__(
        self,
        client: Client,
        out: Path,
        ledger: Ledger,
        *,
        prefix: str,
        priority: str = "low",
        retries: int = 2,
        on_change: Callable[[Item, JobAnswer], None] = lambda _item, _job: None,
    ):
        self._client = client
        self._out = out
        self._ledger = ledger
        self._prefix = prefix
        self._priority = priority
        self._retries = retries
        self._on_change = on_change
        self._lock = threading.Lock()
        self.stop = threading.Event()
        self.tally = Tally()

    def make(self, item: Item) -> Entry:
        """Brings one item to its end and counts it. Raises Stopped."""
        try:
            key = item.key()
        except OSError as error:
            words = f"{Path(error.filename or '').name}: {error.strerror}"
            return self._count(item, Entry(f"unread-{item.name}", item.name, "failed", error_type="asset_not_found", message=words))
        known = self._ledger.get(key)
        target = self._out / f"{item.name}.mp4"
        if known is not None and known.state == "done" and target.exists():
            with self._lock:
                self.tally.before += 1
            return known
        rounds = known.rounds if known else 0
        entry = Entry(key, item.name, "sent", rounds=rounds)
        try:
            entry = self._through(item, entry, target)
        except RequestError as error:
            entry = replace(entry, state="failed", error_type=error.type, message=error.message, rounds=rounds + 1)
        self._ledger.note(entry)
        return self._count(item, entry)

    def _through(self, item: Item, entry: Entry, target: Path) -> Entry:
        # A row that failed for good in an earlier run is a new order: under the old key it would only hear of its failure again.
        headers = {"Idempotency-Key": f"{entry.key}-{entry.rounds}", "X-Priority": self._priority}
        values = {"source_prefix": self._prefix, **item.parameters}
        job = self._patiently(lambda: self._client.submit(item.portrait, item.audio, headers=headers, **values))
        for left in range(self._retries, -1, -1):
            entry = replace(entry, job_id=job.job_id, request_id=job.request_id)
            self._ledger.note(entry)
            job = self._until_ended(item, job)
            if job.error is None:
                self._patiently(self._client.download, job.request_id, target)
                return replace(entry, state="done", error_type=None, message=None)
            if not left or not ERROR_TYPES[job.error.type].retriable:
                raise RequestError(job.error.type, job.error.message, field=job.error.field, hint=job.error.hint)
            job = self._patiently(self._client.retry, job.job_id)
            with self._lock:
                self.tally.retried += 1
        raise AssertionError("the last round returns or raises")

    def _until_ended(self, item: Item, job: JobAnswer) -> JobAnswer:
        def watched() -> JobAnswer:
            seen = job
            for seen in self._client.watch(job.job_id):
                if self.stop.is_set():
                    raise Stopped
                self._on_change(item, seen)
            if seen.ended_at is None:
                raise Unreachable("the service ended the stream before the job's end")
            return seen

        return self._patiently(watched)

    def _patiently(self, call: Callable[..., T], *arguments: Any) -> T:
        """Calls until the service is there and has room. Raises what else it says, and Stopped."""
        for number in itertools.count():
            try:
                return call(*arguments)
            except (Unreachable, httpx.TransportError):
                pass
            except RequestError as error:
                if error.type not in WAITING:
                    raise
            if self.stop.wait(PAUSES_S[min(number, len(PAUSES_S) - 1)]):
                raise Stopped
        raise AssertionError("counts for ever")

    def _count(self, item: Item, entry: Entry) -> Entry:
        with self._lock:
            if entry.state == "done":
                self.tally.done += 1
            else:
                self.tally.failed += 1
                kind = entry.error_type or "internal"
                self.tally.errors[kind] = self.tally.errors.get(kind, 0) + 1
                self.tally.failures.append((item, entry))
        return entry
