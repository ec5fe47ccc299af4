"""How much does an outcome change with a parameter? Raw and adjusted side by side, in the outcome's unit, with intervals.

`estimate` is the change of the outcome from the parameter's lower to its upper quartile (where they coincide: from its lowest to
its highest value), read off a restricted cubic spline; for categories the largest difference between two of them (signed from the
first to the second of two, from the lower to the higher of more). The outcome's typical level is compared: outliers beyond 2.5
robust standard deviations are drawn in (`analytics.questions.adjust`), which for symmetrical noise is the mean.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from analytics.questions.adjust import Estimate, Fit, Model, inverse
from analytics.questions.exposure import Comparison, Exposure, study
from analytics.questions.levels import Level, level_table
from analytics.questions.notes import note
from analytics.questions.odds import EVENTS, Odds, firth, fisher
from analytics.questions.outcome import Outcome
from analytics.questions.result import Finding, Interval
from analytics.questions.schema import Column
from analytics.questions.stats import spearman

SEPARABLE = 0.02
"""Below this share of its variance left by the others, a parameter cannot be told from them (a variance inflation of 50)."""
MISFIT = 0.01
"""A smooth curve is given up for constants where it misses the data at this p; a true curve is given up once in a hundred times."""
PARTNER = 0.9
"""Share of the variance that one other column must explain to be named as the one it moves with."""


@dataclass(frozen=True, kw_only=True)
class Effect(Finding):
    """One parameter on one outcome. `estimate` and `interval` are the adjusted ones; `p` is of all its terms at once, adjusted.

    `rank`: Spearman's correlation. `low`, `high`: what is compared. `simpson`: raw and adjusted (or their slopes) point to
    different sides, each with an interval clear of 0; `simpson_by` names the column that turns it. `odds`: for a yes or no.
    `fisher`: exact p, where events are few. `coarse`: a smooth curve did not fit, so constants were compared. `step_at`: the curve
    may jump there.
    """

    parameter: str
    outcome: str
    low: str = ""
    high: str = ""
    raw: float | None = None
    raw_interval: Interval | None = None
    rank: float | None = None
    rank_interval: Interval | None = None
    p: float | None = None
    simpson: bool = False
    simpson_by: str = ""
    levels: tuple[Level, ...] = ()
    odds: float | None = None
    odds_interval: Interval | None = None
    fisher: float | None = None
    categorical: bool = False
    coarse: bool = False
    step_at: float | None = None

    @property
    def clear(self) -> bool:
        """Whether the interval of the adjusted estimate is clear of 0."""
        return self.interval is not None and (self.interval[0] > 0 or self.interval[1] < 0)


def effect(outcome: Outcome, column: Column, *, levels: bool = True) -> Effect:
    """The effect of one parameter, not yet corrected for the number of questions (`q` is None, the verdict provisional)."""
    rows = outcome.rows
    known = rows.texts(column.name) != np.array(None) if column.dtype == "str" else ~np.isnan(rows.numbers(column.name))
    asked = {"parameter": column.name, "outcome": outcome.name, "unit": outcome.unit, "n": int(known.sum())}
    found = study(rows, column)
    if isinstance(found, str) or outcome.model is None:
        verdict = found if isinstance(found, str) else "too_few"
        return Effect(verdict=verdict, truncated=rows.truncated, **asked)
    made = _estimated(outcome, outcome.model, column, found)
    rank, rank_interval = _rank(outcome, found)
    table: tuple[Level, ...] = ()
    if levels:
        values = rows.texts(column.name) if column.dtype == "str" else rows.numbers(column.name)
        table = level_table(values, outcome.values, rows.weights, rows.clusters, share=outcome.yes_or_no)
    return replace(made, n=int(found.known.sum()), rank=rank, rank_interval=rank_interval, levels=table)


def p_of(outcome: Outcome, column: Column) -> float | None:
    """Only the p that `effect` would have, at a fraction of its price; None where no test can be made."""
    exposure = study(outcome.rows, column)
    if not isinstance(exposure, Exposure) or outcome.model is None:
        return None
    fit = outcome.model.fit(exposure.matrix, frozenset({column.name}), None if exposure.known.all() else exposure.known)
    return fit.p if fit.left >= SEPARABLE else None


def across(outcome: Outcome, column: Column, found: Effect, at: float) -> Effect:
    """The effect where a step at `at` was found: its curve may jump there. Constants that the step cuts through would blur it."""
    model, exposure = outcome.model, study(outcome.rows, column)
    if model is None or not isinstance(exposure, Exposure) or exposure.ends is None:
        return found
    matrix, contrast = exposure.jumping(outcome.rows.numbers(column.name), at)
    leave = frozenset(model.design.blocks) - frozenset(found.adjusted_for)
    known = None if exposure.known.all() else exposure.known
    fits = [model.fit(matrix, leave, known, raw=raw) for raw in (True, False)]
    if fits[1].share(contrast) < SEPARABLE:
        return found
    raw, adjusted = (fit.contrast(contrast) for fit in fits)
    return replace(found, estimate=adjusted.value, interval=adjusted.interval, raw=raw.value, raw_interval=raw.interval, step_at=at)


def _estimated(outcome: Outcome, model: Model, column: Column, exposure: Exposure) -> Effect:
    leave = frozenset({column.name})
    everyone = None if exposure.known.all() else exposure.known
    fit = model.fit(exposure.matrix, leave, everyone)
    warnings: list[str] = []
    if _told(fit, exposure) < SEPARABLE and (straight := _straight(model, exposure, leave)) is not None:
        exposure, fit = straight
        warnings.append(note("straight_line", name=column.name))
    if _told(fit, exposure) < SEPARABLE and (partners := _partners(model, exposure, leave)):
        warnings.append(note("together", name=column.name, partners=", ".join(sorted(partners))))
        leave |= partners
        fit = model.fit(exposure.matrix, leave, everyone)
    coarse = _coarse(model, exposure, leave)
    if coarse is not None:
        exposure, fit = coarse
    raw = model.fit(exposure.matrix, leave, everyone, raw=True)
    comparison, adjusted = _compared(fit, exposure)
    plain = raw.contrast(comparison.contrast, len(exposure.comparisons))
    separable = fit.share(comparison.contrast) >= SEPARABLE / 10
    if not separable:
        warnings.append(note("follows", name=column.name))
    simpson = separable and (_clear(plain) * _clear(adjusted) < 0 or _slopes_differ(model, exposure, leave, everyone))
    made = Effect(
        n=0, verdict="not_shown", unit=outcome.unit, parameter=column.name, outcome=outcome.name,
        low=comparison.low, high=comparison.high, categorical=exposure.line is None, coarse=coarse is not None,
        estimate=adjusted.value if separable else None, interval=adjusted.interval if separable else None,
        raw=plain.value, raw_interval=plain.interval, p=fit.p if separable else None,
        adjusted_for=tuple(name for name in model.design.blocks if name not in leave), simpson=simpson,
        simpson_by=_turned_by(model, exposure, comparison, leave, plain) if simpson else "",
        warnings=tuple(warnings), truncated=outcome.rows.truncated,
    )  # fmt: skip
    return _with_odds(made, outcome, model, exposure, comparison, leave) if outcome.yes_or_no else made


def _told(fit: Fit, exposure: Exposure) -> float:
    """The share of the least separable comparison: for categories any pair may turn out to differ most."""
    return min(fit.share(one.contrast) for one in exposure.comparisons)


def _straight(model: Model, exposure: Exposure, leave: frozenset[str]) -> tuple[Exposure, Fit] | None:
    """A number as a straight line, and its fit, where that can be told from the others (inside each host, say)."""
    if exposure.line is None:
        return None
    one = exposure.comparisons[0]
    line = replace(exposure, matrix=exposure.line[:, None], coarse=None, comparisons=(replace(one, contrast=np.ones(1)),))
    fit = model.fit(line.matrix, leave, None if exposure.known.all() else exposure.known)
    return (line, fit) if fit.left >= SEPARABLE else None


def _coarse(model: Model, exposure: Exposure, leave: frozenset[str]) -> tuple[Exposure, Fit] | None:
    """The constants and their fit, where the smooth curve misses the data and they can be told from the others."""
    if exposure.coarse is None or _misfit(model, exposure, exposure.coarse, leave) >= MISFIT:
        return None
    fit = model.fit(exposure.coarse.matrix, leave, None if exposure.known.all() else exposure.known)
    return (exposure.coarse, fit) if _told(fit, exposure.coarse) >= SEPARABLE else None


def _misfit(model: Model, smooth: Exposure, coarse: Exposure, leave: frozenset[str]) -> float:
    """p that the coarse constants add nothing to the smooth curve."""
    terms = smooth.matrix.shape[1]
    rest = model.design.without(leave)
    # Regressors of the smooth curve are studied as well, so that the constants are tested beside them.
    both = model.fit(np.column_stack([coarse.matrix, smooth.matrix]), leave, None if smooth.known.all() else smooth.known)
    beta, covariance = both.coefficients[:-terms], both.covariance[:-terms, :-terms]
    rank = int(np.linalg.matrix_rank(covariance))
    freedom = max(float(smooth.known.sum()) - len(rest) - len(both.coefficients), 1.0)
    return float(scipy_stats.f.sf(float(beta @ inverse(covariance) @ beta) / max(rank, 1), max(rank, 1), freedom))


def _compared(fit: Fit, exposure: Exposure) -> tuple[Comparison, Estimate]:
    pairs = len(exposure.comparisons)
    best = max(exposure.comparisons, key=lambda one: abs(float(one.contrast @ fit.coefficients)))
    if pairs > 1 and float(best.contrast @ fit.coefficients) < 0:
        best = Comparison(best.high, best.low, -best.contrast)
    return best, fit.contrast(best.contrast, pairs)


def _partners(model: Model, exposure: Exposure, leave: frozenset[str]) -> frozenset[str]:
    """The columns that alone explain nearly all of the exposure's first regressor."""
    x, w = exposure.matrix[:, 0], model.weights * exposure.known
    x = x - w @ x / w.sum()
    found: set[str] = set()
    for name, block in model.design.blocks.items():
        if name not in leave:
            rest = np.column_stack([np.ones(len(x)), model.design.matrix[:, block]])
            beta = np.linalg.lstsq(rest * np.sqrt(w)[:, None], x * np.sqrt(w), rcond=None)[0]
            if float(w @ (x - rest @ beta) ** 2) < (1 - PARTNER) * float(w @ x**2):
                found.add(name)
    return frozenset(found)


