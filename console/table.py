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


def chart(desk: Desk, key: str, figure: go.Figure, frame: pd.DataFrame, *, title: str = "", note: str = "", **more: Any) -> Any:
    """A chart under its title, with its data behind a menu (PNG: the camera in the chart's own bar).

    Returns Streamlit's event where it selects.
    """
    _head(desk, key, frame, title, note)
    return st.plotly_chart(figure, key=f"chart-{key}", config=_PLOTLY, **more)


def table(desk: Desk, key: str, frame: pd.DataFrame, *, title: str = "", note: str = "", **more: Any) -> Any:
    """A table under its title, with its export; at most SHOWN rows are shown, and a line says so. Numbers have four digits."""
    if len(frame) > SHOWN:
        note = desk.t("first_rows", shown=SHOWN, all=len(frame))
    _head(desk, key, frame, title, note)
    numbers = {name: st.column_config.NumberColumn(format="%.4g") for name in frame.select_dtypes("float").columns}
    formats = numbers | (more.pop("column_config", None) or {})
    return st.dataframe(frame.head(SHOWN), hide_index=True, key=f"table-{key}", column_config=formats, placeholder="–", **more)


def _head(desk: Desk, key: str, frame: pd.DataFrame, title: str, note: str) -> None:
    """The title, a remark, and the export at the end of the same line."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        if title:
            st.subheader(title, anchor=False)
        if note or not title:
            st.caption(note)
        export(desk, key, frame)


def export(desk: Desk, key: str, frame: pd.DataFrame) -> None:
    """CSV and Parquet of a frame, made when somebody asks."""
    if not desk.viewer.may("export") or frame.empty:
        return
    with st.popover(desk.t("export"), icon=":material/download:", type="tertiary", width="content"):
        st.download_button(
            "CSV", lambda: frame.to_csv(index=False).encode(), f"{key}.csv", "text/csv", key=f"csv-{key}", on_click="ignore"
        )
        st.download_button("Parquet", lambda: _parquet(frame), f"{key}.parquet", key=f"parquet-{key}", on_click="ignore")


def _parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()
