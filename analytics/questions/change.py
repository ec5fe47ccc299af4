"""When did an outcome change, after adjustment, and which version, host or input came with it?

The outcome is adjusted for what was asked and the length of the input, turned into ranks (a heavy tail must not make a change), and
put in the order of time. The greatest CUSUM is compared with that of shuffled blocks; what is left on either side is asked again
(binary segmentation: Scott and Knott, 1974; Vostrikova, 1981).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import stats as scipy_stats

from analytics.questions.phrases import phrase
from analytics.questions.result import Finding
from analytics.questions.rows import observe
from analytics.questions.schema import FAILURE, Schema
from analytics.questions.sentences import Language, adjusted, amount, interval
from analytics.questions.stats import Floats, bootstrap_mean, difference_interval, median_interval
from analytics.questions.timeline import Timeline, timeline
from telemetry.values import rfc3339

COMPANIONS = ("model_version", "service_version", "host", "replica", "device", "model_name", "department", "owner_hash",
              "source_prefix", "audio_hash", "portrait_hash", "encoder")  # fmt: skip
FEWEST = 40
"""Rows below which no change is looked for; half of it must lie on either side."""
ALPHA = 0.01
"""Of a change: with 5 % one outcome in twenty that is looked at every day would raise a false alarm."""
SHUFFLES = 499
MOST = 5
"""Changes that are told apart."""
NAMED = 3
TAKEN = 0.5
"""A value came with the change, in a sentence, where less than half of the change is left without it."""


@dataclass(frozen=True)
class Companion:
    """The value of a field whose share rose most at the change (or fell, where none rose).

    `remains`: share of the change that is left among the rows without it; None where too few are left on either side.
    """

    field: str
    value: str
    share_before: float
    share_after: float
    remains: float | None
    q: float


@dataclass(frozen=True, kw_only=True)
class Change(Finding):
    """One change, or that none is shown. `estimate`: after less before, adjusted, in the outcome's unit: medians of numbers, shares
    of failures; for the mix of answers the share of the answer that changed most (`value`).

    `at` and `between`: the change point and its 95 % interval (UTC). `came`: what came with it, the best explanation first.
    """

    outcome: str
    at: str | None = None
    between: tuple[str, str] | None = None
    value: str | None = None
    before: float | None = None
    after: float | None = None
    p: float | None = None
    came: tuple[Companion, ...] = ()

    def sentence(self, language: Language = "en") -> str:
        """When and by how much, with what came with it."""
        names = adjusted(self.adjusted_for, language)
        what = self.outcome if self.value is None else f"{self.outcome} = {self.value}"
        if self.at is None or self.between is None:
            return phrase(
                "unchanged" if self.verdict == "not_shown" else "change_too_few", language, outcome=what, n=self.n, adjusted=names
            )
        came = [f"{one.field} = {one.value}" for one in self.came if one.remains is None or abs(one.remains) < TAKEN][:NAMED]
        return phrase(
            "changed", language, outcome=what, at=self.at, low=self.between[0], high=self.between[1], n=self.n, adjusted=names,
            change=amount(self.estimate, self.unit, signed=True), interval=interval(self.interval, self.unit, language),
            came=phrase("came", language, names=", ".join(came)) if came else "",
        )  # fmt: skip


def changes(
    frame: pd.DataFrame, outcome: str, schema: Schema | None = None, *, truncated: bool = False, seed: int = 0
) -> tuple[Change, ...]:
    """Every change of an outcome, in the order of time; one result with the verdict not_shown or too_few where there is none.

    `outcome`: a number, a category (the mix of answers), or `status` (failures). Raises KeyError where it is not a column.
    """
    rows = observe(frame, schema)
    if outcome not in rows.frame:
        raise KeyError(f"{outcome} is not among the columns")
    series = timeline(rows, outcome)
    column = rows.schema.get(outcome)
    base = Change(
        n=0 if series is None else len(series.at), verdict="too_few", outcome=outcome, truncated=truncated, warnings=rows.warnings,
        unit="share" if series is None or series.names else column.unit if column else "",
        adjusted_for=() if series is None else series.adjusted_for,
    )  # fmt: skip
    if series is None or len(series.at) < FEWEST:
        return (base,)
    random = np.random.default_rng(seed)
    cuts = sorted(_segmented(series, 0, len(series.at), random, MOST))
    if not cuts:
        return (replace(base, verdict="not_shown"),)
    bounds = [0, *(cut for cut, _ in cuts), len(series.at)]
    return tuple(_described(base, series, bounds[k], bounds[k + 1], bounds[k + 2], cuts[k][1], random) for k in range(len(cuts)))


def _segmented(series: Timeline, start: int, end: int, random: np.random.Generator, left: int) -> list[tuple[int, float]]:
    """Change points between two rows with their p, those of either side included."""
    if end - start < FEWEST or left == 0:
        return []
    scores = series.scores[start:end] - series.scores[start:end].mean(axis=0)
    greatest, cut = _cusum(scores)
    p = _chance(scores, greatest, random)
    if p > ALPHA:
        return []
    before = _segmented(series, start, start + cut, random, left - 1)
    after = _segmented(series, start + cut, end, random, left - 1 - len(before))
    return [*before, (start + cut, p), *after]


def _cusum(scores: Floats) -> tuple[float, int]:
    """The greatest squared CUSUM over sqrt(t (n - t) / n), summed over columns of unit variance, and where it is."""
    n = len(scores)
    scale = scores.std(axis=0)
    sums = np.cumsum(scores / np.where(scale > 0, scale, 1.0), axis=0)[:-1]
    t = np.arange(1, n)
    heights = (sums**2).sum(axis=1) * n / (t * (n - t))
    edge = max(FEWEST // 2, n // 50)
    heights[: edge - 1] = heights[n - edge :] = 0.0
    return float(heights.max()), int(heights.argmax()) + 1


def _chance(scores: Floats, greatest: float, random: np.random.Generator) -> float:
    """How often shuffled blocks reach as much. Blocks keep what lies close together close: their length is the cube root of n."""
    n = len(scores)
    length = max(1, round(n ** (1 / 3)))
    reached = done = 0
    for done in range(1, SHUFFLES + 1):
        shift = int(random.integers(0, length))
        blocks = np.array_split(np.roll(np.arange(n), shift), max(2, n // length))
        order = np.concatenate([blocks[k] for k in random.permutation(len(blocks))])
        reached += _cusum(scores[order])[0] >= greatest
        if reached >= 10 and reached / done > 5 * ALPHA:
            break  # p is far above ALPHA: its exact size is no matter
    return (reached + 1) / (done + 1)


def _described(base: Change, series: Timeline, start: int, cut: int, end: int, p: float, random: np.random.Generator) -> Change:
    moved = np.abs(series.values[cut:end].mean(axis=0) - series.values[start:cut].mean(axis=0))
    which = int(np.argmax(moved))
    sides = []
    for rows in (slice(start, cut), slice(cut, end)):
        summary = bootstrap_mean if series.names else median_interval
        sides.append(summary(series.values[rows, which], series.rows.weights[rows]))
    change, bounds = difference_interval(*sides)
    low, high = _between(series.scores[start:end], cut - start, random)
    value = series.names[which] if series.names and base.outcome != FAILURE else None
    return replace(
        base, n=end - start, verdict="associated", estimate=change, interval=bounds, p=p, q=p, value=value,
        before=sides[0][0], after=sides[1][0],
        at=_moment(series.at[cut]), between=(_moment(series.at[start + low]), _moment(series.at[start + high])),
        came=tuple(_came(series, start, cut, end, which)),
    )  # fmt: skip


def _between(scores: Floats, cut: int, random: np.random.Generator) -> tuple[int, int]:
    """95 % of the change points that are found when both sides are drawn again."""
    found: list[int] = []
    for _ in range(200):
        left, right = random.integers(0, cut, cut), random.integers(cut, len(scores), len(scores) - cut)
        drawn = scores[np.concatenate([left, right])]
        found.append(_cusum(drawn - drawn.mean(axis=0))[1])
    low, high = np.quantile(found, [0.025, 0.975])
    return int(low), min(int(np.ceil(high)), len(scores) - 1)


def _came(series: Timeline, start: int, cut: int, end: int, which: int) -> list[Companion]:
    """Values whose share changed at the cut more than chance allows, those first that leave least of the change."""
    after = np.arange(end - start) >= cut - start
    values = series.values[start:end, which]
    whole = float(values[after].mean() - values[~after].mean())
    found: list[Companion] = []
    tests = 0
    for name in COMPANIONS:
        words = series.rows.text(name)
        if words is None:
            continue
        piece = words[start:end]
        for value in pd.Series(piece).value_counts().index[:50]:
            has = piece == value
            tests += 1
            a, b = int((has & after).sum()), int((has & ~after).sum())
            p = _fisher(a, int(after.sum()), b, int((~after).sum()))
            rest = ~has
            remains = None
            if min((rest & after).sum(), (rest & ~after).sum()) >= 5 and whole:
                remains = float(values[rest & after].mean() - values[rest & ~after].mean()) / whole
            before, then = b / max(1, int((~after).sum())), a / max(1, int(after.sum()))
            found.append(Companion(name, str(value), before, then, remains, p))
    sure = [replace(one, q=min(1.0, one.q * tests)) for one in found if one.q * tests < ALPHA]
    best: dict[str, Companion] = {}
    for one in sorted(sure, key=lambda one: one.share_before - one.share_after):
        best.setdefault(one.field, one)
    return sorted(best.values(), key=lambda one: (0.5 if one.remains is None else abs(one.remains), one.q))


def _fisher(a: int, n: int, b: int, m: int) -> float:
    """Two-sided p that a of n and b of m have one share: twice the smaller tail of Fisher's test."""
    tails = scipy_stats.hypergeom.sf(a - 1, n + m, a + b, n), scipy_stats.hypergeom.cdf(a, n + m, a + b, n)
    return min(1.0, 2 * float(min(tails)))


def _moment(at_s: float) -> str:
    return rfc3339(round(at_s) * 1_000_000_000).replace(".000000000", "")
