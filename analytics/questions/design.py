"""Columns as regressors: what is held fixed (rich) and what is studied (smooth), within what the rows can carry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics.questions.prepare import Prepared
from analytics.questions.schema import Column
from analytics.questions.stats import Floats, effective_n, weighted_quantiles

Coding = Callable[[Floats, Floats], Floats]
"""Values and weights to regressors."""

ROWS_PER_TERM = 15
"""Rows that each regressor needs; 10 to 20 are the rule of thumb (Harrell, Regression Modeling Strategies, 2015, section 4.4)."""
LEVELS = 20
"""Categories with a regressor of their own; rarer ones share one."""
RARE = 10
"""Fewer rows than this make no category of their own."""
FEW = 12
"""A number with at most so many values is held fixed by one regressor a value."""
BINS = 10
"""Otherwise by its tenths and its slope: a step in it then leaves little for a parameter that goes along with it."""
KNOTS = (0.05, 0.35, 0.65, 0.95)
"""Quantiles of the knots of a restricted cubic spline with four of them (Harrell 2015, table 2.3)."""


@dataclass(frozen=True)
class Design:
    """Regressors of every row: the constant, then one block a column. `lost`: columns for which the rows did not suffice."""

    matrix: Floats
    blocks: dict[str, slice]
    lost: tuple[str, ...] = ()

    def without(self, names: frozenset[str]) -> NDArray[np.intp]:
        """Positions of the regressors of every other column."""
        keep = np.ones(self.matrix.shape[1], bool)
        for name in names & self.blocks.keys():
            keep[self.blocks[name]] = False
        return np.flatnonzero(keep)


def build(
    prepared: Prepared, columns: list[Column], outcome: Floats, budget: float, fixed: NDArray[np.int64] | None = None
) -> Design:
    """The rich design of these columns, in the order of their importance as given, with about `budget` regressors at most.

    Every column starts with its cheapest coding; then those that tell most about the outcome become richer, as far as the budget
    allows. Columns that do not fit even so are lost, the last first. `fixed`: groups with a constant of their own.
    """
    parts: dict[str, Floats] = {} if fixed is None else {"input": indicators(fixed.astype(object), RARE)[0]}
    lost: list[str] = []
    for column in columns:
        coded = _cheap(prepared, column)
        if coded.shape[1] == 0:
            continue
        if sum(part.shape[1] for part in parts.values()) + coded.shape[1] > max(budget, 2):
            lost.append(column.name)
        else:
            parts[column.name] = coded
    _enrich(prepared, [column for column in columns if column.numeric and column.name in parts], outcome, parts, budget)
    blocks: dict[str, slice] = {}
    at = 1
    for name, part in parts.items():
        blocks[name] = slice(at, at + part.shape[1])
        at += part.shape[1]
    return Design(np.column_stack([np.ones(prepared.n), *parts.values()]), blocks, tuple(lost))


def budget_of(weights: Floats, events: Floats | None = None) -> float:
    """How many regressors the rows carry; for a yes or no (`events`: 1 and 0) the rarer answer decides, too: a term for 5 of it
    (Vittinghoff and McCulloch, 2007)."""
    rows = effective_n(weights) / ROWS_PER_TERM
    return rows if events is None else min(rows, float(min(events.sum(), (1 - events).sum())) / 5)


def _enrich(prepared: Prepared, columns: list[Column], outcome: Floats, parts: dict[str, Floats], budget: float) -> None:
    used = sum(part.shape[1] for part in parts.values())
    ranks = np.argsort(np.argsort(outcome)) / len(outcome)
    told = {column.name: explained(prepared.numbers(column.name), ranks, prepared.weights) for column in columns}
    for coding in (spline, rich):
        for column in sorted(columns, key=lambda column: -told[column.name]):
            made = _with_missing(prepared.numbers(column.name), prepared.weights, coding)
            more = made.shape[1] - parts[column.name].shape[1]
            if more > 0 and used + more <= budget:
                parts[column.name] = made
                used += more


def explained(values: Floats, ranks: Floats, weights: Floats) -> float:
    """How much of the variance of an outcome's ranks (0 to 1) lies between tenths of `values` (as in Kruskal and Wallis' test)."""
    known = ~np.isnan(values)
    if known.sum() < 2:
        return 0.0
    cells, w = np.searchsorted(np.unique(_edges(values[known])), values[known], side="right"), weights[known]
    mass, sums = np.bincount(cells, w), np.bincount(cells, w * (ranks[known] - 0.5))
    return float((sums[mass > 0] ** 2 / mass[mass > 0]).sum())


def _cheap(prepared: Prepared, column: Column) -> Floats:
    if column.numeric or column.dtype == "bool":
        return _with_missing(prepared.numbers(column.name), prepared.weights, linear)
    return indicators(prepared.texts(column.name), RARE, missing=True)[0]


def _with_missing(values: Floats, weights: Floats, coding: Coding) -> Floats:
    """The coding of the known values; the missing ones have its mean and, where they are many enough, a regressor of their own."""
    known = ~np.isnan(values)
    if known.all():
        return coding(values, weights)
    if known.sum() < 2:
        return np.empty((len(values), 0))
    coded = coding(values[known], weights[known])
    made = np.zeros((len(values), coded.shape[1] + 1))
    made[known, :-1] = coded - coded.mean(axis=0)
    made[~known, -1] = 1.0
    return made if (~known).sum() >= RARE else made[:, :-1]


def linear(values: Floats, weights: Floats) -> Floats:
    """One regressor, standardised; none where the values are all the same."""
    spread = values.std()
    return ((values - values.mean()) / spread)[:, None] if spread > 0 else np.empty((len(values), 0))


def spline(values: Floats, weights: Floats) -> Floats:
    """Restricted cubic spline, at most three regressors; one a value (but one) where there are at most four values."""
    return Smooth.of(values, weights).code(values)


def rich(values: Floats, weights: Floats) -> Floats:
    """One regressor a value (but one) for at most FEW values, else the slope and one a tenth (but one)."""
    levels = np.unique(values)
    if len(levels) <= FEW:
        return (values[:, None] == levels[None, 1:]).astype(float)
    edges = np.unique(_edges(values))
    cells = np.searchsorted(edges, values, side="right")
    return np.column_stack([linear(values, weights), *(cells == cell for cell in range(1, len(edges) + 1))])


def _edges(values: Floats) -> Floats:
    return np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1])


@dataclass(frozen=True)
class Smooth:
    """A restricted cubic spline in the standardised value (Harrell 2015, section 2.4.5), or one regressor a value."""

    centre: float
    spread: float
    knots: Floats
    levels: Floats

    @classmethod
    def of(cls, values: Floats, weights: Floats) -> Smooth:
        """With knots at KNOTS of the values; where they coincide, of the distinct values."""
        levels = np.unique(values)
        centre, spread = float(values.mean()), float(values.std()) or 1.0
        if len(levels) <= len(KNOTS):
            return cls(centre, spread, np.empty(0), levels)
        knots = np.unique(weighted_quantiles(values, KNOTS, weights))
        if len(knots) < len(KNOTS):
            knots = np.quantile(levels, KNOTS)
        return cls(centre, spread, (knots - centre) / spread, np.empty(0))

    def code(self, values: Floats) -> Floats:
        """(n, k) regressors of these values."""
        if len(self.levels):
            return (values[:, None] == self.levels[None, 1:]).astype(float)
        x, t = (values - self.centre) / self.spread, self.knots
        last, before = t[-1], t[-2]
        scale = (last - t[0]) ** 2

        def cube(at: float) -> Floats:
            return np.maximum(x - at, 0.0) ** 3

        bends = [
            (cube(at) - cube(before) * (last - at) / (last - before) + cube(last) * (before - at) / (last - before)) / scale
            for at in t[:-2]
        ]
        return np.column_stack([x, *bends])


def indicators(texts: NDArray[np.object_], rare: int, *, missing: bool = False) -> tuple[Floats, list[str]]:
    """One regressor a category but the most frequent, and their names; rare and surplus categories share one.

    `missing`: null is a category, too; else it is zero in all of them.
    """
    known = np.asarray([("" if text is None else str(text)) for text in texts], object)
    names, index, counts = np.unique(known.astype(str), return_inverse=True, return_counts=True)
    order = [k for k in np.argsort(-counts, kind="stable") if missing or names[k] != ""]
    own = [k for k in order[:LEVELS] if counts[k] >= rare]
    shared = [k for k in order if k not in own]
    code = np.full(len(names), -1)
    code[own] = np.arange(len(own))
    code[shared] = len(own)
    last = len(own) + (1 if shared and counts[shared].sum() >= rare else 0)
    matrix = (code[index][:, None] == np.arange(1, max(last, 1))[None, :]).astype(float)
    return matrix, [*(str(names[k]) for k in own[1:]), "other"][: matrix.shape[1]]
