"""What a replay or a sweep at other settings shows: paired within a block, a cause only where settings were drawn at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from analytics.questions.notes import note
from analytics.questions.phrases import phrase
from analytics.questions.prepare import truth
from analytics.questions.result import Finding, verdict_of
from analytics.questions.rows import Rows, column, observe
from analytics.questions.schema import FAILURE, Column, Schema
from analytics.questions.sentences import Language, amount, interval
from analytics.questions.stats import Floats, benjamini_hochberg, bootstrap_mean

FEWEST_BLOCKS = 6
"""With fewer blocks the smallest p of a sign-flip test, 2 / 2^n, is above 0.05."""
EXACT_BLOCKS = 12
"""Up to so many all sign flips are tried, beyond FLIPS of them."""
FLIPS = 9999
AS_IT_WAS = "as it was"
"""The arm of a replay that repeats a request unchanged."""
LOST = 0.1
"""A difference in the share of requests without the outcome above which the rest is no longer comparable."""


@dataclass(frozen=True, kw_only=True)
class Effect(Finding):
    """`estimate`: mean over blocks of the outcome at `level` less that at `reference`, in the outcome's unit.

    `randomized`: every row that was used was drawn at random; only then the sentence says "causes". `n`: rows; `blocks`: pairs.
    """

    experiment: str
    factor: str
    outcome: str
    level: str
    reference: str
    blocks: int = 0
    randomized: bool = False
    p: float | None = None

    @property
    def word(self) -> str:
        """`causes`, `goes with`, `not shown` or `too few`."""
        if self.verdict == "associated":
            return "causes" if self.randomized else "goes with"
        return "too few" if self.verdict == "too_few" else "not shown"

    def sentence(self, language: Language = "en") -> str:
        """The effect, as a cause where it is one."""
        reference = phrase("as_it_was", language) if self.reference == AS_IT_WAS else self.reference
        shown = {"factor": self.factor, "level": self.level, "reference": reference, "outcome": self.outcome, "n": self.n}
        if self.estimate is None or self.verdict == "too_few":
            return phrase("experiment_few", language, **shown)
        key = "no_effect" if self.verdict != "associated" else "caused" if self.randomized else "went_with"
        return phrase(
            key, language, **shown, blocks=self.blocks, change=amount(self.estimate, self.unit, signed=True),
            interval=interval(self.interval, self.unit, language),
        )  # fmt: skip


def experiments(frame: pd.DataFrame) -> list[str]:
    """The names of the experiments among the rows, in their order."""
    return [] if "experiment" not in frame else [str(name) for name in frame["experiment"].dropna().unique() if str(name)]


def factors(frame: pd.DataFrame, schema: Schema) -> list[Column]:
    """The parameters that vary inside a block (all that vary, where there are no blocks)."""
    found: list[Column] = []
    blocks = column(frame, "block") if "block" in frame else None
    for parameter in schema.parameters:
        if parameter.name == "seed" or parameter.name not in frame:
            continue
        values = column(frame, parameter.name)
        counts = [values.nunique()] if blocks is None or blocks.isna().all() else values.groupby(blocks).nunique().tolist()
        if max(counts, default=0) > 1:
            found.append(parameter)
    return found


def experiment(
    frame: pd.DataFrame,
    name: str,
    outcomes: Sequence[str],
    schema: Schema | None = None,
    *,
    reference: Any = None,
    by: str | None = None,
    truncated: bool = False,
    seed: int = 0,
) -> list[Effect]:
    """The effect of every level of every factor of an experiment on each outcome, q over all of them.

    `reference`: the level that others are compared with (the one of most rows, where it is not among the levels). `by`: compare the
    levels of this column, such as `arm`, instead of each parameter that varies: settings that were changed together are one
    change. A block without both levels does not count. Raises KeyError where an outcome or `by` is not a column; empty where the
    experiment has no rows.
    """
    schema = schema or Schema.of(frame)
    for outcome in outcomes:
        schema.column(outcome)
    mine = (
        np.zeros(len(frame), bool)
        if "experiment" not in frame
        else (column(frame, "experiment") == name).to_numpy(bool, na_value=False)
    )
    if not mine.any():
        return []
    rows = observe(frame.loc[mine].reset_index(drop=True), schema)
    found = [
        effect
        for factor in ([schema.column(by)] if by else factors(rows.frame, schema))
        for outcome in outcomes
        for effect in _effects(rows, name, factor, schema.column(outcome), reference, seed)
    ]
    qs = benjamini_hochberg([one.p for one in found])
    return [
        replace(one, q=q, truncated=truncated, verdict=one.verdict if one.verdict == "too_few" else verdict_of(q))
        for one, q in zip(found, qs, strict=True)
    ]


def _effects(rows: Rows, name: str, factor: Column, outcome: Column, reference: Any, seed: int) -> list[Effect]:
    levels = column(rows.frame, factor.name)
    counts = levels.value_counts()
    against = reference if reference in counts.index else counts.index[0]
    values = _outcome(rows, outcome)
    return [
        _effect(rows, Effect(n=0, verdict="too_few", unit="share" if outcome.name == FAILURE else outcome.unit, experiment=name,
                             factor=factor.name, outcome=outcome.name, level=_text(level), reference=_text(against)),
                (levels == level).to_numpy(bool), (levels == against).to_numpy(bool), values, seed)
        for level in sorted(counts.index, key=lambda one: (str(type(one)), one)) if level != against
    ]  # fmt: skip


def _effect(rows: Rows, base: Effect, level: NDArray[np.bool_], against: NDArray[np.bool_], values: Floats, seed: int) -> Effect:
    used = (level | against) & np.isfinite(values)
    blocks = _blocks(rows)
    means = [_by_block(blocks, group & used, values, rows.weights) for group in (level, against)]
    both = [block for block in means[0] if block in means[1]]
    kept = used & np.isin(blocks, np.array(both, object))
    warnings = _warnings(rows, level, against, values)
    base = replace(base, n=int(kept.sum()), blocks=len(both), randomized=_randomized(rows, kept), warnings=warnings)
    if len(both) < FEWEST_BLOCKS:
        return base
    differences = np.array([means[0][block] - means[1][block] for block in both])
    estimate, bounds = bootstrap_mean(differences, seed=seed) if len(differences) >= 30 else _t_interval(differences)
    return replace(base, verdict="associated", estimate=estimate, interval=bounds, p=sign_flip(differences, seed))


def _by_block(blocks: NDArray[np.object_], chosen: NDArray[np.bool_], values: Floats, weights: Floats) -> dict[str, float]:
    """The weighted mean of the chosen rows of each block that has any."""
    codes, names = pd.factorize(blocks[chosen])
    sums, masses = np.bincount(codes, weights[chosen] * values[chosen]), np.bincount(codes, weights[chosen])
    return dict(zip(map(str, names), (sums / masses).tolist(), strict=True))


def sign_flip(differences: Floats, seed: int = 0) -> float:
    """p of a mean of paired differences: how often random signs give as great a mean (Fisher, 1935); exact up to EXACT_BLOCKS."""
    n = len(differences)
    if n <= EXACT_BLOCKS:
        signs = 1.0 - 2.0 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
        return float((np.abs(signs @ differences) >= abs(differences.sum()) * (1 - 1e-12)).mean())
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (FLIPS, n))
    return (1 + int((np.abs(signs @ differences) >= abs(differences.sum()) * (1 - 1e-12)).sum())) / (FLIPS + 1)


def _t_interval(differences: Floats) -> tuple[float, tuple[float, float]]:
    """Student's interval: a percentile bootstrap of fewer than 30 blocks is too narrow."""
    n, mean = len(differences), float(differences.mean())
    reach = float(scipy_stats.t.ppf(0.975, n - 1)) * float(differences.std(ddof=1)) / np.sqrt(n)
    return mean, (mean - reach, mean + reach)


