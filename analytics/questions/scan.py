"""Which values of a field are over-represented in the rows asked about, and how surely.

The measure is the likelihood ratio G² of the 2 × 2 table (value or not × asked about or not), twice the rows times their mutual
information. By the data-processing inequality (Cover and Thomas, Elements of Information Theory, 2.8) nothing that is related to
the rows only through the true cause carries more of it than the cause itself, so the cause is expected to stand first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import stats as scipy_stats
from scipy.special import xlogy

from analytics.questions.coding import RARE, Coded
from analytics.questions.rows import Truth
from analytics.questions.stats import Floats

PER_FIELD = 3
"""Values of one category that may each be an explanation (two bad hosts of five)."""
OPEN = 3.84
"""G² (chi-squared, 5 %) that an end of a region must be worth, else it stays open."""
NEAR = float(np.log(0.2))
"""Of p: what is far from sure is not shown, and needs no better bounds."""
EXACT_BELOW = 20.0
"""Below this expected count the tail is Fisher's exact one. Cochran's rule asks for 5, at p near 0.05; here p is far smaller."""


@dataclass(frozen=True, eq=False)
class Part:
    """A value of a category (`first` = `last` is its code), or a run of bins of a number with its bounds `low` and `high`."""

    coded: Coded
    first: int
    last: int
    low: float = float("nan")
    high: float = float("nan")

    @cached_property
    def mask(self) -> Truth:
        """The rows that have it."""
        if self.coded.values is not None:
            with np.errstate(invalid="ignore"):
                return (self.coded.values >= self.low) & (self.coded.values <= self.high)
        return self.coded.codes == self.first

    @property
    def known(self) -> Truth:
        """The rows that can be asked: those with the number. A missing or rare value of a category is one of the other values."""
        return np.ones(len(self.coded.codes), bool) if self.coded.values is None else self.coded.codes > 0


@dataclass(frozen=True, eq=False)
class Item:
    """One possible explanation: a part, or two that hold together.

    `table`: weights of the rows with the value that are asked about and that are not, then the same without it. `log_p`: the
    natural logarithm of p times the number of questions that it was picked from.
    """

    parts: tuple[Part, ...]
    table: tuple[float, float, float, float]
    g2: float
    log_p: float
    tests: float

    @property
    def field(self) -> str:
        """The field, or the two."""
        return " & ".join(part.coded.field for part in self.parts)

    @cached_property
    def mask(self) -> Truth:
        """The rows that have it."""
        return np.logical_and.reduce([part.mask for part in self.parts])

    @property
    def enriched(self) -> bool:
        """True where the value is more frequent among the rows asked about."""
        a, b, c, d = self.table
        return a * (b + d) > b * (a + c)

    @property
    def score(self) -> float:
        """What it is ranked by: G² less what the best of as many tests reaches by chance."""
        return self.g2 - 2 * float(np.log(self.tests))


def g2_of(a: Floats, b: Floats, c: Floats, d: Floats) -> Floats:
    """The likelihood ratio of 2 × 2 tables; arrays of any shape."""
    n, x, rest, inside, out = a + b + c + d, a + b, c + d, a + c, b + d
    cells = xlogy(a, a) + xlogy(b, b) + xlogy(c, c) + xlogy(d, d)
    margins = xlogy(x, x) + xlogy(rest, rest) + xlogy(inside, inside) + xlogy(out, out)
    return np.maximum(2 * (cells - margins + xlogy(n, n)), 0.0)


def log_p_of(table: tuple[float, float, float, float], g2: float) -> float:
    """The logarithm of the two-sided p: Fisher's tail doubled where a count is small, else chi-squared (1 degree of freedom)."""
    a, b, c, d = table
    n = a + b + c + d
    if n <= 0 or min((a + b) * (a + c), (a + b) * (b + d), (c + d) * (a + c), (c + d) * (b + d)) / n >= EXACT_BELOW:
        return float(scipy_stats.chi2.logsf(g2, 1))
    total, hits, drawn, both = round(n), round(a + c), round(a + b), round(a)
    tail = scipy_stats.hypergeom.sf(both - 1, total, hits, drawn), scipy_stats.hypergeom.cdf(both, total, hits, drawn)
    return float(np.log(min(1.0, max(2 * min(tail), 1e-300))))


