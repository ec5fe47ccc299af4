"""A parameter as it is studied: its regressors, and which of its values are compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from analytics.questions.design import FEW, Smooth
from analytics.questions.prepare import Prepared
from analytics.questions.result import Verdict
from analytics.questions.schema import Column
from analytics.questions.sentences import number
from analytics.questions.stats import Floats, weighted_quantiles

COARSE_ROWS = 300
"""Rows from which the fit of the smooth curve is questioned at all: its nine rivals then have about 30 rows each."""
EDGES = tuple(k / 16 for k in range(1, 16, 2))
"""Quantiles between the constants of the coarse comparison: both quartiles lie in the middle of one."""
ENOUGH = 20
"""Rows that a level, or what differs from the usual value, needs before anything is said about it."""


@dataclass(frozen=True)
class Comparison:
    """From one value to another: their names and the difference of their regressors."""

    low: str
    high: str
    contrast: Floats


@dataclass(frozen=True)
class Exposure:
    """`matrix` (n, k), zero where `known` is False; `comparisons`: one for a number, every pair for categories.

    `line`: for a number its value, 0 at the low and 1 at the high end of the comparison; None for categories. `coarse`: for a
    number with enough rows the same comparison by constants, for where a smooth curve does not fit (a step).
    """

    matrix: Floats
    known: NDArray[np.bool_]
    comparisons: tuple[Comparison, ...]
    line: Floats | None = None
    coarse: Exposure | None = None
    ends: tuple[float, float] | None = None

    def score(self, comparison: Comparison) -> tuple[Floats, NDArray[np.bool_]]:
        """A regressor that is 0 at the low and 1 at the high value, linear in between, and the rows that it is about."""
        if self.line is not None:
            return self.line, self.known
        rows = [self.known & (np.abs(self.matrix - end).sum(axis=1) == 0) for end in self._ends(comparison)]
        return rows[1].astype(float), rows[0] | rows[1]

    def jumping(self, values: Floats, at: float) -> tuple[Floats, Floats]:
        """The regressors of a curve that may jump at `at`, and the contrast of the comparison; of a number."""
        low, high = self.ends or (0.0, 0.0)
        jump = np.where(self.known, values >= at, 0.0)
        contrast = np.concatenate([[float(high >= at) - float(low >= at)], self.comparisons[0].contrast])
        return np.column_stack([jump, self.matrix]), contrast

    def _ends(self, comparison: Comparison) -> tuple[Floats, Floats]:
        return np.minimum(comparison.contrast, 0) * -1, np.maximum(comparison.contrast, 0)


def study(prepared: Prepared, column: Column) -> Exposure | Verdict:
    """The exposure of a parameter, or why there is none: `never_varied` or `too_few`."""
    return _number(prepared, column) if column.numeric or column.dtype == "bool" else _category(prepared, column)


def _number(prepared: Prepared, column: Column) -> Exposure | Verdict:
    values = prepared.numbers(column.name)
    known = ~np.isnan(values)
    levels, counts = np.unique(values[known], return_counts=True)
    if len(levels) < 2:
        return "never_varied" if counts.sum() >= ENOUGH else "too_few"
    if counts.sum() < 2 * ENOUGH or counts.sum() - counts.max() < ENOUGH:
        return "too_few"
    smooth = Smooth.of(values[known], prepared.weights[known])
    low, high = weighted_quantiles(values[known], (0.25, 0.75), prepared.weights[known])
    if len(levels) <= FEW:  # a quantile may fall between two values that nobody asked for
        low, high = (float(levels[np.abs(levels - end).argmin()]) for end in (low, high))
    if low == high:
        low, high = float(levels[0]), float(levels[-1])
    matrix = np.zeros((len(values), smooth.code(values[:1]).shape[1]))
    matrix[known] = smooth.code(values[known])
    ends = smooth.code(np.array([low, high]))
    line = np.where(known, (values - low) / (high - low), 0.0)
    names = _names(column, low, high)
    coarse = None
    if known.sum() >= COARSE_ROWS and not len(smooth.levels):
        steps = _steps(values, levels, known)
        from_low = steps(np.array([high])) - steps(np.array([low]))
        coarse = Exposure(steps(values) * known[:, None], known, (Comparison(*names, from_low[0]),), line)
    return Exposure(matrix, known, (Comparison(*names, ends[1] - ends[0]),), line, coarse, (low, high))


def _steps(values: Floats, levels: Floats, known: NDArray[np.bool_]) -> Callable[[Floats], Floats]:
    """A constant a value where there are at most FEW, else one for each range between EDGES."""
    edges = levels[1:] if len(levels) <= FEW else np.unique(np.quantile(values[known], EDGES))

    def code(given: Floats) -> Floats:
        cells = np.searchsorted(edges, given, side="right")
        return (cells[:, None] == np.arange(1, len(edges) + 1)[None, :]).astype(float)

    return code


def _names(column: Column, low: float, high: float) -> tuple[str, str]:
    return ("false", "true") if column.dtype == "bool" else (number(low, 4), number(high, 4))


def _category(prepared: Prepared, column: Column) -> Exposure | Verdict:
    texts = prepared.texts(column.name)
    there = np.array([text is not None for text in texts], bool)
    names, counts = np.unique(texts[there].astype(str), return_counts=True)
    if len(names) < 2:
        return "never_varied" if counts.sum() >= ENOUGH else "too_few"
    levels = [str(name) for name, count in zip(names, counts, strict=True) if count >= ENOUGH]
    if len(levels) < 2:
        return "too_few"
    if len(levels) > FEW:  # the most frequent ones; 66 pairs are enough to choose a largest from
        levels = sorted(str(names[k]) for k in np.argsort(-counts, kind="stable")[:FEW])
    known = np.isin(np.where(there, texts, ""), levels) & there
    matrix = np.column_stack([(texts == level) & known for level in levels[1:]]).astype(float)
    unit = np.vstack([np.zeros(len(levels) - 1), np.eye(len(levels) - 1)])
    pairs = tuple(Comparison(levels[a], levels[b], unit[b] - unit[a]) for a, b in combinations(range(len(levels)), 2))
    return Exposure(matrix, known, pairs)
