"""What fails, since when, and where: error types over time, spikes, the values that fail more, the messages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analytics.questions.patterns import Pattern, patterns
from analytics.questions.phrases import phrase
from analytics.questions.result import ALPHA, Finding, verdict_of
from analytics.questions.rows import Rows, Truth, column, moments, observe, only
from analytics.questions.scan import g2_of, log_p_of
from analytics.questions.schema import Schema
from analytics.questions.sentences import Language, amount, interval
from analytics.questions.stats import benjamini_hochberg, difference_interval, effective_n, share_interval

FIELDS = ("failed_stage", "source_prefix", "department", "replica", "host", "model_version", "model_name", "device", "client_hash")
"""Where failures are looked for. The stage is a part of the failure itself: its values are counted, not compared."""
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
    failed = rows.failed()
    if failed is None or not rows.n:
        return Failures(n=rows.n, verdict="no_data", warnings=(*rows.warnings, "no row has a status"), truncated=truncated)
    w = rows.weights
    share, bounds = share_interval(float(w @ failed) / rows.n * effective_n(w), effective_n(w))
    given = rows.text("error_type")
    types = np.full(rows.n, "unknown", object)
    if given is not None:
        named = np.array([word is not None for word in given], bool)
        types[named] = given[named]
    types = only(types, failed)
    stages, messages = rows.text("failed_stage"), rows.text("error_message")
    return Failures(
        n=rows.n, verdict="associated" if failed.any() else "not_shown", unit="share", estimate=share, interval=bounds,
        warnings=rows.warnings, truncated=truncated, failed=int(failed.sum()), types=_counted(types, rows),
        stages=() if stages is None else _counted(only(stages, failed), rows),
        over_time=tuple(_over_time(rows, failed, types)), spikes=tuple(_spikes(rows, failed)),
        values=tuple(_values(rows, failed, types)),
        messages=() if messages is None else tuple(patterns(only(messages, failed), list(types), w)),
    )  # fmt: skip


def _counted(words: NDArray[np.object_], rows: Rows) -> tuple[dict[str, Any], ...]:
    known = np.array([word is not None for word in words], bool)
    total = float(rows.weights[known].sum())
    found = [
        {"value": word, "n": int((words == word).sum()), "share": float(rows.weights[words == word].sum()) / total}
        for word in dict.fromkeys(words[known])
    ]
    return tuple(sorted(found, key=lambda one: (-one["share"], one["value"])))


def _pieces(rows: Rows) -> tuple[NDArray[np.int64], int, float] | None:
    """The number of each row's piece of time (-1 without a time), its length and the start of the first one (s)."""
    if "started_at" not in rows.frame:
        return None
    at = moments(column(rows.frame, "started_at"))
    known = np.isfinite(at)
    if not known.any():
        return None
    span = at[known].max() - at[known].min()
    length = next((length for length in BINS if span / length <= MOST_BINS), BINS[-1])
    first = float(at[known].min() // length * length)
    return np.where(known, (np.nan_to_num(at) - first) // length, -1).astype(np.int64), length, first


def _over_time(rows: Rows, failed: Truth, types: NDArray[np.object_]) -> list[dict[str, Any]]:
    pieces = _pieces(rows)
    if pieces is None:
        return []
    number, length, first = pieces
    width = int(number.max()) + 1
    known = number >= 0
    total = np.bincount(number[known], rows.weights[known], width)
    counts = {
        str(word): np.bincount(number[known & (types == word)], rows.weights[known & (types == word)], width)
        for word in dict.fromkeys(types[failed])
    }
    return [
        {
            "start": _time(first + k * length),
            "requests": float(total[k]) * rows.each,
            "failed": {name: float(count[k]) * rows.each for name, count in counts.items() if count[k]},
        }
        for k in range(width)
    ]


def _spikes(rows: Rows, failed: Truth) -> list[Rate]:
    """Pieces of time with more failures than the rest, neighbours as one; q over all pieces."""
    pieces = _pieces(rows)
    if pieces is None:
        return []
    number, length, first = pieces
    masks = [number == k for k in range(int(number.max()) + 1)]
    found = [made for mask in masks if (made := _tested(rows, mask, failed, "started_at", None)) is not None]
    sure = {int(number[mask].max()) for mask, _, q in _with_q(found, len(masks)) if q < ALPHA}
    merged: list[list[int]] = []
    for k in sorted(sure):
        if merged and merged[-1][1] == k - 1:
            merged[-1][1] = k
        else:
            merged.append([k, k])
    bounds = [(np.isin(number, np.arange(a, b + 1)), a, b) for a, b in merged]
    again = [made for mask, _, _ in bounds if (made := _tested(rows, mask, failed, "started_at", None)) is not None]
    return [
        _rate(rows, mask, failed, "started_at", None, q, start=_time(first + a * length), end=_time(first + (b + 1) * length))
        for (mask, _, q), (_, a, b) in zip(_with_q(again, len(masks)), bounds, strict=True)
    ]


def _values(rows: Rows, failed: Truth, types: NDArray[np.object_]) -> list[Rate]:
    """Values with more failures than the rest, of any type and of each frequent one; q over all of them. The strongest first."""
    frequent = [one["value"] for one in _counted(types, rows)[:5] if one["n"] >= FEWEST]
    asked = [(None, failed), *((name, failed & (types == name)) for name in frequent if len(frequent) > 1)]
    found: list[_Test] = []
    tests = 0
    for name in FIELDS[1:]:
        words = rows.text(name)
        for value in [] if words is None else pd.Series(words).value_counts().index[:100]:
            for error_type, hit in asked:
                tests += 1
                made = _tested(rows, words == value, hit, name, value)
                found += [] if made is None else [(*made[:2], made[2] | {"error_type": error_type})]
    sure = [(mask, more, q) for mask, more, q in _with_q(found, tests) if q < ALPHA]
    made = [
        _rate(rows, mask, failed if more["error_type"] is None else failed & (types == more["error_type"]), q=q, **more)
        for mask, more, q in sure
    ]
    return sorted(made, key=lambda one: -(one.estimate or 0.0) * one.failed)[:MOST]


_Test = tuple[Truth, float, dict[str, Any]]


def _tested(rows: Rows, mask: Truth, hit: Truth, field: str, value: Any) -> _Test | None:
    """The p that the rows of `mask` fail more than the others; None where they do not, or too seldom to matter."""
    if (mask & hit).sum() < FEWEST or mask.all():
        return None
    scale = effective_n(rows.weights) / rows.n
    cells = np.bincount(mask * 2 + hit, rows.weights * scale, 4)
    d, c, b, a = (float(cell) for cell in cells)
    if a * (c + d) <= c * (a + b):
        return None
    g2 = float(g2_of(*(np.array(cell) for cell in (a, b, c, d))))
    return mask, float(np.exp(log_p_of((a, b, c, d), g2))), {"field": field, "value": value}


def _with_q(found: list[_Test], tests: int) -> list[tuple[Truth, dict[str, Any], float]]:
    """With q over everything that was asked, also what failed too seldom to be tested."""
    qs = benjamini_hochberg([p for _, p, _ in found] + [1.0] * (tests - len(found)))[: len(found)]
    return [(mask, more, q or 0.0) for (mask, _, more), q in zip(found, qs, strict=True)]


def _rate(rows: Rows, mask: Truth, hit: Truth, field: str, value: Any, q: float, **more: Any) -> Rate:
    shares = []
    for group in (mask, ~mask):
        n = effective_n(rows.weights[group])
        shares.append(share_interval(float(rows.weights[group] @ hit[group] / rows.weights[group].sum()) * n, n))
    change, bounds = difference_interval(shares[1], shares[0])
    return Rate(
        n=rows.n, verdict=verdict_of(q), unit="share", estimate=change, interval=bounds, q=q, what=f"{field} = {value}",
        field=field, value=value, rate=shares[0][0], usual=shares[1][0], failed=int((mask & hit).sum()), **more,
    )  # fmt: skip


def _time(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
