"""Two values that matter only together: one department's setting, strong motion on long clips.

Inside the rows of each promising value every other field is scanned again. A pair is kept where it tells more than either value,
where each value matters given the other, and where the other three combinations hardly differ: else the values act on their own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from analytics.questions.coding import Coded
from analytics.questions.rows import Truth
from analytics.questions.scan import Item, Part, best_run, bounded, count, g2_of, part_of
from analytics.questions.stats import Floats

BASES = 24
"""Values that a partner is looked for: the best by themselves. A conjunction shows in each of its values alone, only weaker."""
PARTNERS = 3
"""Pairs of each value that are looked at closely."""
SAMPLE = (5_000, 15_000)
"""Rows asked about and others in which partners are looked for. What was found is counted over all rows."""
GAIN = 1.1
"""A pair tells at least so many times what the better of its values tells alone."""
ALONE = 0.75
"""And this share of what all four combinations tell: two causes that only add up reach less."""
LEVEL = 0.01
"""Of p that each value matters given the other, times the pairs that were looked at."""


def find_pairs(
    singles: Sequence[Item], coded: Sequence[Coded], inside: Truth, weights: Floats, seed: int = 0, *, least: float = 0.0
) -> list[Item]:
    """The pairs that tell more than their values, the best first; usually none. `least`: G² of a value to look for its partner."""
    bases = _distinct(sorted((item for item in singles if item.enriched and item.g2 >= least), key=lambda item: -item.score), BASES)
    if not bases:
        return []
    rows = _sample(inside, seed)
    scale = np.where(inside, _share(inside, rows), _share(~inside, rows))
    sampled = weights / np.where(scale > 0, scale, 1.0)
    fields = len({one.field for one in coded})
    found: list[Item] = []
    for base in bases:
        for partner in _partners(base.parts[0], coded, inside, sampled, rows)[:PARTNERS]:
            pair = _closer(base.parts[0], partner, inside, sampled, rows)
            tests = float(pair[0].coded.tests * pair[1].coded.tests * fields * (fields - 1) / 2)
            item = bounded(pair, inside, weights, tests)
            if _holds(item, inside, weights):
                found.append(item)
    return _distinct(sorted(found, key=lambda item: -item.score), PARTNERS)


def _sample(inside: Truth, seed: int) -> NDArray[np.intp]:
    random = np.random.default_rng(seed)
    parts = []
    for rows, limit in ((np.flatnonzero(inside), SAMPLE[0]), (np.flatnonzero(~inside), SAMPLE[1])):
        parts.append(rows if len(rows) <= limit else random.choice(rows, limit, replace=False))
    return np.sort(np.concatenate(parts))


def _share(group: Truth, rows: NDArray[np.intp]) -> float:
    return float(group[rows].sum() / max(1, group.sum()))


def _partners(base: Part, coded: Sequence[Coded], inside: Truth, weights: Floats, rows: NDArray[np.intp]) -> list[Part]:
    """The best value of every other field together with `base`, best first."""
    total = float(weights[rows][inside[rows]].sum()), float(weights[rows][~inside[rows]].sum())
    chosen = rows[base.mask[rows]]
    found = [
        (g2, part)
        for one in coded
        if one.field != base.coded.field and (made := _best_with(one, inside, weights, chosen, total)) is not None
        for g2, part in (made,)
    ]
    return [part for _, part in sorted(found, key=lambda pair: -pair[0])]


def _best_with(
    one: Coded, inside: Truth, weights: Floats, chosen: NDArray[np.intp], total: tuple[float, float]
) -> tuple[float, Part] | None:
    """The value of a field that, together with the chosen rows, tells most, and its G²."""
    within, without = (counts[1:] for counts in count(one, inside, weights, chosen))
    if one.values is None:
        usable = (within >= 1) & (within * total[1] > without * total[0])
        if not usable.any():
            return None
        g2 = np.where(usable, g2_of(within, without, total[0] - within, total[1] - without), -1.0)
        best = int(g2.argmax())
        return float(g2[best]), part_of(one, best + 1, best + 1)
    run = best_run(within, without, total)
    if run is None:
        return None
    a, b = (counts[run[0] - 1 : run[1]].sum() for counts in (within, without))
    return float(g2_of(a, b, total[0] - a, total[1] - b)), part_of(one, *run)


def _closer(first: Part, second: Part, inside: Truth, weights: Floats, rows: NDArray[np.intp]) -> tuple[Part, Part]:
    """The same pair with each number's bounds looked for again inside the other value."""
    total = float(weights[rows][inside[rows]].sum()), float(weights[rows][~inside[rows]].sum())
    for _ in range(2):
        again = _best_with(first.coded, inside, weights, rows[second.mask[rows]], total)
        first, second = second, again[1] if again else first
    return first, second


def _holds(item: Item, inside: Truth, weights: Floats) -> bool:
    a, b = (part.mask for part in item.parts)
    cells = (
        np.bincount((a * 4 + b * 2 + inside), weights, 8).reshape(4, 2).astype(float)
    )  # neither, b, a, both × (others, asked about)
    alone = max(_single(cells[[2, 3]], cells[[0, 1]]), _single(cells[[1, 3]], cells[[0, 2]]))
    total = cells.sum(axis=0)
    expected = cells.sum(axis=1, keepdims=True) * total / total.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        all_four = 2 * float(np.nansum(np.where(cells > 0, cells * np.log(cells / expected), 0.0)))
    if item.g2 < GAIN * alone or item.g2 < ALONE * all_four:
        return False
    given = [(cells[3], cells[1]), (cells[3], cells[2])]
    return all(_matters(one, other, item.tests) for one, other in given)


def _single(with_value: NDArray[np.float64], without: NDArray[np.float64]) -> float:
    (b, a), (d, c) = with_value.sum(axis=0), without.sum(axis=0)
    return float(g2_of(a, b, c, d))


def _matters(both: Floats, one: Floats, tests: float) -> bool:
    """Whether the rate with both values is surely above that with one of them alone."""
    g2 = float(g2_of(both[1], both[0], one[1], one[0]))
    higher = both[1] * one[0] > one[1] * both[0]
    return higher and float(scipy_stats.chi2.logsf(g2, 1)) + np.log(tests) < np.log(LEVEL)


def _distinct(items: Sequence[Item], limit: int) -> list[Item]:
    """The first of those that have exactly the same rows, up to `limit`."""
    kept: list[Item] = []
    for item in items:
        if len(kept) == limit:
            break
        if all(item.table != other.table or not np.array_equal(item.mask, other.mask) for other in kept):
            kept.append(item)
    return kept
