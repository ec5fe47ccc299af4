"""A range of time as slices that Tempo answers whole: a search has a limit, and nothing in its answer says that it was reached."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from analytics.stores.base import Range
from analytics.stores.tempo_http import TempoError, TooLarge

SECOND = 1_000_000_000
PAGE = 5000
"""Traces a search may find. 300 to 2,000 a slice were fastest; a slice that was planned too wide is not to be asked twice."""
MOST = 262_144
"""Tempo's own upper bound of `limit`, for a second that holds more than `PAGE`."""
TARGET = 1000
"""Records a slice is planned for: with 300 to 2,000 the slices cost 1.1 times one search; far wider ones, halved, 2.6 times."""
LONGEST_WINDOW_S = 24 * 3600
"""A metrics query takes 24 h at most (a search 168 h)."""
STEPS = 96
"""Points of a plan: quarters of an hour in a day."""


@dataclass(frozen=True)
class Slice:
    """Whole seconds since 1970, both ends included. `longer_than_s`: only records of that length are wanted from it."""

    start: int
    end: int
    longer_than_s: int = 0

    @property
    def halves(self) -> tuple[Slice, Slice]:
        """The newer half and the older one; they share a second, for whole seconds are all that can be asked."""
        middle = (self.start + self.end) // 2
        return Slice(middle, self.end, self.longer_than_s), Slice(self.start, middle, self.longer_than_s)


Ask = Callable[[Slice, int], Mapping[str, Any]]
"""A slice and a limit to Tempo's answer."""


@dataclass(frozen=True)
class Page:
    """What one slice answered, whole unless `cut`."""

    answer: Mapping[str, Any]
    cut: bool


def span_of(range: Range, now_ns: int, reach_s: int) -> tuple[int, int]:
    """The range in whole seconds around it: an open start reaches back `reach_s`, and the end is not in the future."""
    end_ns = now_ns if range.until is None else min(range.until, now_ns)
    start_ns = now_ns - reach_s * SECOND if range.since is None else range.since
    return start_ns // SECOND, math.ceil(end_ns / SECOND)


def windows(start: int, end: int, longest_s: int = LONGEST_WINDOW_S) -> Iterator[tuple[int, int]]:
    """The range in pieces of at most `longest_s` seconds, the newest first."""
    while end > start:
        piece = max(start, end - longest_s)
        yield piece, end
        end = piece


def tail(end: int, now: int, longest_s: int) -> list[Slice]:
    """Slices behind the end of the range, the newest first.

    A trace that is written long after its start lies in blocks of its end only, so a window over its start alone does not find it
    (blocks are dated 2 minutes back at most: `ingestion_time_range_slack`). Whatever began before `end` and is found `s` seconds
    after it took longer than `s`.
    """
    bounds, step = [end], 60
    while bounds[-1] < min(now, end + longest_s):
        bounds.append(min(now, end + longest_s, bounds[-1] + step))
        step *= 4
    return [Slice(low, high, low - end) for low, high in pairwise(bounds)][::-1]


def even(start: int, end: int) -> list[Slice]:
    """A window whose content nobody knows, in slices of a tenth of it but no less than ten minutes, the newest first."""
    width = max(600, math.ceil((end - start) / 10))
    return [Slice(max(start, high - width), high) for high in range(end, start, -width)]


def planned(start: int, end: int, counts: Mapping[int, int], step: int) -> list[Slice]:
    """A window in slices of about `TARGET` records, the newest first. `counts`: records of the `step` seconds before a second."""
    slices: list[Slice] = []
    high, held = end, 0
    for low in range(end - step, start - step, -step):
        low = max(low, start)
        inside = sum(count for at, count in counts.items() if low < at <= low + step)
        if held and held + inside > TARGET:
            slices += _split(low + step, high, held)
            high, held = low + step, 0
        held += inside
    return slices + (_split(start, high, held) if high > start else [])


def _split(start: int, end: int, records: int) -> list[Slice]:
    parts = min(end - start, max(1, math.ceil(records / TARGET)))
    bounds = [start + (end - start) * part // parts for part in range(parts + 1)]
    return [Slice(low, high) for low, high in pairwise(bounds)][::-1]


def pages(slices: list[Slice], ask: Ask, pool: ThreadPoolExecutor, at_once: int) -> Iterator[list[Page]]:
    """The answers to the slices, in batches of what was asked at the same time; each slice whole, in as many parts as it takes."""
    for first in range(0, len(slices), at_once):
        yield from pool.map(lambda one: list(_whole(one, ask)), slices[first : first + at_once])


def _whole(slice: Slice, ask: Ask) -> Iterator[Page]:
    narrow = slice.end - slice.start <= 1
    try:
        answer = ask(slice, MOST if narrow else PAGE)
    except TooLarge as error:
        if narrow:
            raise TempoError(f"one second holds more than Tempo can answer: {error}") from error
        answer = None
    if answer is not None and (narrow or len(answer.get("traces") or ()) < PAGE):
        yield Page(answer, _unfinished(answer) or len(answer.get("traces") or ()) >= MOST)
        return
    for half in slice.halves:
        yield from _whole(half, ask)


def _unfinished(answer: Mapping[str, Any]) -> bool:
    """True where Tempo says that it has not looked everywhere."""
    metrics = answer.get("metrics") or {}
    return int(metrics.get("completedJobs", 0)) < int(metrics.get("totalJobs", 0))
