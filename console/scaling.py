"""The part of the capacity page that shows what the autoscaler decided, and on what."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from analytics.scaling import decisions
from console import data
from console.desk import Desk
from console.figures import BLUE, GREY, ORANGE, laid_out
from console.table import chart

LAST = 5_000
"""Decisions of the figure at most, the newest."""


def scaling(desk: Desk) -> None:
    """Replicas over time and the work that waited; nothing where nothing scales."""
    found = decisions(data.data_dir(), desk.since_ns, desk.until_ns).tail(LAST)
    if found.empty:
        return
    last = found.iloc[-1]
    names = {name: desk.t(f"scaled_{name}") for name in ("target", "running", "work_s")}
    reason = desk.t(f"scaled_{last['reason']}", or_else=last["reason"])
    note = desk.t("scaling_now", running=last["running"], target=last["target"], reason=reason)
    chart(desk, "scaling", drawn(found, names, desk.t("replicas")), found, title=desk.t("scaling"), note=note)
    if last["reason"] == "unreachable":
        st.caption(f"⚠ {desk.t('scaling_blind')}")


def drawn(frame: pd.DataFrame, names: dict[str, str], y: str) -> go.Figure:
    """`target` and `running` as steps over `at`, and `work_s` on an axis of its own; hovering says the reason."""
    figure = go.Figure(
        [
            go.Scatter(x=frame["at"], y=frame["work_s"], name=names["work_s"], yaxis="y2", mode="lines", fill="tozeroy",
                       line={"color": ORANGE, "width": 1}, opacity=0.5),
            go.Scatter(x=frame["at"], y=frame["target"], name=names["target"], mode="lines", customdata=frame["reason"],
                       line={"color": GREY, "shape": "hv", "dash": "dot"}, hovertemplate="%{y} (%{customdata})"),
            go.Scatter(x=frame["at"], y=frame["running"], name=names["running"], mode="lines",
                       line={"color": BLUE, "shape": "hv", "width": 2.5}),
        ]
    )  # fmt: skip
    figure = laid_out(figure, y=y, height=260)
    second = {"overlaying": "y", "side": "right", "title": names["work_s"], "showgrid": False, "rangemode": "tozero"}
    figure.update_layout(yaxis2=second)
    figure.update_yaxes(rangemode="tozero")
    return figure
