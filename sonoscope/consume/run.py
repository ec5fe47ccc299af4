"""The consumer: requests become jobs, jobs that have ended become results; each step is on a disk before the next one."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from dataclasses import dataclass

from confluent_kafka import KafkaException

from serve.kafka import KafkaSettings
from serve.schema import JobAnswer
from sonoscope.calls import Blob
from sonoscope.client import Client, Unreachable
from sonoscope.consume import spans
from sonoscope.consume.broker import Broker
from sonoscope.consume.ledger import Ledger, Owed
from sonoscope.consume.messages import Order, Received, read_order
from telemetry.errors import RequestError
from telemetry.tracing import Telemetry

_log = logging.getLogger("sonoscope.consume")
LOOK_S = 0.5
"""Seconds between two looks at the jobs."""
PAUSES_S = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Waits while somebody is away or full; the last one repeats."""
_PATIENT = ("overloaded", "rate_limited", "unauthorized", "forbidden")
"""Refusals that say nothing of the message: it waits, however long (for a key that is let in, too)."""
_TRIES = 5
"""Tries of a message at a service that says it is ready, and fails at it; then it is a dead letter, so that others are heard."""
_LISTED = 1000
"""Jobs that one look at the service shows; older ones are asked for one by one."""


@dataclass
class _Held:
    """A message in our hands, and when it came (ns since 1970)."""

    message: Received
    came_ns: int
    tries: int = 0
    waits: int = 0


