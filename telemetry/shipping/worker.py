"""One kind's way out: read, send, acknowledge; wait where the receiver is not well."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from telemetry.segments import Kind
from telemetry.shipping.dead import DeadLetters
from telemetry.shipping.outcome import Delivery, Sink, backoff
from telemetry.shipping.tail import Line, Tail
from telemetry.shipping.traces import Holder, Released

POLL_S = 0.25
"""How often the journal is looked at when there is nothing to do."""
LEAST = 20
"""Lines of a batch at least, however overloaded the receiver is."""

_log = logging.getLogger("sonoscope.forward")


@dataclass(frozen=True)
class Limits:
    """`lines` and `bytes` of a batch at most, and the longest wait between two attempts."""

    lines: int = 5000
    bytes: int = 4_000_000
    backoff_s: float = 30.0


@dataclass
class Progress:
    """What `forward.json` says of one kind, beside its counters and its lag."""

    state: str = "starting"
    last_error: str = ""
    last_error_at: float | None = None
    failures: int = 0


class Worker(threading.Thread):
    """Runs until `stop` is set; with `drain` until everything is delivered."""

    def __init__(
        self,
        kind: Kind,
        open_tail: Callable[[], Tail],
        sink: Sink,
        dead: DeadLetters,
        *,
        holder: Holder | None,
        limits: Limits,
        stop: threading.Event,
        drain: bool = False,
    ) -> None:
        super().__init__(name=f"forward-{kind}", daemon=True)
        self.kind: Kind = kind
        self.sink = sink
        self.progress = Progress()
        self._open_tail = open_tail  # SQLite wants its connection used where it was opened
        self._dead = dead
        self._holder = holder
        self._limits = limits
        self._size = limits.lines
        self._stop_asked = stop
        self._drain = drain
        self._waiting: list[Line] = []
        self._tail: Tail | None = None
        self.finished = False

    def run(self) -> None:
        """Works until it is told to stop, or has drained."""
        tail = self._tail = self._open_tail()
        try:
            while not self._stop_asked.is_set():
                tail.scan()
                batch = self._next(tail)
                if batch:
                    self._send(tail, batch)
                elif self._drained(tail):
                    break
                else:
                    self.progress.state = "idle" if not self.progress.failures else self.progress.state
                    self._stop_asked.wait(POLL_S)
            self.finished = True
        finally:
            tail.close()
            self.sink.close()

    def describe(self) -> dict[str, Any]:
        """One entry of `forward.json`."""
        tail, holder, progress = self._tail, self._holder, self.progress
        oldest = tail.oldest if tail else None
        return {
            "address": self.sink.address,
            "state": progress.state,
            "lag_bytes": tail.backlog if tail else 0,
            "lag_s": max(0.0, time.time() - oldest) if oldest else 0.0,
            **dict.fromkeys(("delivered", "set_aside", "retries", "torn", "vanished"), 0),
            **(dict(tail.counters) if tail else {}),
            "held_traces": holder.traces if holder else 0,
            "held_bytes": holder.bytes if holder else 0,
            "last_error": (tail.checkpoint_error if tail else "") or progress.last_error,
            "last_error_at": progress.last_error_at,
        }

    def _next(self, tail: Tail) -> list[Line]:
        """What waits from the last attempt, filled up with new lines: one that fails for ever does not stop the others."""
        if len(self._waiting) >= self._size or sum(len(line.data) for line in self._waiting) >= self._limits.bytes:
            return self._take(self._size)
        if self._holder is None:
            self._waiting += tail.read(self._limits.bytes)
        else:
            for line in tail.read(min(self._limits.bytes, max(self._holder.room, 1))):
                self._holder.add(line)
            caught_up = tail.read_all
            self._released(tail, self._holder.release(caught_up=caught_up, all=self._drain and caught_up))
        return self._take(self._size)

    def _take(self, most: int) -> list[Line]:
        size, number = 0, 0
        for line in self._waiting[:most]:
            size += len(line.data)
            if number and size > self._limits.bytes:
                break
            number += 1
        batch, self._waiting = self._waiting[:number], self._waiting[number:]
        return batch

    def _released(self, tail: Tail, released: Released) -> None:
        self._waiting += released.send
        if released.unreadable:
            self._set_aside(tail, [(line, "not a span in OTLP/JSON") for line in released.unreadable])
        if released.dropped or released.counts:
            tail.acknowledge(released.dropped, released.counts)

    def _send(self, tail: Tail, batch: list[Line]) -> None:
        """One attempt, in halves where the receiver wants less at a time."""
        pieces, left, worst = [batch], [], Delivery()
        while pieces and not self._stop_asked.is_set():
            piece = pieces.pop()
            delivery = self.sink.deliver(piece)
            if delivery.split and len(delivery.later) > 1:
                half = len(delivery.later) // 2
                pieces += [delivery.later[half:], delivery.later[:half]]
                delivery.later = []
            elif delivery.split:
                delivery.refused += [(line, delivery.error) for line in delivery.later]
                delivery.later = []
            self._settle(tail, delivery)
            if delivery.later:
                left, worst = delivery.later, delivery
                break
        rest = [*(line for piece in reversed(pieces) for line in piece), *self._waiting]
        # Where others got through, what did not goes to the end: one full index must not stop the rest.
        self._waiting = [*rest, *left] if worst.delivered else [*left, *rest]
        if worst.later:
            self._pause(tail, worst)
        elif not pieces:
            self.progress.state, self.progress.failures = "ok", 0
            self._size = min(self._limits.lines, self._size * 2)

    def _settle(self, tail: Tail, delivery: Delivery) -> None:
        if delivery.error and not delivery.later:
            self._note(delivery.error)
        if delivery.refused:
            self._set_aside(tail, delivery.refused)
        if delivery.delivered:
            tail.acknowledge(delivery.delivered, {"delivered": len(delivery.delivered), **delivery.counts})

    def _set_aside(self, tail: Tail, refused: list[tuple[Line, str]]) -> None:
        try:
            self._dead.keep(refused)
        except OSError as error:  # a full disk: they wait with the others
            self._note(f"{len(refused)} lines cannot be set aside: {error.strerror or error}")
            self._waiting += [line for line, _ in refused]
            self._stop_asked.wait(POLL_S)
            return
        self._note(f"{len(refused)} set aside in {self._dead.path.name}: {refused[0][1]}")
        tail.acknowledge([line for line, _ in refused], {"set_aside": len(refused)})

    def _pause(self, tail: Tail, delivery: Delivery) -> None:
        progress = self.progress
        if delivery.delivered:
            progress.failures = 0
        if not progress.failures:
            _log.warning("%s: %s does not take them: %s", self.kind, self.sink.address, delivery.error)
        progress.failures += 1
        progress.state = "retrying"
        self._note(delivery.error)
        if delivery.overloaded:
            self._size = max(LEAST, self._size // 2)
        tail.acknowledge([], {"retries": 1})
        self._stop_asked.wait(backoff(progress.failures, self._limits.backoff_s, delivery.retry_after_s))

    def _note(self, error: str) -> None:
        if error != self.progress.last_error:
            _log.info("%s: %s", self.kind, error)
        self.progress.last_error, self.progress.last_error_at = error, time.time()

    def _drained(self, tail: Tail) -> bool:
        return self._drain and tail.read_all and not self._waiting and not (self._holder and self._holder.traces)
