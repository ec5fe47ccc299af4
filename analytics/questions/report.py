"""The whole analysis of one or more outcomes: effects, interactions, thresholds, what is missing, and the settings to use.

    report = analyze(requests.frame, ["audio_drift_ms"])

Everything that was asked in one call is one family for the false discovery rate. The last answers are kept by their content.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import pandas as pd
from threadpoolctl import threadpool_limits

from analytics.questions.cache import Cache, content_key
from analytics.questions.effects import Effect, across, effect, p_of
from analytics.questions.interactions import Interaction, interactions
from analytics.questions.missing import Answered, answered, bounds, scope
from analytics.questions.notes import note
from analytics.questions.outcome import Outcome, observe
from analytics.questions.prepare import Options, Prepared, prepare
from analytics.questions.recommend import Recommendation, recommend
from analytics.questions.result import Interval, verdict_of
from analytics.questions.schema import CLUSTER, CONFOUNDERS, COSTS, FAILURE, Column, Schema
from analytics.questions.stats import benjamini_hochberg
from analytics.questions.threshold import Threshold, threshold
from analytics.questions.tradeoff import Tradeoff, tradeoff
from telemetry import fields

if TYPE_CHECKING:
    from analytics.stores.mapping import Mapping

ROWS = 20_000
"""Rows that are modelled; of more a random sample is taken. Intervals at 20,000 are narrower than any setting could be chosen by,
and three outcomes of eight parameters take seconds (bench/analysis.py)."""
DEFAULTS = Options(max_rows=ROWS)
OTHERS = ("request_id", "synthetic", "weight", "sampling_weight", "is_retry", "attempt", "replay_of", "started_at")
"""Columns that preparation reads beside those that are studied."""


@dataclass(frozen=True)
class OutcomeReport:
    """The answers about one outcome. `bounds`: how far the unanswered requests could move an effect, by parameter."""

    column: Column
    unit: str
    n: int
    effects: tuple[Effect, ...]
    interactions: tuple[Interaction, ...]
    thresholds: tuple[Threshold, ...] = ()
    answered: Answered | None = None
    bounds: dict[str, Interval] = dataclasses.field(default_factory=dict)
    tradeoff: Tradeoff | None = None
    recommendation: Recommendation | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """The answers about every outcome that was asked. `tested`: the size of the family that q is about."""

    n: int
    outcomes: tuple[OutcomeReport, ...]
    tested: int
    warnings: tuple[str, ...] = ()
    truncated: bool = False


Asked = TypeVar("Asked", Effect, Interaction)

_KEPT = Cache[Report](32)


def analyze(
    frame: pd.DataFrame,
    outcomes: Sequence[str] = ("audio_drift_ms",),
    *,
    mapping: Mapping | None = None,
    options: Options = DEFAULTS,
    budget: float | None = None,
    truncated: bool = False,
) -> Report:
    """The report over request rows. `budget`: limit of the cost (the first of COSTS that is there) for the recommendation.

    Raises ValueError where an outcome is no outcome of the frame, or a text.
    """
    whole = Schema.of(frame, mapping)
    for name in outcomes:
        column = whole.get(name)
        if column is None or column.kind != "outcome":
            numeric = [one.name for one in whole.outcomes if one.numeric or one.dtype == "bool" or one.name == FAILURE]
            raise ValueError(f"{name} is no outcome of these requests; these are: {', '.join(numeric) or 'none'}")
    needed: Any = frame[columns_needed([str(name) for name in frame.columns], outcomes, mapping)]
    key = content_key(needed, (tuple(outcomes), options, budget, truncated, mapping))
    found = _KEPT.get(key)
    if found is None:
        # On a busy machine OpenMP and BLAS threads that wait for each other cost more than they bring.
        with threadpool_limits(limits=1):
            found = _analyzed(prepare(needed, Schema.of(needed, mapping), options, truncated=truncated), outcomes, budget)
        _KEPT.put(key, found)
    return found


def columns_needed(present: Sequence[str], outcomes: Sequence[str], mapping: Mapping | None = None) -> list[str]:
    """Those of the columns that are present which `analyze` reads, in their order."""
    own = [one.column.name for one in mapping.columns if one.kind == "parameter"] if mapping else []
    wanted = {*outcomes, FAILURE, *COSTS, *CONFOUNDERS, *CLUSTER, *OTHERS, *fields.names("parameter"), *own}
    return [name for name in present if name in wanted]


def _analyzed(prepared: Prepared, outcomes: Sequence[str], budget: float | None) -> Report:
    seen: list[tuple[Prepared, Outcome, OutcomeReport]] = []
    for name in outcomes:
        column = prepared.schema.column(name)
        rows = scope(prepared, column)
        outcome = observe(rows, column)
        effects = tuple(effect(outcome, parameter) for parameter in prepared.schema.parameters)
        asked = answered(rows, column)
        made = OutcomeReport(
            column, outcome.unit, outcome.rows.n, effects, tuple(interactions(outcome)), answered=asked, warnings=outcome.warnings
        )
        seen.append((rows, outcome, made))
    reports, tested = _corrected([made for _, _, made in seen])
    finished = tuple(
        _finished(prepared, rows, outcome, made, budget) for (rows, outcome, _), made in zip(seen, reports, strict=True)
    )
    return Report(prepared.n, finished, tested, _warnings(prepared), prepared.truncated)


def _corrected(reports: list[OutcomeReport]) -> tuple[list[OutcomeReport], int]:
    """Every q over all effects, answers and interactions of all reports; the verdicts that follow; how many were tested."""
    p: list[float | None] = []
    for one in reports:
        p += [effect.p for effect in (*one.effects, *(one.answered.effects if one.answered else ()))]
        p += [pair.p for pair in one.interactions]
    qs = iter(benjamini_hochberg(p))

    def judged(found: Asked) -> Asked:
        q = next(qs)
        return found if q is None else replace(found, q=q, verdict=verdict_of(q))

    made: list[OutcomeReport] = []
    for one in reports:
        effects = tuple(judged(effect) for effect in one.effects)
        asked = one.answered and replace(one.answered, effects=tuple(judged(effect) for effect in one.answered.effects))
        made.append(replace(one, effects=effects, answered=asked, interactions=tuple(judged(pair) for pair in one.interactions)))
    return made, sum(value is not None for value in p)


def _finished(prepared: Prepared, rows: Prepared, outcome: Outcome, made: OutcomeReport, budget: float | None) -> OutcomeReport:
    columns = {column.name: column for column in prepared.schema.parameters}
    found = tuple(
        threshold(outcome, columns[one.parameter], one)
        for one in made.effects
        if one.verdict == "associated" and not one.categorical and columns[one.parameter].numeric
    )
    steps = {one.parameter: one.at for one in found if one.kind == "step" and one.at is not None}
    effects = tuple(
        across(outcome, columns[one.parameter], one, steps[one.parameter]) if one.parameter in steps else one
        for one in made.effects
    )
    made = replace(made, effects=effects, thresholds=found, bounds=bounds(rows, outcome, list(effects)))
    cost = next((column for name in COSTS if (column := prepared.schema.get(name)) is not None), None)
    if cost is None or made.column.name in (FAILURE, *COSTS):
        return made
    return _with_tradeoff(rows, outcome, made, cost, budget)


def _with_tradeoff(rows: Prepared, outcome: Outcome, made: OutcomeReport, cost: Column, budget: float | None) -> OutcomeReport:
    both = rows.take(~pd.isna(rows.numbers(cost.name)) & ~pd.isna(rows.numbers(made.column.name)))
    dear, good = observe(both, cost), observe(both, made.column)
    names = [parameter.name for parameter in both.schema.parameters]
    costs = benjamini_hochberg([p_of(dear, parameter) for parameter in both.schema.parameters])
    told = {one.parameter: one.p for one in made.effects if one.verdict == "associated" and one.p is not None}
    for name, q in zip(names, costs, strict=True):
        if verdict_of(q) == "associated" and q is not None:
            told[name] = min(q, told.get(name, 1.0))
    found = tradeoff(dear, good, told)
    if found is None:
        return made
    advice = recommend(found, higher_is_better=outcome.column.higher_is_better, budget=budget)
    return replace(made, tradeoff=found, recommendation=advice)


def _warnings(prepared: Prepared) -> tuple[str, ...]:
    found = list(prepared.warnings)
    if prepared.repeats:
        found.append(note("repeats_in", count=prepared.repeats))
    return tuple(found)
