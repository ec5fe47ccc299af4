"""Failures: what fails, when, where, and what fails together."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from analytics.questions.failures import Failures, failures_of
from analytics.questions.notes import words_of
from console import figures
from console.causes import held_causes
from console.desk import Desk
from console.table import chart, table
from console.waiting import soon

_SHARE = {"share": st.column_config.NumberColumn(format="percent")}


def page(desk: Desk) -> None:
    """Draws the page."""
    st.header(desk.t("failures"))
    found = soon(desk, "failures", work=lambda: _asked(desk))
    if found is None:
        return
    st.markdown(f"**{found.sentence(desk.language)}**")
    for warning in found.warnings:
        st.caption(f"⚠ {words_of(warning, desk.language)}")
    if not found.failed:
        return
    left, right = st.columns(2)
    with left:
        over_time = _over_time(found)
        figure = figures.stacked(over_time, "at", "count", "error_type", desk.t("failed"))
        chart(desk, "errors_over_time", figure, over_time, title=desk.t("errors_over_time"))
    with right:
        types = pd.DataFrame(found.types).rename(columns={"value": "error_type"})
        table(desk, "types", types, title=desk.t("top_errors"), column_config=_SHARE)
        stages = pd.DataFrame(found.stages).rename(columns={"value": "failed_stage"})
        table(desk, "failed_stages", stages, title=desk.t("by_failed_stage"), column_config=_SHARE)
    st.subheader(desk.t("spikes_and_values"), anchor=False)
    said = [one.sentence(desk.language) for one in (*found.spikes, *found.values)]
    for one in said[:12]:
        st.markdown(f"- {one}")
    if not said:
        st.caption(desk.t("nothing_stands_out"))
    held_causes(desk)
    said_by = [
        {"n": one.n, "share": one.estimate, "error_type": ", ".join(one.types), "error_message": one.template}
        for one in found.messages
    ]
    if said_by:
        table(desk, "messages", pd.DataFrame(said_by), title=desk.t("messages"), column_config=_SHARE)


def _asked(desk: Desk) -> Failures:
    with desk.view() as view:
        return failures_of(view, desk.where, truncated=desk.held.truncated)


def _over_time(found: Failures) -> pd.DataFrame:
    """One row a piece of time and error type."""
    return pd.DataFrame(
        [
            {"at": piece["start"], "error_type": name, "count": count}
            for piece in found.over_time
            for name, count in piece["failed"].items()
        ],
        columns=["at", "error_type", "count"],
    )
