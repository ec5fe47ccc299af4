"""What differs between the requests asked about and the rest: the explanations, the best first, and what only goes along."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import xlogy

from analytics.questions.coding import Coded, code
from analytics.questions.copies import explains, measured, other_names
from analytics.questions.difference import Difference, difference
from analytics.questions.grouping import Ranked, rank
from analytics.questions.notes import note
from analytics.questions.pairs import find_pairs
from analytics.questions.phrases import phrase
from analytics.questions.result import ALPHA, Finding
from analytics.questions.rows import Rows, Truth, numbers, observe
from analytics.questions.rows import column as column_of
from analytics.questions.scan import Item, count, deflated, design_effect, scan
from analytics.questions.schema import Schema
from analytics.questions.sentences import Language
from analytics.questions.stats import Floats, benjamini_hochberg, effective_n

FEWEST = 3
"""Rows asked about, and others, below which nothing can be told apart."""
EFFECTIVE = 20
"""Clusters that a design effect can be estimated from: with one input in half of all requests its estimate is noise."""
FEW = 20
"""Rows asked about below which only a strong cause shows; said as a warning."""
CLUSTERS = ("portrait_hash", "audio_hash", "owner_hash")
"""Requests that share one of these are not independent."""
MAX_ROWS = 200_000
"""Beyond it a random sample is compared, and said so: twice the rows of the two-second aim."""
SHOWN = 30


@dataclass(frozen=True, kw_only=True)
class Contrast(Finding):
    """`differences`: explanations that stand on their own, best first, then what goes along with them. `outcomes`: other outcomes
    that differ, which explain nothing.

    `n`: rows compared. `n_in`, `n_out`: rows asked about and all others; `n_unmeasured` of the others lack the outcome that was
    asked about and are not compared. `fields`: how many were asked. `left_out`: the other fields, with the reason.
    """

    n_in: int = 0
    n_out: int = 0
    n_unmeasured: int = 0
    fields: int = 0
    differences: tuple[Difference, ...] = ()
    outcomes: tuple[Difference, ...] = ()
    left_out: dict[str, str] = field(default_factory=dict)

    def sentence(self, language: Language = "en") -> str:
        """The best explanation, or why there is none."""
        if self.differences:
            return self.differences[0].sentence(language)
        key = {"no_data": "none_in" if self.n_in == 0 else "none_out", "too_few": "too_few"}.get(self.verdict, "nothing")
        return phrase(key, language, n=self.n, n_in=self.n_in, n_out=self.n_out - self.n_unmeasured, fields=self.fields)

    def to_dict(self) -> dict[str, Any]:
        """As JSON: the differences are the list `contrast`, each with its sentences."""
        made = super().to_dict()
        differences, outcomes = made.pop("differences"), made.pop("outcomes")
        said = {"sentence": self.sentence(), "sentence_zh": self.sentence("zh")}
        return {**made, **said, "contrast": differences, "outcomes": outcomes}


def contrast(
    frame: pd.DataFrame,
    inside: ArrayLike,
    schema: Schema | None = None,
    *,
    filtered: Collection[str] = (),
    truncated: bool = False,
    stands: tuple[float, float] = (1.0, 1.0),
    seed: int = 0,
) -> Contrast:
    """What is over-represented in the rows where `inside` is true. `filtered`: the columns that decided it, which are left out.
    `stands`: how many requests each row asked about, and each other row, stands for where the two were sampled apart.

    The false discovery rate over all fields and the best pair is controlled (Benjamini and Hochberg), each field's p being that of
    its best value times the values that it was picked from. Raises ValueError where `inside` has another length than the frame.
    """
    asked = np.asarray(inside, bool)
    if len(asked) != len(frame):
        raise ValueError(f"inside has {len(asked)} values for {len(frame)} rows")
    rows = observe(frame, schema)
    asked = asked[rows.kept]
    base = Contrast(n=rows.n, verdict="no_data", n_in=int(asked.sum()), n_out=int((~asked).sum()), truncated=truncated,
                    warnings=(*rows.warnings, *([note("not_all")] if truncated else [])))  # fmt: skip
    if base.n_in == 0 or base.n_out == 0:
        return base
    comparable = measured(rows, filtered, asked)
    rows, asked, base = _bounded(
        rows.take(comparable), asked[comparable], replace(base, n_unmeasured=int((~comparable).sum())), seed
    )
    if min(asked.sum(), (~asked).sum()) < FEWEST:
        return replace(base, verdict="too_few" if (~asked).any() else "no_data")
    return _compared(rows, asked, base, filtered, stands, seed)


def extremes(
    frame: pd.DataFrame, outcome: str, schema: Schema | None = None, *, share: float = 0.1, truncated: bool = False, seed: int = 0
) -> Contrast:
    """What differs between the worst and the best `share` of an outcome. Raises KeyError where it is not among the columns."""
    found = schema or Schema.of(frame)
    asked = found.column(outcome)
    values = numbers(column_of(frame, outcome))
    if asked.higher_is_better:
        values = -values
    if not np.isfinite(values).any():
        return Contrast(n=0, verdict="no_data", warnings=(note("none_has", name=outcome),), truncated=truncated)
    low, high = np.nanquantile(values, [share, 1 - share])
    if low == high:
        return Contrast(n=len(frame), verdict="never_varied", warnings=(note("hardly_varies", name=outcome),), truncated=truncated)
    worst = values >= high
    either = worst | (values <= low)
    return contrast(frame.loc[either], worst[either], found, filtered=(outcome,), truncated=truncated, seed=seed)


def _bounded(rows: Rows, asked: Truth, base: Contrast, seed: int) -> tuple[Rows, Truth, Contrast]:
    warnings = list(base.warnings)
    if base.n_unmeasured:
        warnings.append(note("lack", count=base.n_unmeasured))
    if rows.n > MAX_ROWS:
        warnings.append(note("compared_sample", n=MAX_ROWS, of=rows.n))
        chosen = np.zeros(rows.n, bool)
        chosen[np.random.default_rng(seed).choice(rows.n, MAX_ROWS, replace=False)] = True
        rows, asked, base = rows.take(chosen), asked[chosen], replace(base, truncated=True)
    if FEWEST <= asked.sum() < FEW:
        warnings.append(note("few_asked", count=int(asked.sum())))
    return rows, asked, replace(base, n=rows.n, warnings=tuple(warnings))


@dataclass(frozen=True, eq=False)
class Compared:
    """`ranked` explanations with the `qs` of all that are sure; `outcomes` that differ as well. `fields`: how many were asked."""

    ranked: Ranked
    qs: dict[Item, float]
    outcomes: dict[Item, float]
    fields: int
    left_out: dict[str, str]


def compared(rows: Rows, asked: Truth, filtered: Collection[str] = (), seed: int = 0, *, least: float = 0.0) -> Compared:
    """What is surely over-represented in the rows asked about, with the rows that have it: for those who go on with the rows.

    `least`: G² of a value by itself, below which no partner of it is looked for."""
    names = other_names(rows, filtered)
    coded, left_out = code(rows)
    coded = [one for one in coded if one.field not in names and not (one.kind == "time" and one.field in filtered)]
    # Counted in rows that tell as much as equally weighted ones, so that a weight adds no certainty.
    weights = rows.weights * effective_n(rows.weights) / rows.n
    able, rest = [one for one in coded if explains(one, filtered)], [one for one in coded if not explains(one, filtered)]
    given = [item for one in able for item in scan(one, asked, weights)]
    outcomes = [item for one in rest for item in scan(one, asked, weights)[:1]]
    pairs = find_pairs([item for item in given if item.parts[0].coded.role != "run"],
                       [one for one in able if one.role != "run"], asked, weights, seed, least=least)  # fmt: skip
    clusters = _clusters(rows)
    sure, gone = _sure([*given, *pairs], asked, weights, clusters), _sure(outcomes, asked, weights, clusters)
    ranked = rank(list(sure), asked, weights, len(able))
    return Compared(ranked, sure, gone, len({one.field for one in able}), {**left_out, **names})


def _compared(
    rows: Rows, asked: Truth, base: Contrast, filtered: Collection[str], stands: tuple[float, float], seed: int
) -> Contrast:
    told = compared(rows, asked, filtered, seed)
    made = _Made(rows, asked, told.qs | told.outcomes, stands)
    found = made.explanations(told.ranked)
    return replace(
        base, verdict="associated" if found else "not_shown", differences=tuple(found[:SHOWN]),
        outcomes=tuple(made.difference(item, "outcome") for item in sorted(told.outcomes, key=lambda item: -item.score)),
        fields=told.fields, left_out=told.left_out,
    )  # fmt: skip


def _clusters(rows: Rows) -> list[NDArray[np.int64]]:
    """Integers by input and by owner; a row without one stands alone."""
    made: list[NDArray[np.int64]] = []
    for name in CLUSTERS:
        if name in rows.frame:
            ids = pd.factorize(rows.frame[name])[0].astype(np.int64)
            alone = ids < 0
            ids[alone] = ids.max(initial=-1) + 1 + np.arange(alone.sum())
            shares = np.bincount(ids) / max(1, len(ids))
            if 1 / float(shares @ shares) >= EFFECTIVE:
                made.append(ids)
    return made


def _sure(items: Sequence[Item], asked: Truth, weights: Floats, clusters: Sequence[NDArray[np.int64]]) -> dict[Item, float]:
    """The items whose q is below ALPHA, with it. A design effect takes from the certainty, not from the place in the order."""
    p = [
        item.log_p if item.log_p > np.log(ALPHA) else deflated(item, design_effect(item, asked, weights, clusters))
        for item in items
    ]
    qs = benjamini_hochberg([float(np.exp(one)) for one in p])
    return {item: q for item, q in zip(items, qs, strict=True) if q is not None and q < ALPHA}


@dataclass(frozen=True)
class _Made:
    """Makes results of items."""

    rows: Rows
    asked: Truth
    qs: dict[Item, float]
    stands: tuple[float, float]

    def explanations(self, ranked: Ranked) -> list[Difference]:
        found: list[Difference] = []
        for place, group in enumerate(ranked.groups):
            before = tuple(one.leader for one in ranked.groups[:place])
            found.append(self.difference(group.leader, "explanation", same=tuple(group.same), alike=before))
        return found + [self.difference(item, "goes along", leader=leader) for item, leader in ranked.explained]

    def difference(self, item: Item, role: Literal["explanation", "goes along", "outcome"], **more: Any) -> Difference:
        spread = max(divergence(part.coded, self.asked, self.rows.weights) for part in item.parts)
        return difference(item, self.rows, self.asked, q=self.qs[item], divergence=spread, role=role, stands=self.stands, **more)


def divergence(coded: Coded, inside: Truth, weights: Floats) -> float:
    """How far a field's distribution in the rows asked about is from that in the others: Jensen and Shannon's, 0 to 1 bit."""
    within, without = count(coded, inside, weights)
    if within.sum() == 0 or without.sum() == 0:
        return 0.0
    p, q = within / within.sum(), without / without.sum()
    middle = (p + q) / 2
    return float(np.sum(xlogy(p, p) + xlogy(q, q) - 2 * xlogy(middle, middle)) / 2 / np.log(2))
