"""Plotly figures from the tables that analytics returns. Data in, figure out; nothing is computed here."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW, GREY = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#8A8A8A",
)  # fmt: skip
"""Okabe and Ito's palette: told apart by every kind of colour vision (jfly.uni-koeln.de/color)."""
MARKS = 20_000
"""More marks than these make a browser slow; tables are aggregated before they come here."""


def laid_out(figure: go.Figure, *, x: str = "", y: str = "", height: int = 320) -> go.Figure:
    """The figure with axis titles, tight margins and a legend above."""
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 28, "b": 8},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        xaxis_title=x or None,
        yaxis_title=y or None,
        hovermode="closest",
    )
    return figure


def bars_over_time(frame: pd.DataFrame, names: dict[str, str], y: str) -> go.Figure:
    """Stacked counts over `at`: one column a name, with its legend."""
    colours = {"ok": SKY, "failed": RED, "drifted": ORANGE}
    figure = go.Figure(
        [
            go.Bar(x=frame["at"], y=frame[column], name=label, marker_color=colours.get(column, GREY))
            for column, label in names.items()
        ]
    )
    figure.update_layout(barmode="stack", bargap=0.05)
    return laid_out(figure, y=y)


def histogram(frame: pd.DataFrame, limit: float, x: str, y: str, beyond: str) -> go.Figure:
    """Counts in bins (`from_ms`, `to_ms`, the last one open); what lies beyond `limit` has another colour."""
    width = frame["to_ms"].fillna(frame["from_ms"] + 20) - frame["from_ms"]
    colour = [ORANGE if low >= limit else BLUE for low in frame["from_ms"]]
    hover = [
        f"{low:g}–{high:g} ms" if pd.notna(high) else f"≥ {low:g} ms"
        for low, high in zip(frame["from_ms"], frame["to_ms"], strict=True)
    ]
    bars = go.Bar(x=frame["from_ms"] + width / 2, y=frame["count"], width=width * 0.96, marker_color=colour, customdata=hover)
    figure = go.Figure(bars.update(hovertemplate="%{customdata}: %{y}<extra></extra>"))
    figure.add_vline(x=limit, line_dash="dash", line_color=GREY, annotation_text=beyond, annotation_position="top right")
    return laid_out(figure, x=x, y=y)


def waterfall(spans: pd.DataFrame, events: pd.DataFrame, x: str) -> go.Figure:
    """Spans as bars (`name`, `start_ms`, `ms`, `status`, `usual`) and events (`at_ms`, `text`) as ticks on the same time line."""
    figure = go.Figure(
        go.Bar(
            y=spans["name"], x=spans["ms"], base=spans["start_ms"], orientation="h",
            marker_color=[RED if status == "error" else BLUE for status in spans["status"]],
            text=[f"{ms:.0f} ms" for ms in spans["ms"]], textposition="auto", customdata=spans["usual"],
            hovertemplate="%{y}: %{x:.1f} ms<br>%{customdata}<extra></extra>",
        )
    )  # fmt: skip
    if len(events):
        lane = pd.Series([" "] * len(events))
        figure.add_scatter(
            x=events["at_ms"], y=lane, mode="markers", marker={"symbol": "line-ns-open", "size": 14, "color": ORANGE},
            customdata=events["text"], hovertemplate="%{x:.1f} ms %{customdata}<extra></extra>",
        )  # fmt: skip
    figure.update_yaxes(autorange="reversed")
    figure.update_layout(showlegend=False)
    return laid_out(figure, x=x, height=90 + 34 * (len(spans) + 1))


def two_lines(frame: pd.DataFrame, x: str, columns: Sequence[tuple[str, str]], x_title: str, y_title: str) -> go.Figure:
    """Lines over the column `x`; `columns` holds (column, legend)."""
    colours = (BLUE, ORANGE, GREEN, PURPLE)
    lines = [
        go.Scatter(x=frame[x], y=frame[column], name=label, mode="lines", line={"color": colour, "width": 1.6})
        for (column, label), colour in zip(columns, colours, strict=False)
    ]
    return laid_out(go.Figure(lines), x=x_title, y=y_title, height=260)
