"""What does a better result cost? The settings that were really used, and which of them nothing else beats on both counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics.questions.design import FEW
from analytics.questions.outcome import Outcome
from analytics.questions.result import Interval
from analytics.questions.schema import Column
from analytics.questions.sentences import number
from analytics.questions.stats import CONFIDENCE, Floats, resample_counts

CELL = 20
"""Requests with the same settings from which their typical outcome is worth a place in the comparison."""
COVERED = 0.5
"""A further parameter splits the cells only while so large a share of the requests stays in cells of CELL."""
RANGES = 4
"""A parameter of many values is split into its quarters."""
DRAWS = 400


@dataclass(frozen=True)
class Setting:
    """One combination that was used. `settings`: value by parameter (a range as `low–high`); `values`: what to set to get there.

    `cost`, `quality`: typical values with everything else held at its mean; `on_front`: the share of bootstrap draws in which
    nothing is better on one count without being worse on the other.
    """

    settings: dict[str, str]
    values: dict[str, float | str]
    n: int
    cost: float
    cost_interval: Interval
    quality: float
    quality_interval: Interval
    on_front: float


@dataclass(frozen=True)
class Tradeoff:
    """The settings by cost. `draws`: (DRAWS, settings, 2) bootstrap means of cost and quality, for what builds on it."""

    cost: str
    quality: str
    parameters: tuple[str, ...]
    settings: tuple[Setting, ...]
    draws: Floats
    adjusted_for: tuple[str, ...]
    n: int


def tradeoff(cost: Outcome, quality: Outcome, found: dict[str, float]) -> Tradeoff | None:
    """Cost against quality over the settings of the parameters that were `found` to go with either (how surely: the least p); None
    where there are none.

    Both outcomes have the same rows. Only tunable parameters count: a drawn seed or a given length is nobody's choice.
    """
    if cost.model is None or quality.model is None:
        return None
    columns = [one for one in quality.rows.schema.parameters if one.tunable and one.name in found]
    columns.sort(key=lambda column: found[column.name])
    index, chosen = _cells(quality, columns)
    if not chosen:
        return None
    counts = np.bincount(index[index >= 0])
    cells = np.flatnonzero(counts >= CELL)
    if len(cells) < 2:
        return None
    names = {column.name for column in chosen}
    y = np.stack([_held(outcome, names) for outcome in (cost, quality)], axis=1)
    means, draws = _bootstrapped(index, cells, y, quality)
    better = np.array([1.0, -1.0 if quality.column.higher_is_better else 1.0])
    front = np.mean([_front(draw * better) for draw in draws], axis=0)
    order = np.argsort(means[:, 0])
    settings = tuple(_setting(quality, chosen, index == cells[k], means[k], draws[:, k], float(front[k])) for k in order)
    held = tuple(name for name in quality.model.design.blocks if name not in names)
    return Tradeoff(
        cost.name, quality.name, tuple(column.name for column in chosen), settings, draws[:, order], held, int(counts[cells].sum())
    )


def _cells(outcome: Outcome, columns: list[Column]) -> tuple[NDArray[np.int64], list[Column]]:
    """Each row's cell (-1 where a setting is missing), and the parameters that make the cells."""
    index = np.zeros(outcome.rows.n, np.int64)
    chosen: list[Column] = []
    for column in columns:
        code = _coded(outcome, column)
        joint = np.where((index >= 0) & (code >= 0), index * (int(code.max()) + 1) + code, -1)
        joint[joint >= 0] = np.unique(joint[joint >= 0], return_inverse=True)[1]
        counts = np.bincount(joint[joint >= 0]) if (joint >= 0).any() else np.zeros(1)
        if counts[counts >= CELL].sum() >= COVERED * outcome.rows.n and len(counts) > 1:
            index = joint
            chosen.append(column)
    return index, chosen


def _coded(outcome: Outcome, column: Column) -> NDArray[np.int64]:
    rows = outcome.rows
    if column.dtype == "str":
        texts = rows.texts(column.name)
        known = texts != np.array(None)
        code = np.full(rows.n, -1, np.int64)
        code[known] = np.unique(texts[known].astype(str), return_inverse=True)[1]
        return code
    values = rows.numbers(column.name)
    known = ~np.isnan(values)
    levels = np.unique(values[known])
    edges = levels[1:] if len(levels) <= FEW else np.unique(np.quantile(values[known], np.linspace(0, 1, RANGES + 1)[1:-1]))
    return np.where(known, np.searchsorted(edges, values, side="right"), -1)


def _held(outcome: Outcome, free: set[str]) -> Floats:
    """The outcome with every column but `free` held at its mean: outliers drawn in, so that a mean is a typical value."""
    model = outcome.model
    assert model is not None
    rest = model.design.without(frozenset(free))
    fitted = model.design.matrix[:, rest] @ model.coefficients[rest]
    return model.pseudo - fitted + float(model.weights @ fitted / model.weights.sum())


def _bootstrapped(index: NDArray[np.int64], cells: NDArray[np.int64], y: Floats, outcome: Outcome) -> tuple[Floats, Floats]:
    """Means (cells, 2) and bootstrap means (DRAWS, cells, 2), drawn by input."""
    w, inputs = outcome.rows.weights, np.unique(outcome.rows.clusters, return_inverse=True)[1]
    place = np.full(int(index.max()) + 2, -1)
    place[cells] = np.arange(len(cells))
    at = place[index]
    rows = at >= 0
    at, w, y, inputs = at[rows], w[rows], y[rows], inputs[rows]

    def means(weights: Floats) -> Floats:
        mass = np.bincount(at, weights, len(cells))
        mass = np.where(mass > 0, mass, np.nan)
        return np.stack([np.bincount(at, weights * y[:, k], len(cells)) / mass for k in (0, 1)], axis=1)

    counts = (resample_counts(int(inputs.max()) + 1, 1, seed)[0] for seed in range(DRAWS))
    drawn = np.stack([means(w * count[inputs]) for count in counts])
    centre = means(w)
    return centre, np.where(np.isnan(drawn), centre, drawn)


def _front(points: Floats) -> NDArray[np.bool_]:
    """Which points (less is better on both counts) no other one dominates."""
    at_most = (points[:, None, :] <= points[None, :, :]).all(axis=2)
    less = (points[:, None, :] < points[None, :, :]).any(axis=2)
    return np.asarray(~(at_most & less).any(axis=0), bool)


def _setting(
    outcome: Outcome, columns: list[Column], rows: NDArray[np.bool_], mean: Floats, draws: Floats, on_front: float
) -> Setting:
    settings: dict[str, str] = {}
    values: dict[str, float | str] = {}
    for column in columns:
        if column.dtype == "str":
            values[column.name] = settings[column.name] = str(outcome.rows.texts(column.name)[rows][0])
            continue
        there = outcome.rows.numbers(column.name)[rows]
        low, middle, high = (float(np.quantile(there, q, method="nearest")) for q in (0, 0.5, 1))
        values[column.name] = middle
        settings[column.name] = number(low, 4) if low == high else f"{number(low)}–{number(high)}"
    ends = np.quantile(draws, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=0)
    intervals = [(float(ends[0, k]), float(ends[1, k])) for k in (0, 1)]
    return Setting(settings, values, int(rows.sum()), float(mean[0]), intervals[0], float(mean[1]), intervals[1], on_front)
