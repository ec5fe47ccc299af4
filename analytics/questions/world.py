"""Has what comes in changed? Labels, confidences and facts of the inputs against a reference window.

There accuracy falls without an error. A shift says that the mix is another one, never that the answers are worse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import stats as scipy_stats

from analytics.questions.phrases import phrase
from analytics.questions.result import Finding, verdict_of
from analytics.questions.rows import Rows, column, observe
from analytics.questions.schema import Schema
from analytics.questions.sentences import Language, amount, interval
from analytics.questions.stats import benjamini_hochberg, difference_interval, effective_n, median_interval, share_interval

WORLD = ("top1_label", "top1_score", "low_confidence", "faces", "crop_dropped_share", "input_width", "input_height",
         "input_channels", "input_format", "input_brightness", "input_bytes", "audio_s", "roi_width", "roi_height",
         "sync_confidence", "sync_reason", "model_name", "source_prefix", "department")  # fmt: skip
"""What is known of the inputs and how sure the models were of them; every parameter that people choose is asked about, too."""
FEWEST = 30
"""Rows with a value, in either window, below which no shift is looked for."""
MOST_VALUES = 50
"""Values of a category that are told apart, the most frequent; the rest is one."""
_REST = "…"


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
    asked = [
        name for name in dict.fromkeys(columns or (*WORLD, *chosen))
        if name in new.frame and name in old.frame and (column(new.frame, name).notna().any() or column(old.frame, name).notna().any())
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
    words_a, words_b = new.text(name), old.text(name)
    assert words_a is not None
    assert words_b is not None
    known_a, known_b = (np.array([word is not None for word in words], bool) for words in (words_a, words_b))
    base = Shift(n=int(known_a.sum()), n_before=int(known_b.sum()), verdict="too_few", column=name, unit="share")
    if min(base.n, base.n_before) < FEWEST:
        return base, None
    counts = pd.DataFrame(
        {"new": _mass(words_a[known_a], new.weights[known_a]), "old": _mass(words_b[known_b], old.weights[known_b])}
    ).fillna(0.0)
    # By both windows: the most frequent of one of them would seem to fall in the other, by chance alone.
    counts = counts.loc[(counts / counts.sum()).sum(axis=1).sort_values(ascending=False).index]
    if len(counts) > MOST_VALUES:
        rest = counts.iloc[MOST_VALUES:].sum()
        counts = pd.concat([counts.iloc[:MOST_VALUES], rest.to_frame(_REST).T])
    shares = counts / counts.sum()
    change = shares["new"] - shares["old"]
    value = str(change.abs().idxmax())
    sizes = effective_n(new.weights[known_a]), effective_n(old.weights[known_b])
    after, before = (share_interval(float(shares.loc[value, side]) * n, n) for side, n in zip(("new", "old"), sizes, strict=True))
    estimate, bounds = difference_interval(before, after)
    table = (shares * np.array(sizes)).to_numpy().T
    p = None if len(shares) < 2 else float(scipy_stats.chi2_contingency(table, lambda_="log-likelihood").pvalue)
    shift = replace(
        base, value=value, estimate=estimate, interval=bounds, before=before[0], after=after[0],
        distance=float(change.abs().sum() / 2), verdict="never_varied" if p is None else "too_few",
    )  # fmt: skip
    return shift, p


def _mass(words: np.ndarray, weights: np.ndarray) -> pd.Series:
    return pd.Series(weights).groupby(words).sum()
