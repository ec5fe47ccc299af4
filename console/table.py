"""Tables and charts as every page shows them: with their data to take away."""

from __future__ import annotations

import io
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from console.desk import Desk

_PLOTLY = {"displaylogo": False, "toImageButtonOptions": {"format": "png", "scale": 2}}
SHOWN = 500
"""Rows of a table on a page; the export has them all."""


def chart(desk: Desk, key: str, figure: go.Figure, frame: pd.DataFrame, **more: Any) -> Any:
    """A chart with its data behind a menu (PNG: the camera in the chart's own bar). Returns Streamlit's event where it selects."""
    event = st.plotly_chart(figure, key=f"chart-{key}", config=_PLOTLY, **more)
    export(desk, key, frame)
    return event


def table(desk: Desk, key: str, frame: pd.DataFrame, **more: Any) -> Any:
    """A table with its export; at most SHOWN rows are shown, and a line says so."""
    event = st.dataframe(frame.head(SHOWN), hide_index=True, key=f"table-{key}", **more)
    if len(frame) > SHOWN:
        st.caption(desk.t("first_rows", shown=SHOWN, all=len(frame)))
    export(desk, key, frame)
    return event


def export(desk: Desk, key: str, frame: pd.DataFrame) -> None:
    """CSV and Parquet of a frame, made when somebody asks."""
    if not desk.viewer.may("export") or frame.empty:
        return
    with st.popover(desk.t("export"), icon=":material/download:", type="tertiary"):
        st.download_button(
            "CSV", lambda: frame.to_csv(index=False).encode(), f"{key}.csv", "text/csv", key=f"csv-{key}", on_click="ignore"
        )
        st.download_button("Parquet", lambda: _parquet(frame), f"{key}.parquet", key=f"parquet-{key}", on_click="ignore")


def _parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()