def _clear(one: Estimate) -> int:
    """The sign of an estimate whose interval is clear of 0; else 0."""
    low, high = one.interval
    return int(low > 0) - int(high < 0)


def _slopes_differ(model: Model, exposure: Exposure, leave: frozenset[str], known: NDArray[np.bool_] | None) -> bool:
    """Whether the straight line turns: it sees a change of direction that two quartiles alone are too uncertain for."""
    if exposure.line is None:
        return False
    fits = [model.fit(exposure.line[:, None], leave, known, raw=raw) for raw in (True, False)]
    return _clear(fits[0].contrast(np.ones(1))) * _clear(fits[1].contrast(np.ones(1))) < 0


def _turned_by(model: Model, exposure: Exposure, comparison: Comparison, leave: frozenset[str], raw: Estimate) -> str:
    """The one column that, held fixed alone, moves the estimate furthest to the other side; "" where none alone turns it."""
    known = None if exposure.known.all() else exposure.known
    side = np.sign(raw.value) or 1.0
    moved = {
        name: side * float(
            comparison.contrast @ model.fit(exposure.matrix, frozenset(model.design.blocks) - {name}, known).coefficients
        )
        for name in model.design.blocks if name not in leave
    }  # fmt: skip
    name = min(moved, key=lambda name: moved[name], default="")
    return name if name and moved[name] < 0 else ""