def count(coded: Coded, inside: Truth, weights: Floats, rows: NDArray[np.intp] | None = None) -> tuple[Floats, Floats]:
    """Weights by code (missing first) of the rows asked about and of the others, of all rows or of some."""
    codes = coded.codes if rows is None else coded.codes[rows]
    y, w = (inside, weights) if rows is None else (inside[rows], weights[rows])
    width = len(coded.levels) + 1
    both = np.bincount(codes.astype(np.intp) * 2 + y, w, 2 * width).reshape(width, 2)
    return both[:, 1].astype(float), both[:, 0].astype(float)


def scan(coded: Coded, inside: Truth, weights: Floats) -> list[Item]:
    """The explanations that a field has to offer, the best first; empty where it has none."""
    within, without = count(coded, inside, weights)
    if coded.values is None:
        return _levels(coded, within, without)
    run = best_run(within[1:], without[1:])
    if run is None:
        return []
    return [bounded((_part(coded, *run),), inside, weights, coded.tests)]


def best_run(within: Floats, without: Floats, total: tuple[float, float] | None = None) -> tuple[int, int] | None:
    """First and last code of the run of bins that is most surely over-represented, None where none is.

    `total`: weights of all rows asked about and of all others, where the bins are only a part of them (the inside of a pair).
    """
    k = len(within)
    ups, downs = np.r_[0.0, np.cumsum(within)], np.r_[0.0, np.cumsum(without)]
    n_in, n_out = total or (ups[-1], downs[-1])
    first, last = _runs(k)
    a, b = ups[last + 1] - ups[first], downs[last + 1] - downs[first]
    usable = (a >= min(RARE, n_in)) & (a * n_out > b * n_in)
    if total is None:
        usable &= (last - first) < k - 1
    if not usable.any():
        return None
    g2 = np.where(usable, g2_of(a, b, n_in - a, n_out - b), -1.0)
    best = int(g2.argmax())
    return int(first[best]) + 1, int(last[best]) + 1


