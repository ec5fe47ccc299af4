"""Which settings to use under a budget: only such as were used often enough, and by their cautious value, not their luckiest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analytics.questions.result import Interval
from analytics.questions.stats import CONFIDENCE, Floats
from analytics.questions.tradeoff import Setting, Tradeoff


@dataclass(frozen=True)
class Recommendation:
    """`values`: what to set; `settings`: the range that was observed. `gain`: how much better than the settings used most (in the
    quality's unit, positive = better) with its interval; 0 where these are recommended. `budget`: the cost's limit that was
    kept."""

    values: dict[str, float | str]
    settings: dict[str, str]
    quality: str
    expected: float
    interval: Interval
    cost: str
    expected_cost: float
    cost_interval: Interval
    evidence_n: int
    on_front: float
    gain: float
    gain_interval: Interval
    budget: float
    adjusted_for: tuple[str, ...]


def recommend(found: Tradeoff, *, higher_is_better: bool, budget: float | None = None) -> Recommendation | None:
    """The setting with the best cautious quality (the bad end of its interval, so that a lucky small cell does not win) among those
    whose cost keeps the budget; None where none does. `budget` None: no dearer than the settings used most.

    The reported quality is the plain estimate; picking the best of several still flatters it a little (a replay confirms it).
    """
    sign = -1.0 if higher_is_better else 1.0
    usual = max(range(len(found.settings)), key=lambda k: found.settings[k].n)
    limit = found.settings[usual].cost if budget is None else budget
    within = [k for k, one in enumerate(found.settings) if one.cost <= limit]
    if not within:
        return None
    best = min(within, key=lambda k: _worst(found.settings[k], sign))
    chosen = found.settings[best]
    gains: Floats = sign * (found.draws[:, usual, 1] - found.draws[:, best, 1])
    low, high = np.quantile(gains, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Recommendation(
        chosen.values, chosen.settings, found.quality, chosen.quality, chosen.quality_interval, found.cost, chosen.cost,
        chosen.cost_interval, chosen.n, chosen.on_front, sign * (found.settings[usual].quality - chosen.quality),
        (float(low), float(high)), limit, found.adjusted_for,
    )  # fmt: skip


def _worst(one: Setting, sign: float) -> float:
    return max(sign * end for end in one.quality_interval)
