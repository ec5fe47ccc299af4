"""The outcome at each level of a parameter, in its own unit: medians (shares, for a yes or no) with intervals, nothing held
fixed."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from analytics.questions.result import Interval
from analytics.questions.sentences import number
from analytics.questions.stats import Floats, bootstrap_mean, difference_interval, median_interval

SHOWN = 8
"""Levels listed; a number with more values is listed by its fifths."""
PARTS = 5


@dataclass(frozen=True)
class Level:
    """`estimate`: weighted median or share. `difference`: against the level with the most rows, which is its own reference (0)."""

    level: str
    n: int
    estimate: float
    interval: Interval
    difference: float
    difference_interval: Interval


def level_table(
    values: Floats | NDArray[np.object_], outcome: Floats, weights: Floats, clusters: NDArray[np.int64], *, share: bool
) -> tuple[Level, ...]:
    """One row a level, in the order of the values (categories: the most frequent first, at most SHOWN).

    Bootstrap intervals by input (`stats.median_interval`, `stats.bootstrap_mean`); differences by MOVER. Missing values have no
    level.
    """
    names, index = _grouped(values)
    summary = bootstrap_mean if share else median_interval
    found: list[tuple[str, int, tuple[float, Interval]]] = []
    for k, name in enumerate(names):
        rows = index == k
        found.append((name, int(rows.sum()), summary(outcome[rows], weights[rows], clusters[rows])))
    if not found:
        return ()
    _, _, reference = max(found, key=lambda one: one[1])
    table: list[Level] = []
    for name, n, one in found:
        change = (0.0, (0.0, 0.0)) if one is reference else difference_interval(reference, one)
        table.append(Level(name, n, *one, *change))
    return tuple(table)


def _grouped(values: Floats | NDArray[np.object_]) -> tuple[list[str], NDArray[np.int64]]:
    """Names of the levels and each row's level, -1 for none."""
    index = np.full(len(values), -1, np.int64)
    if values.dtype == object:
        known = np.array([value is not None for value in values], bool)
        names, inverse, counts = np.unique(values[known].astype(str), return_inverse=True, return_counts=True)
        order = np.argsort(-counts, kind="stable")[:SHOWN]
        place = np.full(len(names), -1)
        place[order] = np.arange(len(order))
        index[known] = place[inverse]
        return [str(names[k]) for k in order], index
    known = ~np.isnan(np.asarray(values, float))
    numbers = np.asarray(values[known], float)
    levels = np.unique(numbers)
    if len(levels) <= SHOWN:
        index[known] = np.searchsorted(levels, numbers)
        return [number(float(level)) for level in levels], index
    edges = np.unique(np.quantile(numbers, np.linspace(0, 1, PARTS + 1)))
    index[known] = np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, len(edges) - 2)
    return [f"{number(float(low))}–{number(float(high))}" for low, high in pairwise(edges)], index
