"""Capacity: how long the stages take at which settings, and how many replicas a load needs."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from analytics.questions.capacity import StageTime, capacity, cost, service_times
from analytics.questions.contrast import MAX_ROWS
from console import figures
from console.address import choose
from console.desk import Desk
from console.table import chart, table
from telemetry import fields

LOADS = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
"""Multiples of the asked load that the curve shows."""
_SHAPES = {"rate": "{:.3g}", "replicas": "{:.0f}", "utilisation": "{:.1%}", "waiting": "{:.1%}"}


def page(desk: Desk) -> None:
    """Draws the page."""
    st.header(desk.t("capacity"))
    with desk.view() as view:
        rows = view.load(desk.where, MAX_ROWS)
    frame = rows.frame
    first, second, third = st.columns(3)
    with first:
        stage = choose("stage", desk.t("stage"), fields.STAGES, default="run_inference") or "run_inference"
    load = second.number_input(desk.t("load"), 0.1, 100_000.0, 30.0, key="load")
    target = third.number_input(desk.t("target"), 0.1, 3600.0, 10.0, key="target")
    found = capacity(frame, load, target, stage=stage, truncated=rows.truncated)
    st.markdown(f"**{found.sentence(desk.language)}**")
    for warning in found.warnings:
        st.caption(f"⚠ {warning}")
    if found.observed:
        columns = st.columns(len(found.observed))
        for column, (name, value) in zip(columns, found.observed.items(), strict=True):
            column.metric(desk.t(f"seen_{name}"), _SHAPES[name].format(value))
    if found.estimate is not None:
        needed = pd.DataFrame(
            {"load": load * times, "replicas": capacity(frame, load * times, target, stage=stage).estimate} for times in LOADS
        )
        chart(desk, "replicas", figures.steps(needed, "load", "replicas", desk.t("load"), desk.t("replicas")), needed)
    table(desk, "service_times", _rows(service_times(frame)), title=desk.t("service_times"))
    if pd.notna(frame["device_s"]).to_numpy().any():
        table(desk, "cost", _rows(cost(frame)).drop(columns=["median_s", "p95_s"], errors="ignore"), title=desk.t("device_cost"))
    else:
        st.subheader(desk.t("device_cost"), anchor=False)
        st.caption(desk.t("no_device_seconds"))


def _rows(found: tuple[StageTime, ...]) -> pd.DataFrame:
    made = [
        {"stage": one.stage, **one.setting, "n": one.n, "mean_s": one.estimate, "median_s": one.median, "p95_s": one.p95,
         "a_video_second": one.a_video_second} for one in found
    ]  # fmt: skip
    return pd.DataFrame(made).round(3)
