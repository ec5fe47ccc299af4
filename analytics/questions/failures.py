"""What fails, since when, and where: error types over time, spikes, the values that fail more, the messages."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analytics.filters import Filter
from analytics.questions.failure_cells import FIELDS, Cells, Ended, Mass, ended, ended_rows
from analytics.questions.notes import note
from analytics.questions.patterns import Pattern, patterns
from analytics.questions.phrases import phrase
from analytics.questions.result import ALPHA, Finding, verdict_of
from analytics.questions.rows import observe, only
from analytics.questions.scan import g2_of, log_p_of
from analytics.questions.schema import Schema
from analytics.questions.sentences import Language, amount, interval
from analytics.questions.stats import benjamini_hochberg, difference_interval, share_interval
from analytics.requests import Joined

BINS = (60, 300, 900, 3600, 4 * 3600, 86_400, 7 * 86_400)
"""Lengths of a piece of time (s): the shortest that gives at most MOST_BINS."""
MOST_BINS = 200
FEWEST = 3
"""Failures of a value or a piece of time below which it is no news."""
MOST = 30


@dataclass(frozen=True, kw_only=True)
class Rate(Finding):
    """`estimate`: share of `what` that failed (with `error_type`, where one is named), less that of the rest (unit `share`).

    `rate` and `usual` are the two shares; `failed` counts rows. For a spike `start` and `end` are its bounds (UTC).
    """

    what: str
    field: str
    value: Any
    rate: float
    usual: float
    failed: int
    error_type: str | None = None
    start: str | None = None
    end: str | None = None

    def sentence(self, language: Language = "en") -> str:
        """How much more of it failed than of the rest."""
        values = {
            "rate": amount(self.rate, "share"), "usual": amount(self.usual, "share"), "n": self.n,
            "change": amount(self.estimate, "share", signed=True), "interval": interval(self.interval, "share", language),
        }  # fmt: skip
        if self.start is not None:
            return phrase("spike", language, start=self.start, end=self.end, **values)
        named = "" if self.error_type is None else f" ({self.error_type})"
        return phrase("failing_value", language, what=self.what, type=named, **values)


@dataclass(frozen=True, kw_only=True)
class Failures(Finding):
    """`estimate`: share of the requests that failed (unit `share`).

    `types`: each error type with its count and share of all failures, the most frequent first. `stages`: the same by failed stage.
    `over_time`: for each piece of time its start, requests and failures by type. `spikes`: pieces with surely more failures than
    the others. `values`: values whose requests surely fail more, also for one error type alone (what occurs together).
    `messages`: templates of the error messages.
    """

    failed: int = 0
    types: tuple[dict[str, Any], ...] = ()
    stages: tuple[dict[str, Any], ...] = ()
    over_time: tuple[dict[str, Any], ...] = ()
    spikes: tuple[Rate, ...] = ()
    values: tuple[Rate, ...] = ()
    messages: tuple[Pattern, ...] = ()

    def sentence(self, language: Language = "en") -> str:
        """How many failed."""
        if self.estimate is None:
            return phrase("failure_none", language)
        rate, bounds = amount(self.estimate, "share"), interval(self.interval, "share", language)
        return phrase("failure_rate", language, failed=self.failed, n=self.n, rate=rate, interval=bounds)


def failures(frame: pd.DataFrame, schema: Schema | None = None, *, truncated: bool = False) -> Failures:
    """What failed among request rows. A cancelled request did not fail; without `status` an error type says that one did."""
    rows = observe(frame, schema)
    if not rows.n or not {"status", "error_type"} & set(rows.frame):
        return _nothing(rows.n, rows.warnings, truncated)
    with ended_rows(rows) as asked:
        return _answered(asked, rows.warnings, truncated)


def failures_of(view: Joined, where: Filter | None = None, *, truncated: bool = False) -> Failures:
    """The same of every request of a store that passes a filter, counted where they lie: exact, however many they are."""
    return _answered(ended(view, where), (), truncated)


def _nothing(n: int, warnings: tuple[str, ...], truncated: bool) -> Failures:
    return Failures(n=n, verdict="no_data", warnings=(*warnings, note("no_status")), truncated=truncated)


def _answered(asked: Ended, warnings: tuple[str, ...], truncated: bool) -> Failures:
    cells = asked.all()
    everything, failed = cells.mass(), cells.mass(cells.failed())
    if not everything.n or not asked.known:
        return _nothing(int(everything.n), warnings, truncated)
    share, bounds = share_interval(failed.w / everything.w * everything.effective, everything.effective)
    types = _counted(cells.type, cells)
    stages, pieces = asked.of("failed_stage"), _pieces(asked)
    return Failures(
        n=int(everything.n), verdict="associated" if failed.n else "not_shown", unit="share", estimate=share, interval=bounds,
        warnings=warnings, truncated=truncated, failed=int(failed.n), types=types,
        stages=() if stages is None else _counted(only(stages.value, stages.failed()), stages),
        over_time=tuple(_over_time(pieces)) if pieces else (), spikes=tuple(_spikes(pieces)) if pieces else (),
        values=tuple(_values(asked, types)), messages=tuple(_messages(asked)),
    )  # fmt: skip


def _counted(words: NDArray[np.object_], cells: Cells) -> tuple[dict[str, Any], ...]:
    known = [word for word in dict.fromkeys(words) if word is not None]
    masses = {word: cells.mass(words == word) for word in known}
    total = sum(mass.w for mass in masses.values())
    found = [{"value": word, "n": int(mass.n), "share": mass.w / total} for word, mass in masses.items()]
    return tuple(sorted(found, key=lambda one: (-one["share"], one["value"])))


@dataclass(frozen=True)
class _Pieces:
    """Cells by piece of time: `length` s each from `first` on, `count` of them."""

    cells: Cells
    length: int
    first: float
    count: int


def _pieces(asked: Ended) -> _Pieces | None:
    low, high = asked.span()
    if low is None or high is None:
        return None
    length = next((length for length in BINS if (high - low) / length <= MOST_BINS), BINS[-1])
    first = float(low // length * length)
    return _Pieces(asked.over_time(length, first), length, first, int((high - first) // length) + 1)


def _over_time(pieces: _Pieces) -> list[dict[str, Any]]:
    found = [
        {"start": _time(pieces.first + k * pieces.length), "requests": 0.0, "failed": dict[str, float]()}
        for k in range(pieces.count)
    ]
    for place, error_type, weight in zip(pieces.cells.value, pieces.cells.type, pieces.cells.w, strict=True):
        one: Any = found[place]
        one["requests"] += weight
        if error_type is not None:
            one["failed"][error_type] = one["failed"].get(error_type, 0.0) + weight
    return found


def _spikes(pieces: _Pieces) -> list[Rate]:
    """Pieces of time with more failures than the rest, neighbours as one; q over all pieces."""
    cells, field = pieces.cells, "started_at"
    places = cells.value.astype(np.int64)
    found = [_tested(cells, places == k, None, field, k) for k in range(pieces.count)]
    sure = sorted(one.value for one, q in _with_q([one for one in found if one], pieces.count) if q < ALPHA)
    merged: list[list[int]] = []
    for k in sure:
        if merged and merged[-1][1] == k - 1:
            merged[-1][1] = k
        else:
            merged.append([k, k])
    again = [_tested(cells, (places >= a) & (places <= b), None, field, (a, b)) for a, b in merged]
    return [
        _rate(replace(one, value=None), q, start=_time(pieces.first + one.value[0] * pieces.length),
              end=_time(pieces.first + (one.value[1] + 1) * pieces.length))
        for one, q in _with_q([one for one in again if one], pieces.count)
    ]  # fmt: skip


def _values(asked: Ended, types: tuple[dict[str, Any], ...]) -> list[Rate]:
    """Values with more failures than the rest, of any type and of each frequent one; q over all of them. The strongest first."""
    frequent = [one["value"] for one in types[:5] if one["n"] >= FEWEST]
    kinds = [None, *(frequent if len(frequent) > 1 else ())]
    found: list[_Test] = []
    tests = 0
    for field in FIELDS[1:]:
        cells = asked.of(field)
        for value in [] if cells is None else cells.values():
            for error_type in kinds:
                tests += 1
                assert cells is not None
                made = _tested(cells, cells.value == value, error_type, field, value)
                found += [] if made is None else [made]
    made = [_rate(one, q) for one, q in _with_q(found, tests) if q < ALPHA]
    return sorted(made, key=lambda one: -(one.estimate or 0.0) * one.failed)[:MOST]


def _messages(asked: Ended) -> list[Pattern]:
    found = asked.messages()
    return patterns(found["message"], list(found["type"]), found["w"].to_numpy(float), found["n"].to_numpy(int))


@dataclass(frozen=True)
class _Test:
    """The chance `p` that the requests of a value fail more than the others, with the masses of both and of their failures."""

    p: float
    field: str
    value: Any
    error_type: str | None
    inside: tuple[Mass, Mass]
    outside: tuple[Mass, Mass]


def _tested(cells: Cells, mask: NDArray[np.bool_], error_type: str | None, field: str, value: Any) -> _Test | None:
    """None where the chosen cells do not fail more than the others, or too seldom to matter."""
    hit = cells.failed(error_type)
    inside, hits = cells.mass(mask), cells.mass(mask & hit)
    everything = cells.mass()
    if hits.n < FEWEST or inside.n == everything.n:
        return None
    rest, others = everything - inside, cells.mass(~mask & hit)
    scale = everything.effective / everything.w
    a, b, c, d = (scale * w for w in (hits.w, inside.w - hits.w, others.w, rest.w - others.w))
    if a * (c + d) <= c * (a + b):
        return None
    g2 = float(g2_of(*(np.array(cell) for cell in (a, b, c, d))))
    return _Test(float(np.exp(log_p_of((a, b, c, d), g2))), field, value, error_type, (inside, hits), (rest, others))


def _with_q(found: list[_Test], tests: int) -> list[tuple[_Test, float]]:
    """With q over everything that was asked, also what failed too seldom to be tested."""
    qs = benjamini_hochberg([one.p for one in found] + [1.0] * (tests - len(found)))[: len(found)]
    return [(one, q or 0.0) for one, q in zip(found, qs, strict=True)]


def _rate(one: _Test, q: float, **more: Any) -> Rate:
    shares = [share_interval(hits.w / group.w * group.effective, group.effective) for group, hits in (one.inside, one.outside)]
    change, bounds = difference_interval(shares[1], shares[0])
    return Rate(
        n=int(one.inside[0].n + one.outside[0].n), verdict=verdict_of(q), unit="share", estimate=change, interval=bounds, q=q,
        what=f"{one.field} = {one.value}", field=one.field, value=one.value, rate=shares[0][0], usual=shares[1][0],
        failed=int(one.inside[1].n), error_type=one.error_type, **more,
    )  # fmt: skip


def _time(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
