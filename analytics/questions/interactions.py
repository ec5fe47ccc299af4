"""Does the effect of one parameter depend on another? Every pair's product beside everything else, tested with errors by input."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from analytics.questions.adjust import Model
from analytics.questions.effects import SEPARABLE
from analytics.questions.exposure import Exposure, study
from analytics.questions.outcome import Outcome
from analytics.questions.result import Finding
from analytics.questions.schema import ALWAYS
from analytics.questions.stats import Floats

TERMS = 6
"""Products of two categories with more regressors than this are not asked: cells get too small."""


@dataclass(frozen=True, kw_only=True)
class Interaction(Finding):
    """`estimate`: by how much more the outcome changes from the low to the high value of `pair[0]` where `pair[1]` is at its high
    instead of its low value (quartiles, as in `effects`: `ends`); where categories make that several numbers, the largest, and
    `ends` is None. `p`: before correction."""

    pair: tuple[str, str]
    outcome: str
    ends: tuple[tuple[str, str], tuple[str, str]] | None = None
    p: float | None = None


def interactions(outcome: Outcome) -> list[Interaction]:
    """Every pair of parameters that vary enough, and always those of ALWAYS that exist, in the table's order; q is still None."""
    names = [column.name for column in outcome.rows.schema.parameters]
    exposures = {column.name: study(outcome.rows, column) for column in outcome.rows.schema.parameters}
    found: list[Interaction] = []
    for a, b in combinations(names, 2):
        pair = (b, a) if (b, a) in ALWAYS else (a, b)
        one, other = exposures[pair[0]], exposures[pair[1]]
        made = (
            _tested(outcome, outcome.model, pair, (one, other))
            if isinstance(one, Exposure) and isinstance(other, Exposure)
            else None
        )
        if made is None and pair in ALWAYS:
            made = _untested(outcome, pair, "never_varied" in (one, other))
        if made is not None:
            found.append(made)
    return found


def _untested(outcome: Outcome, pair: tuple[str, str], constant: bool) -> Interaction:
    n = int(np.logical_and.reduce([~np.isnan(outcome.rows.numbers(name)) for name in pair]).sum())
    return Interaction(n=n, verdict="never_varied" if constant else "too_few", unit=outcome.unit, pair=pair, outcome=outcome.name)


def _tested(
    outcome: Outcome, model: Model | None, pair: tuple[str, str], exposures: tuple[Exposure, Exposure]
) -> Interaction | None:
    """None where there is no model, the cells are too small or the product follows from the rest."""
    one, other = (_terms(exposure) for exposure in exposures)
    count = one.shape[1] * other.shape[1]
    if model is None or count > TERMS:
        return None
    product = np.column_stack([one[:, i] * other[:, j] for i in range(one.shape[1]) for j in range(other.shape[1])])
    known = exposures[0].known & exposures[1].known
    test = model.fit(product, frozenset(), None if known.all() else known)
    if test.left < SEPARABLE:
        return None
    sizes = [test.contrast(row, count) for row in np.eye(count)]
    size = max(sizes, key=lambda one: abs(one.value))
    first, second = (exposure.comparisons[0] for exposure in exposures)
    single = all(exposure.line is not None for exposure in exposures)
    return Interaction(
        n=int(known.sum()), verdict="not_shown", unit=outcome.unit, estimate=size.value, interval=size.interval, p=test.p,
        adjusted_for=tuple(name for name in model.design.blocks if name not in pair), truncated=outcome.rows.truncated,
        pair=pair, outcome=outcome.name, ends=((first.low, first.high), (second.low, second.high)) if single else None,
    )  # fmt: skip


def _terms(exposure: Exposure) -> Floats:
    """A number by its line, centred; categories by their indicators."""
    return exposure.matrix if exposure.line is None else exposure.line[:, None] - exposure.line[exposure.known].mean()