def _blocks(rows: Rows) -> NDArray[np.object_]:
    """The block of each row; without blocks the input is the block, and without one each pair in the order of time."""
    for name in ("block", "replay_of", "audio_hash"):
        words = rows.text(name)
        if words is not None and any(word is not None for word in words):
            return np.array([f"row {place}" if word is None else word for place, word in enumerate(words)], object)
    return np.array([f"row {place}" for place in range(rows.n)], object)


def _randomized(rows: Rows, used: NDArray[np.bool_]) -> bool:
    if "randomized" not in rows.frame or not used.any():
        return False
    return bool((np.asarray(truth(column(rows.frame, "randomized")), float)[used] == 1.0).all())


def _outcome(rows: Rows, outcome: Column) -> Floats:
    if outcome.name == FAILURE:
        failed, status = rows.failed(), rows.text(FAILURE)
        assert failed is not None
        assert status is not None
        return np.where(status == "cancelled", np.nan, failed.astype(float))
    return rows.numbers(outcome.name)


def _warnings(rows: Rows, level: NDArray[np.bool_], against: NDArray[np.bool_], values: Floats) -> tuple[str, ...]:
    shares = [float(np.isnan(values[group]).mean()) if group.any() else 0.0 for group in (level, against)]
    if abs(shares[0] - shares[1]) <= LOST:
        return rows.warnings
    here, there = (amount(share, "share") for share in shares)
    return (*rows.warnings, note("lost_unevenly", here=here, there=there))


def _text(level: Any) -> str:
    return f"{level:.10g}" if isinstance(level, (int, float, np.number)) and not isinstance(level, (bool, np.bool_)) else str(level)
