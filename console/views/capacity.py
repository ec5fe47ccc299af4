"""Capacity: how long the stages take at which settings, and how many replicas a load needs."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from analytics.questions.capacity import Capacity, StageTime, capacity, cost, service_times
from analytics.questions.notes import words_of
from analytics.questions.of_store import Asked, Times, times_of
from console import figures
from console.address import choose
from console.desk import Desk
from console.scaling import scaling
from console.table import chart, table
from console.waiting import soon
from telemetry import fields

LOADS = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
"""Multiples of the asked load that the curve shows."""
_SHAPES = {"rate": "{:.3g}", "replicas": "{:.0f}", "utilisation": "{:.1%}", "waiting": "{:.1%}"}


def page(desk: Desk) -> None:
    """Draws the page."""
    st.header(desk.t("capacity"))
    first, second, third = st.columns(3)
    with first:
        stage = choose("stage", desk.t("stage"), fields.STAGES, default="run_inference") or "run_inference"
    load = second.number_input(desk.t("load"), 0.1, 100_000.0, 30.0, key="load")
    target = third.number_input(desk.t("target"), 0.1, 3600.0, 10.0, key="target")
    rows = soon(desk, "times", stage, work=lambda: _times(desk, stage))
    if rows is None:
        return
    _replicas(desk, rows, stage, load, target)
    if desk.viewer.may("operate") or desk.viewer.department is None:  # what waits is counted over every department
        scaling(desk)
    _tables(desk, rows, stage)


def _times(desk: Desk, stage: str) -> Asked[Times]:
    with desk.view() as view:
        return times_of(view, desk.where, stage)


def _replicas(desk: Desk, rows: Asked[Times], stage: str, load: float, target: float) -> None:
    """The sentence, what was seen, and the replicas at other loads."""
    made = soon(
        desk, "capacity", stage, load, target, work=lambda: _capacities(rows.answer, stage, load, target, desk.held.truncated)
    )
    if made is None:
        return
    found, needed = made
    st.markdown(f"**{found.sentence(desk.language)}**")
    for warning in found.warnings:
        st.caption(f"⚠ {words_of(warning, desk.language)}")
    if rows.sampled:
        st.caption(desk.t("sampled_times", rows=f"{rows.rows:,}", of=f"{rows.of:,}"))
    if found.observed:
        columns = st.columns(len(found.observed))
        for column, (name, value) in zip(columns, found.observed.items(), strict=True):
            column.metric(desk.t(f"seen_{name}"), _SHAPES[name].format(value))
    if found.estimate is not None:
        chart(desk, "replicas", figures.steps(needed, "load", "replicas", desk.t("load"), desk.t("replicas")), needed)


def _capacities(rows: Times, stage: str, load: float, target: float, truncated: bool) -> tuple[Capacity, pd.DataFrame]:
    found = [
        capacity(rows.frame, load * times, target, stage=stage, truncated=truncated, seen=rows.seen) for times in (1.0, *LOADS)
    ]
    return found[0], pd.DataFrame({"load": one.load, "replicas": one.estimate} for one in found[1:])


def _tables(desk: Desk, rows: Asked[Times], stage: str) -> None:
    """The times and the cost by setting."""
    frame = rows.answer.frame
    made = soon(desk, "service_times", stage, work=lambda: (_rows(service_times(frame)), _rows(cost(frame))))
    if made is None:
        return
    table(desk, "service_times", made[0], title=desk.t("service_times"))
    if pd.notna(frame["device_s"]).to_numpy().any():
        table(desk, "cost", made[1].drop(columns=["median_s", "p95_s"], errors="ignore"), title=desk.t("device_cost"))
    else:
        st.subheader(desk.t("device_cost"), anchor=False)
        st.caption(desk.t("no_device_seconds"))


def _rows(found: tuple[StageTime, ...]) -> pd.DataFrame:
    made = [
        {"stage": one.stage, **one.setting, "n": one.n, "mean_s": one.estimate, "median_s": one.median, "p95_s": one.p95,
         "a_video_second": one.a_video_second} for one in found
    ]  # fmt: skip
    return pd.DataFrame(made).round(3)