@cache
def _runs(bins: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """First and last bin of every run."""
    first, last = np.triu_indices(bins)
    return first, last


def _levels(coded: Coded, within: Floats, without: Floats) -> list[Item]:
    n_in, n_out = within.sum(), without.sum()
    a, b = within[1:], without[1:]
    g2 = g2_of(a, b, n_in - a, n_out - b)
    more = (a * n_out > b * n_in) & (a >= min(RARE, n_in))
    # A value that is spared is news only where no other value tells it better.
    spared = (a * n_out < b * n_in) & (g2 > 2 * g2[more].max(initial=0.0)) & (len(g2) > 2)
    order = [int(k) for k in np.argsort(-g2, kind="stable") if more[k] or spared[k]]
    return [
        _item((Part(coded, k + 1, k + 1),), (float(a[k]), float(b[k]), float(n_in - a[k]), float(n_out - b[k])), coded.tests)
        for k in order[:PER_FIELD]
    ]


def item_of(parts: tuple[Part, ...], inside: Truth, weights: Floats, tests: float) -> Item:
    """An explanation with its counts over all rows that can be asked."""
    known = np.logical_and.reduce([part.known for part in parts])
    mask = np.logical_and.reduce([part.mask for part in parts])
    both = np.bincount((mask * 2 + inside)[known], weights[known], 4)
    return _item(parts, (float(both[3]), float(both[2]), float(both[1]), float(both[0])), tests)


def bounded(parts: tuple[Part, ...], inside: Truth, weights: Floats, tests: float) -> Item:
    """An explanation with the bounds that tell best and the p of the bins: a bound that was fitted adds no certainty."""
    found = item_of(parts, inside, weights, tests)
    if found.log_p > NEAR:
        return found
    others = [
        np.logical_and.reduce([other.mask for other in parts if other is not part]) if len(parts) > 1 else None for part in parts
    ]
    fitted = tuple(refined(part, inside, weights, among) for part, among in zip(parts, others, strict=True))
    return replace(item_of(fitted, inside, weights, tests), log_p=found.log_p)


def _item(parts: tuple[Part, ...], table: tuple[float, float, float, float], tests: float) -> Item:
    g2 = float(g2_of(*(np.array(cell) for cell in table)))
    return Item(parts, table, g2, min(0.0, log_p_of(table, g2) + float(np.log(tests))), tests)


def deflated(item: Item, effect: float) -> float:
    """The logarithm of p with a design effect: rows that share an input tell less than their number."""
    a, b, c, d = (cell / effect for cell in item.table)
    return min(0.0, max(item.log_p, log_p_of((a, b, c, d), item.g2 / effect) + float(np.log(item.tests))))


def part_of(coded: Coded, first: int, last: int) -> Part:
    """A value or a run of bins with the bounds of its bins."""
    return _part(coded, first, last)


def _part(coded: Coded, first: int, last: int) -> Part:
    if coded.values is None:
        return Part(coded, first, last)
    return Part(coded, first, last, float(coded.levels[first - 1][0]), float(coded.levels[last - 1][1]))


def moved(part: Part, coded: Coded) -> Part:
    """The same value or region among other rows of the same field. Raises ValueError where none of them has the value."""
    if coded.values is not None:
        return replace(part, coded=coded)
    place = coded.levels.index(part.coded.levels[part.first - 1]) + 1
    return Part(coded, place, place)


def refined(part: Part, inside: Truth, weights: Floats, among: Truth | None = None) -> Part:
    """A run of bins with bounds at the values that tell best, looked for in the bins at either end and beside it.

    Only the bounds that are shown get better: the test counts what the choice among bins has cost. `among`: the rows with the other
    value of a pair; the rest has the pair in no case.
    """
    if part.coded.values is None:
        return part
    values, codes = part.coded.values, part.coded.codes
    within, without = count(part.coded, inside, weights)
    n_in, n_out = float(within[1:].sum()), float(without[1:].sum())
    weights = weights if among is None else weights * among
    low, high = part.low, part.high
    for end in ("low", "high"):
        edge = part.first if end == "low" else part.last
        outer = edge - 1 if end == "low" else edge + 1
        if not 1 <= outer <= len(part.coded.levels):
            continue
        near = (codes == edge) | (codes == outer)
        rest = (codes > 0) & ~near & (values >= low) & (values <= high)
        start = float(weights[rest & inside].sum()), float(weights[rest & ~inside].sum())
        bound = _best_bound(values[near], inside[near], weights[near], start, (n_in, n_out), descending=end == "low")
        low, high = (bound, high) if end == "low" else (low, bound)
    made = replace(part, low=low, high=high)
    for wider in ({"low": -np.inf}, {"high": np.inf}):
        opened = replace(made, **wider)
        if _told(made, inside, weights, (n_in, n_out)) - _told(opened, inside, weights, (n_in, n_out)) < OPEN:
            made = opened
    return made


def _told(part: Part, inside: Truth, weights: Floats, total: tuple[float, float]) -> float:
    a, b = (float(weights[part.mask & group].sum()) for group in (inside, ~inside))
    return float(g2_of(*map(np.array, (a, b, total[0] - a, total[1] - b))))


def _best_bound(
    values: Floats, inside: Truth, weights: Floats, start: tuple[float, float], total: tuple[float, float], *, descending: bool
) -> float:
    """The value up to which (from the inner side) rows should count."""
    order = np.argsort(-values if descending else values, kind="stable")
    x, w, y = values[order], weights[order], inside[order]
    a, b = start[0] + np.cumsum(w * y), start[1] + np.cumsum(w * ~y)
    complete = np.r_[x[1:] != x[:-1], True]  # all rows of one value, or none
    g2 = np.where(complete & (a * total[1] > b * total[0]), g2_of(a, b, total[0] - a, total[1] - b), -1.0)
    return float(x[int(g2.argmax())])


def design_effect(item: Item, inside: Truth, weights: Floats, clusters: Sequence[NDArray[np.int64]]) -> float:
    """How much wider the difference of the two shares varies because rows share an input or an owner (Rao and Scott, 1984); at
    least 1. From the residuals inside the table, so that an effect of the item itself does not count as clustering."""
    x = item.mask
    rate = np.where(x, _rate(item.table[0], item.table[1]), _rate(item.table[2], item.table[3]))
    influence = weights * (x - float(weights @ x) / float(weights.sum())) * (inside - rate)
    alone = float(influence @ influence)
    if alone == 0:
        return 1.0
    together = [float((np.bincount(ids, influence) ** 2).sum()) / alone for ids in clusters]
    return max([1.0, *together])


def _rate(hits: float, others: float) -> float:
    return hits / (hits + others) if hits + others > 0 else 0.0