def _with_odds(
    made: Effect, outcome: Outcome, model: Model, exposure: Exposure, comparison: Comparison, leave: frozenset[str]
) -> Effect:
    """The odds ratio beside the risk difference; where events are few, its penalised test instead of the robust one."""
    x, about = exposure.score(comparison)
    rest = model.design.without(leave)
    # One regressor for everything held fixed: the risk that it predicts (Hansen, 2008, prognostic score).
    score = model.design.matrix[:, rest] @ model.coefficients[rest]
    columns = score[about, None] if score[about].std() > 0 else np.empty((int(about.sum()), 0))
    found: Odds = firth(x[about], outcome.values[about], columns, model.weights[about])
    made = replace(made, odds=found.ratio, odds_interval=found.interval)
    events = outcome.values[exposure.known]
    if min(events.sum(), (1 - events).sum()) >= EVENTS:
        return made
    p = min(1.0, found.p * len(exposure.comparisons))
    return replace(made, p=p, fisher=fisher(x[about], outcome.values[about]))


def _rank(outcome: Outcome, exposure: Exposure) -> tuple[float | None, Interval | None]:
    if exposure.line is None:
        return None, None
    known = exposure.known
    rank, interval = spearman(exposure.line[known], outcome.values[known], outcome.rows.weights[known])
    return (rank, interval) if np.isfinite(rank) else (None, None)
