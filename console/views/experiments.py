"""Experiments: what was tried, what it shows, and the videos of a block in step."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from analytics.questions.arms import FIRST, Comparison, rows_of
from analytics.questions.experiment import AS_IT_WAS, Effect
from analytics.questions.sentences import amount
from analytics.questions.trials import Trial, effects, experiment_rows, trials
from console.address import choose
from console.desk import Desk
from console.table import table
from console.views.compare import in_step


def page(desk: Desk) -> None:
    """Draws the experiment of the URL, the newest without one."""
    st.header(desk.t("experiments"))
    with desk.view() as view:
        frame = experiment_rows(view, desk.where)
    found = trials(frame)
    if not found:
        st.info(desk.t("no_experiments"))
        return
    name = choose("experiment", desk.t("experiment"), [one.name for one in found]) or found[0].name
    _shown(desk, frame, name)
    _pair(desk, rows_of(frame, name))
    table(desk, "experiments", pd.DataFrame([_line(desk, one) for one in found]), title=desk.t("all_experiments"))


def _shown(desk: Desk, frame: pd.DataFrame, name: str) -> None:
    answers = effects(frame, name, FIRST)
    if not answers:
        st.info(desk.t("nothing_varied"))
        return
    plain = [one.effect if isinstance(one, Comparison) else one for one in answers]
    for effect in plain:
        if effect.outcome in FIRST:
            mark = f"**{effect.sentence(desk.language)}**" if effect.verdict == "associated" else effect.sentence(desk.language)
            st.markdown(mark)
    table(desk, "effects", pd.DataFrame([_cells(desk, one) for one in answers]))
    with st.expander(desk.t("more_sentences", count=sum(one.outcome not in FIRST for one in plain))):
        for effect in plain:
            if effect.outcome not in FIRST:
                st.markdown(effect.sentence(desk.language))


def _cells(desk: Desk, one: Comparison | Effect) -> dict[str, object]:
    effect = one.effect if isinstance(one, Comparison) else one
    setting = effect.level if "=" in effect.level else f"{effect.factor} = {effect.level}"
    ends = " … ".join(amount(end, effect.unit, signed=True) for end in effect.interval) if effect.interval else "–"
    reference = desk.t("as_it_was") if effect.reference == AS_IT_WAS else effect.reference
    return {
        "outcome": effect.outcome, desk.t("setting"): setting, desk.t("instead_of"): reference,
        desk.t("change_by"): amount(effect.estimate, effect.unit, signed=True), "95 %": ends,
        desk.t("blocks"): effect.blocks, "q": effect.q, desk.t("verdict"): desk.t(f"word_{effect.word.replace(' ', '_')}"),
    }  # fmt: skip


def _pair(desk: Desk, mine: pd.DataFrame) -> None:
    """The videos of one block: the same input and seed, the settings of its arms."""
    videos: dict[str, list[dict[str, Any]]] = {}
    for row in mine.to_dict("records"):
        if row["status"] == "ok" and isinstance(row.get("block"), str):
            videos.setdefault(row["block"], []).append(row)
    blocks = sorted(block for block, rows in videos.items() if len(rows) > 1)
    block = choose("block", desk.t("block"), blocks, show=lambda one: f"…{one[-14:]}") if blocks else None
    if block is not None:
        in_step(desk, sorted(videos[block], key=lambda row: str(row["arm"])), ["arm"])


def _line(desk: Desk, one: Trial) -> dict[str, object]:
    kind = desk.t("kind_replay" if one.replay else "kind_sweep")
    return {
        desk.t("experiment"): one.name, desk.t("kind"): kind, desk.t("requests"): one.requests, desk.t("failed"): one.failed,
        desk.t("blocks"): one.blocks, desk.t("arms"): len(one.arms), desk.t("what_varied"): ", ".join(one.factors),
        desk.t("randomised"): desk.t("yes" if one.randomized else "no"), desk.t("ended"): one.ended_at,
    }  # fmt: skip
