"""Which explanations stand on their own, which say the same in other words, and which only go along with a better one.

Forward selection: the best comes first; the others are tested again among rows that are alike in it (Cochran, Mantel and Haenszel).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from analytics.questions.rows import Truth
from analytics.questions.scan import Item
from analytics.questions.stats import Floats

SAME = 0.9
"""Share of the rows with either value that have both, from which on two explanations say the same."""
TIED = 0.98
"""An equal explanation leads, although another scores a little more, where it names a setting rather than an hour."""
STRONG = 0.05
"""Share of its own score that an explanation must keep among rows alike in the better ones; less came from coarse bins."""
LEVEL = 0.01
"""Of p among like rows, times the values and fields that were tried: above it, nothing is left of an explanation."""
TAKEN = 0.5
"""What goes along with a better explanation keeps less than this share of its score among rows alike in that one."""
MOST = 4
"""Explanations that stand on their own; with more there are few rows left that are alike in all of them."""
FINE_FROM = 50
"""Rows asked about from which on "alike in a number" also means alike inside its region."""
_ORDER = {"parameter": 0, "identity": 1, "input": 2, "time": 3, "run": 4, "outcome": 5}


@dataclass
class Group:
    """A leading explanation, those that say the same, and how sure it is among rows alike in the groups before it."""

    leader: Item
    same: list[Item] = field(default_factory=list)


@dataclass(frozen=True)
class Ranked:
    """`groups` stand on their own, best first. `explained`: what goes along, with the leader that takes its effect away."""

    groups: list[Group]
    explained: list[tuple[Item, Item]]


def rank(items: Sequence[Item], inside: Truth, weights: Floats, fields: int) -> Ranked:
    """Orders surely over-represented explanations, picked from `fields` fields; how the run went comes after what was given."""
    left, groups = sorted(items, key=lambda item: -item.score), list[Group]()
    strata = np.zeros(len(inside), np.int64)
    while left and len(groups) < MOST:
        scores = np.array([_given(item, strata, inside, weights, fields) if groups else item.score for item in left])
        first = np.array([_precedence(item) < _ORDER["run"] for item in left])
        best = int(np.argmax(np.where(first, scores, 0.0) if (scores[first] > 0).any() else scores))
        if scores[best] <= 0:
            break
        alike = [k for k in range(len(left)) if k == best or overlap(left[best].mask, left[k].mask, weights) >= SAME]
        lead = min(alike, key=lambda k: (scores[k] < TIED * scores[best] - 4, _precedence(left[k]), -scores[k]))
        groups.append(Group(left[lead], [left[k] for k in alike if k != lead and left[k].field != left[lead].field]))
        left = [item for k, item in enumerate(left) if k not in alike]
        strata = _finer(strata, groups[-1].leader, inside)
    return Ranked(groups, _explained(left, groups, inside, weights))


def overlap(one: Truth, other: Truth, weights: Floats) -> float:
    """Jaccard's index of two sets of rows: the weight of both over the weight of either."""
    either = float(weights[one | other].sum())
    return float(weights[one & other].sum()) / either if either else 0.0


def cmh(mask: Truth, strata: NDArray[np.int64], inside: Truth, weights: Floats) -> float:
    """The statistic of Cochran, Mantel and Haenszel (chi-squared, 1 degree of freedom): `mask` against `inside` within strata."""
    cells = np.bincount(strata * 4 + mask * 2 + inside, weights, 4 * (int(strata.max()) + 1)).reshape(-1, 2, 2)
    n = cells.sum(axis=(1, 2))
    cells, n = cells[n > 1], n[n > 1]
    x, y = cells[:, 1].sum(axis=1), cells[:, :, 1].sum(axis=1)
    excess = float((cells[:, 1, 1] - x * y / n).sum())
    variance = float((x * (n - x) * y * (n - y) / (n * n * (n - 1))).sum())
    return excess * excess / variance if variance > 0 else 0.0


def _given(item: Item, strata: NDArray[np.int64], inside: Truth, weights: Floats, fields: int) -> float:
    """What is left of an explanation among like rows; 0 where that is chance or a small rest."""
    left = cmh(item.mask, strata, inside, weights)
    chance = float(scipy_stats.chi2.logsf(left, 1)) + np.log(item.tests * (1 if len(item.parts) > 1 else fields))
    return 0.0 if chance > np.log(LEVEL) or left < STRONG * item.g2 else left


def _finer(strata: NDArray[np.int64], leader: Item, inside: Truth) -> NDArray[np.int64]:
    """Strata split by an explanation, and inside and outside of a number's region by its quarters."""
    made = strata * 2 + leader.mask
    if inside.sum() >= FINE_FROM:
        for part in leader.parts:
            if part.coded.values is not None:
                made = made * 4 + np.minimum(part.coded.codes.astype(np.int64) * 4 // (len(part.coded.levels) + 1), 3)
    return np.unique(made, return_inverse=True)[1]


def _explained(left: Sequence[Item], groups: Sequence[Group], inside: Truth, weights: Floats) -> list[tuple[Item, Item]]:
    """Each other field once, with the leader that leaves least of it; what no leader takes away was not sure enough to be shown."""
    seen = {part.coded.field for group in groups for part in group.leader.parts if len(group.leader.parts) == 1}
    seen |= {item.field for group in groups for item in group.same}
    kept: list[tuple[Item, Item]] = []
    none = np.zeros(len(inside), np.int64)
    for item in left:
        if item.field in seen or len(item.parts) > 1:
            continue
        rests = [cmh(item.mask, _finer(none, group.leader, inside), inside, weights) for group in groups]
        if min(rests, default=np.inf) < TAKEN * item.g2:
            seen.add(item.field)
            kept.append((item, groups[int(np.argmin(rests))].leader))
    return kept


def _precedence(item: Item) -> int:
    return max(_ORDER[part.coded.role] for part in item.parts)
