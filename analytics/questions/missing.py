"""Requests that ended well but have no value of the outcome: does a parameter go with that, and how far could it change a
finding?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analytics.questions.adjust import Model
from analytics.questions.effects import Effect, effect
from analytics.questions.exposure import Exposure, study
from analytics.questions.outcome import LEAST, Outcome, modelled, observe, values_of
from analytics.questions.prepare import Prepared
from analytics.questions.result import Interval
from analytics.questions.schema import FAILURE, Column
from analytics.questions.stats import Floats, effective_n, share_interval, weighted_quantile

WORTH = 10
"""Requests without an answer below which they are not studied: they could not move a finding from LEAST rows."""
EXTREMES = (0.05, 0.95)
"""The unanswered ones are supposed between these quantiles of the answered: beyond them anything at all could be argued."""


@dataclass(frozen=True)
class Answered:
    """Of the requests that ended well: the share that has the outcome, and each parameter's effect on having it (unit: share)."""

    share: float
    interval: Interval
    n: int
    effects: tuple[Effect, ...] = ()


def scope(prepared: Prepared, column: Column) -> Prepared:
    """The rows that could have the outcome: those that ended well, where `status` says so and the outcome needs a result."""
    if column.name == FAILURE or prepared.schema.get(FAILURE) is None:
        return prepared
    status = prepared.texts(FAILURE)
    ended = (status == "ok") | (status == np.array(None))
    has = ~np.isnan(values_of(prepared, column))
    return prepared.take(ended | has)


def answered(prepared: Prepared, column: Column) -> Answered:
    """How many of the rows in `scope` have the outcome, and what goes with having it (nothing where too few lack it)."""
    there = ~np.isnan(values_of(prepared, column))
    n = effective_n(prepared.weights)
    share, interval = share_interval(n * float(prepared.weights @ there / max(prepared.weights.sum(), 1e-300)), n)
    lacking = int((~there).sum())
    if min(lacking, int(there.sum())) < WORTH or prepared.n < LEAST:
        return Answered(share, interval, prepared.n)
    having = observe(prepared, column, there.astype(float))
    effects = tuple(effect(having, parameter, levels=False) for parameter in prepared.schema.parameters)
    return Answered(share, interval, prepared.n, effects)


def bounds(prepared: Prepared, outcome: Outcome, effects: list[Effect]) -> dict[str, Interval]:
    """For each parameter that was found to go with the outcome: the least and the greatest that its adjusted effect could be if the
    unanswered rows had any values between EXTREMES of the answered ones.

    The effect is a weighted sum of the outcomes, so each unanswered row takes the extreme that its coefficient asks for (Manski's
    bounds, 1990, within a plausible range; sampling error comes on top). Empty where nothing is missing.
    """
    unknown = np.isnan(values_of(prepared, outcome.column))
    asked = [one for one in effects if one.verdict == "associated" and one.estimate is not None]
    if not unknown.any() or outcome.model is None or not asked:
        return {}
    low, high = (weighted_quantile(outcome.values, q, outcome.rows.weights) for q in EXTREMES)
    filled = np.full(prepared.n, (low + high) / 2)
    filled[~unknown] = outcome.model.pseudo
    everybody, _ = modelled(prepared, filled, yes_or_no=False, robust=False)
    found: dict[str, Interval] = {}
    for one in asked:
        influence = _influence(prepared, everybody, one)
        if influence is not None:
            ends = np.stack([influence[unknown] * low, influence[unknown] * high])
            fixed = float(influence[~unknown] @ filled[~unknown])
            found[one.parameter] = (fixed + float(ends.min(axis=0).sum()), fixed + float(ends.max(axis=0).sum()))
    return found


def _influence(prepared: Prepared, everybody: Model, found: Effect) -> Floats | None:
    """What one more of the outcome in each row adds to the effect."""
    exposure = study(prepared, prepared.schema.column(found.parameter))
    if not isinstance(exposure, Exposure):
        return None
    exposure = exposure.coarse if found.coarse and exposure.coarse is not None else exposure
    compared = [one for one in exposure.comparisons if exposure.line is not None or {one.low, one.high} == {found.low, found.high}]
    if not compared:
        return None
    sign = -1.0 if exposure.line is None and compared[0].low != found.low else 1.0
    leave = frozenset(everybody.design.blocks) - frozenset(found.adjusted_for)
    matrix, contrast = exposure.matrix, compared[0].contrast
    if found.step_at is not None:
        smooth = study(prepared, prepared.schema.column(found.parameter))
        assert isinstance(smooth, Exposure)
        matrix, contrast = smooth.jumping(prepared.numbers(found.parameter), found.step_at)
    fit = everybody.fit(matrix, leave, None if exposure.known.all() else exposure.known)
    return sign * fit.projected @ contrast
