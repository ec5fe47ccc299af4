"""Has what comes in changed? Labels, confidences and facts of the inputs against a reference window.

There accuracy falls without an error. A shift says that the mix is another one, never that the answers are worse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from analytics.questions.phrases import phrase
from analytics.questions.result import Finding, verdict_of
from analytics.questions.rows import Rows, column, observe
from analytics.questions.schema import Schema
from analytics.questions.sentences import Language, amount, interval
from analytics.questions.stats import (
    Floats,
    benjamini_hochberg,
    difference_interval,
    effective_n,
    median_interval,
    share_interval,
)

WORLD = ("top1_label", "top1_score", "low_confidence", "faces", "crop_dropped_share", "input_width", "input_height",
         "input_channels", "input_format", "input_brightness", "input_bytes", "audio_s", "roi_width", "roi_height",
         "sync_confidence", "sync_reason", "model_name", "source_prefix", "department")  # fmt: skip
"""What is known of the inputs and how sure the models were of them; every parameter that people choose is asked about, too."""
FEWEST = 30
"""Rows with a value, in either window, below which no shift is looked for."""
MOST_VALUES = 50
"""Values of a category that are told apart, the most frequent; the rest is one."""
_REST = "…"
Texts = NDArray[np.object_]


@dataclass(frozen=True, kw_only=True)
class Shift(Finding):
    """One column. Of numbers `estimate` is the median now less before, in the column's unit; of categories it is the share of
    `value`, the one that changed most, now less before. `distance`: Kolmogorov's D, or half the sum of the changes of shares (0
    the same, 1 nothing in common); `n` rows now, `n_before` before."""

    column: str
    n_before: int
    value: str | None = None
    before: float | None = None
    after: float | None = None
    distance: float | None = None

    def sentence(self, language: Language = "en") -> str:
        """What is different, or that nothing is shown."""
        what = self.column if self.value is None else f"{self.column} = {self.value}"
        numbers = {"what": what, "n": self.n, "n_before": self.n_before}
        if self.verdict != "associated":
            return phrase("shift_none" if self.verdict == "not_shown" else "shift_too_few", language, **numbers)
        return phrase(
            "shift", language, before=amount(self.before, self.unit), after=amount(self.after, self.unit),
            change=amount(self.estimate, self.unit, signed=True),
            interval=interval(self.interval, self.unit, language, change=True), **numbers,
        )  # fmt: skip


def world(
    now: pd.DataFrame, before: pd.DataFrame, schema: Schema | None = None, *, columns: Sequence[str] | None = None,
    truncated: bool = False,
) -> tuple[Shift, ...]:  # fmt: skip
    """One result a column that either frame has, those that have surely shifted first, the farthest first; q over all that were
    asked. `columns`: what to ask about (default: WORLD and the parameters)."""
    new, old = observe(now, schema), observe(before, schema)
    known = {one.name: one for one in (*new.schema, *old.schema)}
    chosen = [one.name for one in new.schema.parameters if one.tunable or one.name == "duration_s"]
    frames = (new.frame, old.frame)
    asked = [
        name for name in dict.fromkeys(columns or (*WORLD, *chosen))
        if all(name in frame for frame in frames) and any(column(frame, name).notna().any() for frame in frames)
    ]  # fmt: skip
    found = [(_numeric if name in known and known[name].numeric else _category)(new, old, name) for name in asked]
    units = [known[name].unit if name in known else "" for name in asked]
    qs = benjamini_hochberg([p for _, p in found])
    made = [
        replace(shift, q=q, verdict=shift.verdict if q is None else verdict_of(q), truncated=truncated, unit=shift.unit or unit)
        for (shift, _), q, unit in zip(found, qs, units, strict=True)
    ]
    return tuple(sorted(made, key=lambda one: (one.verdict != "associated", -(one.distance or 0.0), one.column)))


def _numeric(new: Rows, old: Rows, name: str) -> tuple[Shift, float | None]:
    a, b = new.numbers(name), old.numbers(name)
    known_a, known_b = np.isfinite(a), np.isfinite(b)
    base = Shift(n=int(known_a.sum()), n_before=int(known_b.sum()), verdict="too_few", column=name)
    if min(base.n, base.n_before) < FEWEST:
        return base, None
    a, wa, b, wb = a[known_a], new.weights[known_a], b[known_b], old.weights[known_b]
    after, before = median_interval(a, wa), median_interval(b, wb)
    change, bounds = difference_interval(before, after)
    # With sampled rows the test would take every row for a whole one: D is of the weights, p of the effective sizes.
    d = _kolmogorov(a, wa, b, wb)
    n = effective_n(wa) * effective_n(wb) / (effective_n(wa) + effective_n(wb))
    p = float(scipy_stats.kstwobign.sf(np.sqrt(n) * d))
    return replace(base, estimate=change, interval=bounds, before=before[0], after=after[0], distance=d), p


def _kolmogorov(a: np.ndarray, wa: np.ndarray, b: np.ndarray, wb: np.ndarray) -> float:
    at = np.union1d(a, b)

    def below(x: np.ndarray, w: np.ndarray) -> np.ndarray:
        order = np.argsort(x)
        return np.concatenate([[0.0], np.cumsum(w[order])])[np.searchsorted(x[order], at, side="right")] / w.sum()

    return float(np.abs(below(a, wa) - below(b, wb)).max())


def _category(new: Rows, old: Rows, name: str) -> tuple[Shift, float | None]:
    sides = [_words(rows, name) for rows in (new, old)]
    (words_a, wa), (words_b, wb) = sides
    base = Shift(n=len(words_a), n_before=len(words_b), verdict="too_few", column=name, unit="share")
    if min(base.n, base.n_before) < FEWEST:
        return base, None
    names, shares = _shares(words_a, wa, words_b, wb)
    if len(names) < 2:
        return replace(base, verdict="never_varied"), None
    sizes = effective_n(wa), effective_n(wb)
    change = shares[0] - shares[1]
    most = int(np.abs(change).argmax())
    after, before = (share_interval(float(side[most]) * n, n) for side, n in zip(shares, sizes, strict=True))
    estimate, bounds = difference_interval(before, after)
    p = _g_test(shares * np.array(sizes)[:, None])
    shift = replace(
        base, value=names[most], estimate=estimate, interval=bounds, before=before[0], after=after[0],
        distance=float(np.abs(change).sum() / 2),
    )  # fmt: skip
    return shift, p


def _g_test(counts: Floats) -> float:
    """p of the likelihood-ratio test that both rows have one mix."""
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / counts.sum()
    seen = counts > 0
    g2 = 2 * float((counts[seen] * np.log(counts[seen] / expected[seen])).sum())
    return float(scipy_stats.chi2.sf(g2, counts.shape[1] - 1))


def _words(rows: Rows, name: str) -> tuple[Texts, Floats]:
    """The values that are there, and what each weighs."""
    words = rows.text(name)
    assert words is not None, "the caller looked whether the column is there"
    known = np.array([word is not None for word in words], bool)
    return words[known], rows.weights[known]


def _shares(a: Texts, wa: Floats, b: Texts, wb: Floats) -> tuple[list[str], Floats]:
    """The values and their shares now (first row) and before; beyond MOST_VALUES one for the rest."""
    names, index = np.unique(np.concatenate([a, b]).astype(str), return_inverse=True)
    mass = np.stack([np.bincount(index[: len(a)], wa, len(names)), np.bincount(index[len(a) :], wb, len(names))])
    shares = mass / mass.sum(axis=1, keepdims=True)
    # By both windows: the most frequent of one of them would seem to fall in the other, by chance alone.
    order = np.argsort(-shares.sum(axis=0), kind="stable")
    kept, rest = order[:MOST_VALUES], order[MOST_VALUES:]
    if not len(rest):
        return [str(name) for name in names[kept]], shares[:, kept]
    return [*map(str, names[kept]), _REST], np.hstack([shares[:, kept], shares[:, rest].sum(axis=1, keepdims=True)])