class Loop:
    """One thread. `counts`: what was accepted, buried and produced since the start."""

    def __init__(self, settings: KafkaSettings, client: Client, ledger: Ledger, telemetry: Telemetry, broker: Broker):
        self._settings = settings
        self._client = client
        self._ledger = ledger
        self._telemetry = telemetry
        self._broker = broker
        self._held: deque[_Held] = deque()
        self._not_before = self._next_look = 0.0
        self.stop = threading.Event()
        self.counts = {"accepted": 0, "dead_letters": 0, "results": 0}

    def run(self, *, once: bool = False) -> None:
        """Works until `stop` is set; with `once` until every request so far has its result or is a dead letter. Raises Fenced."""
        failures = 0
        while not self.stop.is_set():
            try:
                self._step()
                failures = 0
            except (KafkaException, Unreachable) as error:
                _log.warning("waiting: %s", error)
                self.stop.wait(PAUSES_S[min(failures, 2)])
                failures += 1
            if once and self._idle():
                return

    def _step(self) -> None:
        if not self._broker.ready:
            self._recover()
        room = not self._held and len(self._ledger.unfinished()) < self._settings.max_unfinished
        message = self._broker.poll(0.05 if self._held else 0.2, wanted=room)
        if message is not None:
            self._held.append(_Held(message, time.time_ns()))
        if self._held and time.monotonic() >= self._not_before:
            self._handle(self._held[0])
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + LOOK_S
            self._look()
        self._produce()

    def _recover(self) -> None:
        """Learns from Kafka which results it has; what was produced just before a kill gets its span now."""
        following = self._broker.recover()
        for due in self._ledger.due():
            if due.number < following:
                spans.sent(self._telemetry, due, self._settings.results, time.time_ns())
        self._ledger.produced(following - 1)

    def _idle(self) -> bool:
        return not self._held and self._broker.at_end and not self._ledger.unfinished() and not self._ledger.due(1)

    def _handle(self, held: _Held) -> None:
        """Brings the oldest message to its job or grave; where neither is possible now, it waits, and so do those behind it."""
        message = held.message
        if not self._ledger.has(message.topic, message.partition, message.offset, message.idempotency_key):
            try:
                self._accept(message, read_order(message, self._settings.max_message_bytes), held.came_ns)
            except RequestError as error:
                if self._is_to_wait(held, error):
                    return
                self._bury(held, error)
                self._held.popleft()
                return
            except Unreachable as error:
                self._wait(held, f"the service does not answer: {error}")
                return
        self._broker.commit(message)
        self._held.popleft()

    def _accept(self, message: Received, order: Order, came_ns: int) -> None:
        key = message.idempotency_key
        headers = {**order.terms, "Idempotency-Key": key, "traceparent": message.traceparent}
        ids = {name: self._asset(message, name, given) for name, given in order.inputs.items()}
        job = self._client.order(ids["portrait"], ids["audio"], headers=headers, **order.parameters)
        spans.consumed(self._telemetry, message, self._settings.group, came_ns, job=job)
        place = (message.topic, message.partition, message.offset, message.key)
        self._ledger.add(Owed(key, job.job_id, *place, message.traceparent))
        self.counts["accepted"] += 1

    def _asset(self, message: Received, name: str, given: str | bytes) -> str:
        if isinstance(given, str):
            return given
        return self._client.upload(Blob(f"{message.topic}-{message.partition}-{message.offset}-{name}", given)).asset_id

    def _is_to_wait(self, held: _Held, error: RequestError) -> bool:
        """Whether the message may still become a job; it then waits. A try counts where the service says that it is ready."""
        if error.type not in _PATIENT and not error.retriable:
            return False
        if error.type not in _PATIENT and self._client.ready():
            held.tries += 1
        if held.tries >= _TRIES:
            return False
        self._wait(held, f"{error.type}: {error.message}")
        return True

    def _wait(self, held: _Held, why: str) -> None:
        pause_s = PAUSES_S[min(held.waits, len(PAUSES_S) - 1)]
        held.waits += 1
        self._not_before = time.monotonic() + pause_s
        place = (held.message.topic, held.message.partition, held.message.offset)
        _log.warning("%s %d %d waits %.0f s: %s", *place, pause_s, why)

    def _bury(self, held: _Held, error: RequestError) -> None:
        message = held.message
        if self._broker.committed(message):  # an attempt whose end we did not hear of
            return
        self._broker.bury(message, error)
        spans.consumed(self._telemetry, message, self._settings.group, held.came_ns, error=error)
        self.counts["dead_letters"] += 1
        _log.warning("dead letter: %s %d %d: %s: %s", message.topic, message.partition, message.offset, error.type, error.message)

    def _look(self) -> None:
        """Notes the results of jobs that have ended."""
        if not (unfinished := self._ledger.unfinished()):
            return
        listed = {job.job_id: job for job in self._client.jobs(limit=min(_LISTED, 4 * len(unfinished)))}
        for owed in unfinished:
            try:
                job = listed.get(owed.job_id) or self._client.job(owed.job_id)
            except RequestError as error:
                if error.type != "not_found":
                    raise Unreachable(f"{error.type}: {error.message}") from error
                self._ledger.end(owed, "failed", body_of(owed, None, error))
                continue
            if job.ended_at is not None:
                self._ledger.end(owed, job.state, body_of(owed, job))

    def _produce(self) -> None:
        while results := self._ledger.due():
            started_ns = time.time_ns()
            self._broker.send(results)
            for due in results:
                spans.sent(self._telemetry, due, self._settings.results, started_ns)
            self._ledger.produced(results[-1].number)
            self.counts["results"] += len(results)


def body_of(owed: Owed, job: JobAnswer | None, error: RequestError | None = None) -> bytes:
    """A result's value: type and job as in a webhook, and which request it answers. Without a job: what is known of one that the
    service does not have any more."""
    if job is None:
        assert error is not None
        data = {"job_id": owed.job_id, "trace_id": owed.traceparent.split("-")[1], "state": "failed", "error": error.as_dict()}
    else:
        data = job.model_dump(exclude={"expected_s", "queue_position"})
    request = {"topic": owed.topic, "partition": owed.partition, "offset": owed.offset, "idempotency_key": owed.key}
    return json.dumps({"type": f"job.{data['state']}", "request": request, "data": data}, ensure_ascii=False).encode()
