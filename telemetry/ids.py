"""Ids that nobody hands out: UUIDv7 for requests and events, W3C trace context for spans."""

from __future__ import annotations

import os
import re
import threading
import time
from uuid import UUID

_TRACEPARENT = re.compile(r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-[0-9a-f]{2}(?P<more>-.*)?")


class _Ticks:
    """The last 60-bit time stamp (milliseconds and a 12-bit fraction) that this process has used."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.last = 0

    def next(self) -> int:
        millis, rest = divmod(time.time_ns(), 1_000_000)
        now = millis << 12 | (rest << 12) // 1_000_000
        with self.lock:
            self.last = now if now > self.last else self.last + 1
            return self.last


_ticks = _Ticks()
# A thread of the parent may have held the lock at the fork; the child would wait for it for ever.
os.register_at_fork(after_in_child=lambda: _ticks.__init__())


def uuid7() -> str:
    """A UUIDv7 (RFC 9562, method 3: the fraction of the millisecond follows it), rising within the process."""
    ticks = _ticks.next()
    random = int.from_bytes(os.urandom(8), "big") >> 2
    return str(UUID(int=(ticks >> 12) << 80 | 0x7 << 76 | (ticks & 0xFFF) << 64 | 0b10 << 62 | random))


def random_span_id() -> int:
    """64 random bits, never 0. From the system: a model that seeds `random` must not repeat our ids."""
    return int.from_bytes(os.urandom(8), "big") or 1


def random_trace_id() -> int:
    """128 random bits, never 0."""
    return int.from_bytes(os.urandom(16), "big") or 1


def parse_traceparent(header: str | None) -> tuple[str, str] | None:
    """Trace id and span id of a W3C `traceparent`; None where it is missing or breaks the rules.

    A later version may carry more after the flags; version 00 may not, and version ff is forbidden.
    """
    match = _TRACEPARENT.fullmatch(header) if header else None
    if match is None or match["version"] == "ff" or (match["version"] == "00" and match["more"]):
        return None
    if not match["trace"].strip("0") or not match["span"].strip("0"):
        return None
    return match["trace"], match["span"]


def new_traceparent(parent: str | None = None) -> str:
    """The W3C header of a span to come: a fresh span id in the trace of `parent`, or in a fresh one where that is not valid."""
    found = parse_traceparent(parent)
    trace_id = found[0] if found else f"{random_trace_id():032x}"
    return f"00-{trace_id}-{random_span_id():016x}-01"
