"""Spans are held until their record span has ended, so that a trace leaves this node whole.

Tempo cuts a trace in pieces where its spans arrive more than five seconds apart, and then answers questions about its structure
wrongly. A generation takes minutes; its stages end long before its record does. In a cluster the record is written on one machine:
the others ask which requests still run, and let go of the rest.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

import orjson

from telemetry import fields
from telemetry.shipping.sampling import Sampler
from telemetry.shipping.tail import Line

SETTLE_S = 1.0
"""How long after its record span a trace waits for what other processes wrote before: two looks at the journal."""
ASK_EVERY_S = 1.0
"""How often it is asked which requests still run, at most: a trace then leaves all machines within Tempo's five seconds."""
ASK_AGAIN_S = 30.0
"""The same where nobody could say: an attempt that fails may take seconds, in which nothing is sent."""
REMEMBERED = 50_000
"""Traces that were sent and whose stragglers are known as such."""
_RECORDS = frozenset(fields.RECORD_SPANS.values())


@dataclass
class _Trace:
    seen: float
    lines: list[Line] = field(default_factory=list)
    bytes: int = 0
    ended: float | None = None
    record: tuple[Line, dict[str, Any]] | None = None


@dataclass
class Released:
    """`send` goes out, traces one after another; `dropped` was sampled out; `unreadable` is no span of ours."""

    send: list[Line] = field(default_factory=list)
    dropped: list[Line] = field(default_factory=list)
    unreadable: list[Line] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def count(self, name: str, value: int = 1) -> None:
        """Adds to a counter."""
        self.counts[name] = self.counts.get(name, 0) + value


class Holder:
    """Holds spans for `hold_s` seconds at most and up to `max_bytes`; beyond either the oldest goes as it is, ended ones first.

    `running` says which traces have a request that has not ended (None: nobody knows), where records may lie in other journals.
    """

    def __init__(
        self,
        *,
        hold_s: float,
        max_bytes: int,
        sampler: Sampler | None = None,
        running: Callable[[], Collection[str] | None] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hold_s = hold_s
        self._max_bytes = max_bytes
        self._sampler = sampler
        self._running = running
        self._ask_at = 0.0
        self._now = now
        self._traces: OrderedDict[str, _Trace] = OrderedDict()
        self._kept: OrderedDict[str, bool] = OrderedDict()
        self._unreadable: list[Line] = []
        self.bytes = 0

    @property
    def traces(self) -> int:
        """How many traces are held."""
        return len(self._traces)

    @property
    def room(self) -> int:
        """Bytes that may still be added."""
        return self._max_bytes - self.bytes

    def add(self, line: Line) -> None:
        """Takes one line."""
        try:
            span = _first_span(line.data)
            trace_id = str(span["traceId"])
            is_record = _is_record(span)
        except (orjson.JSONDecodeError, KeyError, TypeError, IndexError, AttributeError):
            self._unreadable.append(line)
            return
        now = self._now()
        trace = self._traces.setdefault(trace_id, _Trace(now))
        trace.lines.append(line)
        trace.bytes += len(line.data)
        self.bytes += len(line.data)
        if is_record:
            trace.ended = now
            trace.record = (line, span)
        elif trace.ended is None and trace_id in self._kept:  # a straggler: its trace has gone already
            trace.ended = now

    def release(self, *, caught_up: bool = True, all: bool = False) -> Released:
        """What may go now. `caught_up`: all that is written has been read, so no part of an ended trace lies further on.

        `all`: nothing more is expected.
        """
        now, released = self._now(), Released(unreadable=self._unreadable)
        self._unreadable = []
        if caught_up:
            self._ask(now)
        due = [
            trace_id
            for trace_id, trace in self._traces.items()
            if all or (caught_up and trace.ended is not None and now - trace.ended >= SETTLE_S) or now - trace.seen > self._hold_s
        ]
        for trace_id in due:
            self._let_go(trace_id, released)
        while self.bytes > self._max_bytes:
            ended = (trace_id for trace_id, trace in self._traces.items() if trace.ended is not None)
            self._let_go(next(ended, None) or next(iter(self._traces)), released)
        return released

    def _ask(self, now: float) -> None:
        """Notes the end of requests whose record is in another machine's journal."""
        if self._running is None or now < self._ask_at:
            return
        waiting = {id: trace for id, trace in self._traces.items() if trace.ended is None and now - trace.seen >= SETTLE_S}
        if not waiting:
            return
        running = self._running()
        self._ask_at = now + (ASK_AGAIN_S if running is None else ASK_EVERY_S)
        if running is not None:
            for trace_id in waiting.keys() - running:
                waiting[trace_id].ended = now

    def _let_go(self, trace_id: str, released: Released) -> None:
        trace = self._traces.pop(trace_id)
        self.bytes -= trace.bytes
        keep, lines = self._decide(trace_id, trace)
        (released.send if keep else released.dropped).extend(lines)
        if trace.ended is None:
            released.count("without_record")
        if not keep:
            released.count("sampled_out")
        self._kept[trace_id] = keep
        while len(self._kept) > REMEMBERED:
            self._kept.popitem(last=False)

    def _decide(self, trace_id: str, trace: _Trace) -> tuple[bool, list[Line]]:
        if self._sampler is None or trace.record is None:
            return self._kept.get(trace_id, True), trace.lines
        from telemetry.tables import attributes  # brings Arrow, which a forwarder that keeps every trace does without

        line, span = trace.record
        keep, weight = self._sampler.decide(trace_id, span, attributes(span.get("attributes", [])))
        if keep:
            trace.lines[trace.lines.index(line)] = weighted(line, weight)
        return keep, trace.lines


def weighted(line: Line, weight: float) -> Line:
    """The line with `sampling_weight` on its first span; it stands for the same bytes of the journal."""
    request = orjson.loads(line.data)
    span = request["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    kept = [pair for pair in span.get("attributes", []) if pair["key"] != "sampling_weight"]
    span["attributes"] = [*kept, {"key": "sampling_weight", "value": {"doubleValue": float(weight)}}]
    return Line(line.segment, line.start, line.end, orjson.dumps(request))


def _first_span(data: bytes) -> dict[str, Any]:
    return orjson.loads(data)["resourceSpans"][0]["scopeSpans"][0]["spans"][0]


def _is_record(span: dict[str, Any]) -> bool:
    """By its name, or by what `RequestRecord` alone writes: the record of a service of another kind."""
    if span["name"] in _RECORDS:
        return True
    names = {pair["key"] for pair in span.get("attributes", [])}
    return "started_at" in names and "ended_at" in names
