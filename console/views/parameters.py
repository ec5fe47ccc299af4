"""Parameters × quality: what goes with an outcome, by how much, and which setting to use."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from analytics.points import grid, points
from analytics.questions.effects import Effect
from analytics.questions.notes import words_of
from analytics.questions.of_store import Asked, effects_of
from analytics.questions.report import OutcomeReport, Report
from analytics.questions.sentences import adjusted
from analytics.questions.wording import effect_sentence, recommendation_sentence, sentences
from console import figures
from console.address import address, choose, go
from console.desk import Desk
from console.table import chart, table
from console.waiting import kept, soon

DOTS = 4_000
"""Dots of the scatter plot: enough to see the shape, few enough to be clicked."""

LISTED = 3
"""More fields that a sentence is adjusted for are counted there, not listed."""
FIRST = 4
"""Sentences above the fold, the surest first."""


def page(desk: Desk) -> None:
    """Draws the page for the outcome and the parameter of the URL."""
    st.header(desk.t("parameters"))
    whole = desk.schema
    outcomes = [column.name for column in whole.outcomes if column.numeric]
    first, second, third = st.columns(3)
    with first:
        outcome = choose("outcome", desk.t("outcome"), ["audio_drift_ms", *(n for n in outcomes if n != "audio_drift_ms")]) or ""
    asked = soon(desk, "effects", outcome, work=lambda: _effects_of(desk, outcome))
    if asked is None:  # the dots need no analysis
        _scatter(desk, address().get("parameter", whole.parameters[0].name), outcome)
        return
    report = asked.answer
    found = report.outcomes[0]
    if not found.n:
        st.info(desk.t("nothing_with", outcome=outcome))
        return
    names = [one.parameter for one in sorted(found.effects, key=lambda one: (one.q is None, one.q or 0.0))]
    with second:
        parameter = choose("parameter", desk.t("parameter"), names) or names[0]
    with third:
        numbers = [column.name for column in whole.parameters if column.numeric and column.name != parameter]
        partner = choose("partner", desk.t("partner"), ["", *numbers], default="") or ""
    _sentences(desk, found)
    if asked.sampled:
        st.caption(desk.t("sampled", rows=f"{asked.rows:,}", of=f"{asked.of:,}"))
    for warning in (*report.warnings, *found.warnings):
        st.caption(f"⚠ {words_of(warning, desk.language)}")
    effect = next(one for one in found.effects if one.parameter == parameter)
    left, right = st.columns(2)
    with left:
        _levels(desk, found, effect)
    with right:
        if partner:
            _grid(desk, parameter, partner, outcome)
        else:
            step = next((one.at for one in found.thresholds if one.parameter == parameter), None)
            _scatter(desk, parameter, outcome, step)
    table(desk, "effects", _effects(found), title=desk.t("side_by_side"))
    _tradeoff(desk, found)


def _sentences(desk: Desk, found: OutcomeReport) -> None:
    said = [_shorter(desk, one, found) for one in sentences(found, language=desk.language)]
    st.markdown("\n".join(f"- {one}" for one in said[:FIRST]))
    if said[FIRST:]:
        with st.expander(desk.t("more_sentences", count=len(said) - FIRST)):
            st.markdown("\n".join(f"- {one}" for one in said[FIRST:]))
    for one in found.effects:
        if one.simpson:
            st.warning(desk.t("simpson", parameter=one.parameter, by=one.simpson_by or "–"), icon=":material/swap_vert:")


def _shorter(desk: Desk, sentence: str, found: OutcomeReport) -> str:
    """The sentence with the number of the fields it was adjusted for in place of their names: those are in the table below."""
    for effect in found.effects:
        if len(effect.adjusted_for) > LISTED:
            listed = adjusted(effect.adjusted_for, desk.language)
            sentence = sentence.replace(listed, desk.t("adjusted_for_many", count=len(effect.adjusted_for)))
    return sentence


def _levels(desk: Desk, found: OutcomeReport, effect: Effect) -> None:
    title = desk.t("by_level", parameter=effect.parameter)
    if not effect.levels:
        st.subheader(title, anchor=False)
        st.info(effect_sentence(effect, desk.language))
        return
    rows = pd.DataFrame(
        {"level": one.level, "n": one.n, "estimate": one.estimate, "low": one.interval[0], "high": one.interval[1]}
        for one in effect.levels
    )
    chart(desk, "levels", figures.levels(rows, effect.parameter, f"{found.column.name} ({effect.unit})"), rows, title=title)


def _effects_of(desk: Desk, outcome: str) -> Asked[Report]:
    with desk.view() as view:
        return effects_of(view, desk.where, outcome, truncated=desk.held.truncated)


def _dots(desk: Desk, columns: list[str]) -> tuple[pd.DataFrame, int]:
    with desk.view() as view:
        rows, count = points(view, desk.where, columns, DOTS)
    return rows.to_pandas(), count


def _scatter(desk: Desk, parameter: str, outcome: str, step: float | None = None) -> None:
    frame, count = kept(desk, "dots", parameter, outcome, DOTS, work=lambda: _dots(desk, [parameter, outcome]))
    figure = figures.scatter(frame, parameter, outcome, step)
    event = chart(
        desk, "scatter", figure, frame, title=desk.t("each_request"),
        note="" if len(frame) == count else desk.t("dots", shown=f"{len(frame):,}", all=f"{count:,}"),
        on_select="rerun", selection_mode="points",
    )  # fmt: skip
    if event.selection.points:
        go("request", request=event.selection.points[0]["customdata"][0])


def _grid(desk: Desk, x: str, y: str, outcome: str) -> None:
    cells = kept(desk, "grid", x, y, outcome, work=lambda: _cells(desk, x, y, outcome))
    chart(desk, "grid", figures.heatmap(cells, x, y, outcome), cells, title=desk.t("pair", x=x, y=y))


def _cells(desk: Desk, x: str, y: str, outcome: str) -> pd.DataFrame:
    with desk.view() as view:
        return grid(view, desk.where, x, y, outcome).to_pandas()


def _effects(found: OutcomeReport) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "parameter": one.parameter, "verdict": one.verdict, "from": one.low, "to": one.high, "unit": one.unit,
            "adjusted": one.estimate, "low": (one.interval or (None, None))[0], "high": (one.interval or (None, None))[1],
            "raw": one.raw, "raw_low": (one.raw_interval or (None, None))[0], "raw_high": (one.raw_interval or (None, None))[1],
            "n": one.n, "q": one.q, "simpson": one.simpson, "adjusted_for": ", ".join(one.adjusted_for),
        }
        for one in found.effects
    )  # fmt: skip


def _tradeoff(desk: Desk, found: OutcomeReport) -> None:
    if found.tradeoff is None:
        return
    chosen = found.recommendation.settings if found.recommendation else None
    rows = pd.DataFrame(
        {
            "settings": ", ".join(f"{name} {value}" for name, value in one.settings.items()), "n": one.n, "cost": one.cost,
            "cost_low": one.cost_interval[0], "cost_high": one.cost_interval[1], "quality": one.quality,
            "low": one.quality_interval[0], "high": one.quality_interval[1], "on_front": one.on_front,
            "recommended": one.settings == chosen,
        }
        for one in found.tradeoff.settings
    )  # fmt: skip
    title = desk.t("tradeoff", cost=found.tradeoff.cost, quality=found.tradeoff.quality)
    chart(desk, "tradeoff", figures.tradeoff(rows, found.tradeoff.cost, found.tradeoff.quality), rows, title=title)
    if found.recommendation is not None:
        said = recommendation_sentence(found.recommendation, found.unit, "s", desk.language)
        st.success(_shorter(desk, said, found), icon=":material/recommend:")
