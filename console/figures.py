"""Plotly figures from the tables that analytics returns. Data in, figure out; nothing is computed here."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW, GREY = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#777777",
)  # fmt: skip
"""Okabe and Ito's palette: told apart by every kind of colour vision (jfly.uni-koeln.de/color)."""
FEW = 6
"""Up to here an axis of counts names every number."""


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
            text=[f"{ms:.0f} ms" for ms in spans["ms"]], textposition="auto", cliponaxis=False, customdata=spans["usual"],
            hovertemplate="%{y}: %{x:.1f} ms<br>%{customdata}<extra></extra>",
        )
    )  # fmt: skip
    if len(events):
        lane = pd.Series([" "] * len(events))
        figure.add_scatter(
            x=events["at_ms"], y=lane, mode="markers", marker={"symbol": "line-ns-open", "size": 14, "color": ORANGE},
            customdata=events["text"], hovertemplate="%{x:.1f} ms %{customdata}<extra></extra>",
        )  # fmt: skip
    end = float(np.max(np.asarray(spans["start_ms"]) + np.asarray(spans["ms"])))
    figure.update_xaxes(range=[-0.02 * end, 1.12 * end])  # room for the text behind a short last bar
    figure.update_yaxes(autorange="reversed")
    figure.update_layout(showlegend=False)
    return laid_out(figure, x=x, height=90 + 34 * (len(spans) + 1))


def levels(frame: pd.DataFrame, x: str, y: str) -> go.Figure:
    """`estimate` by `level` with the interval `low` to `high`, and how many (`n`) stand behind each."""
    up, down = frame["high"] - frame["estimate"], frame["estimate"] - frame["low"]
    dots = go.Scatter(
        x=frame["level"].astype(str), y=frame["estimate"], mode="markers", marker={"size": 10, "color": BLUE},
        error_y={"type": "data", "array": up, "arrayminus": down, "color": BLUE}, customdata=frame["n"],
        hovertemplate="%{x}: %{y:.3g}<br>n = %{customdata}<extra></extra>",
    )  # fmt: skip
    figure = laid_out(go.Figure(dots), x=x, y=y)
    figure.update_xaxes(type="category")
    return figure


def scatter(frame: pd.DataFrame, x: str, y: str, step: float | None) -> go.Figure:
    """One dot a request, with its id as custom data; a line where a threshold was found."""
    dots = go.Scattergl(
        x=frame[x], y=frame[y], mode="markers", marker={"size": 5, "color": BLUE, "opacity": 0.45},
        customdata=frame[["request_id"]].to_numpy(), hovertemplate="%{customdata[0]}<br>%{x:.4g}, %{y:.4g}<extra></extra>",
    )  # fmt: skip
    figure = laid_out(go.Figure(dots), x=x, y=y)
    if step is not None:
        figure.add_vline(x=step, line_dash="dash", line_color=RED, annotation_text=f"{step:g}")
    return figure


def heatmap(frame: pd.DataFrame, x: str, y: str, outcome: str) -> go.Figure:
    """Medians over a grid (`x`, `y`, `median`, `count`); empty cells stay empty."""
    cells = frame.pivot(index="y", columns="x", values="median")
    counts = frame.pivot(index="y", columns="x", values="count")
    picture = go.Heatmap(
        x=cells.columns, y=cells.index, z=cells.to_numpy(), customdata=counts.to_numpy(), colorscale="Cividis",
        colorbar={"title": outcome}, hovertemplate="%{x:.3g}, %{y:.3g}: %{z:.3g}<br>n = %{customdata}<extra></extra>",
    )  # fmt: skip
    return laid_out(go.Figure(picture), x=x, y=y)


def tradeoff(frame: pd.DataFrame, cost: str, quality: str) -> go.Figure:
    """Settings by `cost` and `quality` with intervals; the darker, the surer it is on the front; the recommended one is marked."""
    dots = go.Scatter(
        x=frame["cost"], y=frame["quality"], mode="markers",
        marker={"size": 11, "color": frame["on_front"], "colorscale": "Blues", "cmin": 0, "cmax": 1,
                "line": {"width": 1, "color": GREY}},
        error_x={"type": "data", "array": frame["cost_high"] - frame["cost"], "arrayminus": frame["cost"] - frame["cost_low"],
                 "thickness": 1, "color": GREY},
        error_y={"type": "data", "array": frame["high"] - frame["quality"], "arrayminus": frame["quality"] - frame["low"],
                 "thickness": 1, "color": GREY},
        customdata=frame[["settings", "n"]].to_numpy(), name="",
        hovertemplate="%{customdata[0]}<br>%{x:.3g}, %{y:.3g}; n = %{customdata[1]}<extra></extra>",
    )  # fmt: skip
    figure = go.Figure(dots)
    best = frame[frame["recommended"]]
    figure.add_scatter(
        x=best["cost"], y=best["quality"], mode="markers", hoverinfo="skip", showlegend=False,
        marker={"size": 20, "symbol": "circle-open", "color": RED, "line": {"width": 2}},
    )  # fmt: skip
    figure.update_layout(showlegend=False)
    return laid_out(figure, x=cost, y=quality)


def shares(frame: pd.DataFrame) -> go.Figure:
    """Two bars: `share` of each `group`."""
    bars = go.Bar(
        y=frame["group"], x=frame["share"], orientation="h", marker_color=[ORANGE, BLUE],
        text=[f"{share:.1%}" for share in frame["share"]], textposition="auto", hoverinfo="skip",
    )  # fmt: skip
    figure = laid_out(go.Figure(bars), height=110)
    figure.update_xaxes(range=[0, 1], tickformat=".0%")
    figure.update_yaxes(autorange="reversed")
    return figure


def stacked(frame: pd.DataFrame, x: str, y: str, by: str, title: str) -> go.Figure:
    """Stacked bars of `y` over `x`, one colour for each value of `by`."""
    colours = (RED, ORANGE, BLUE, GREEN, PURPLE, SKY, YELLOW, GREY)
    parts = [
        go.Bar(x=part[x], y=part[y], name=str(name), marker_color=colours[number % len(colours)])
        for number, (name, part) in enumerate(frame.groupby(by, sort=False))
    ]
    figure = laid_out(go.Figure(parts), y=title)
    figure.update_layout(barmode="stack", bargap=0.05)
    totals = np.asarray(frame.groupby(x)[y].sum())
    if totals.size and totals.max() < FEW:
        figure.update_yaxes(dtick=1)  # there is no half of a failure
    return figure


def steps(frame: pd.DataFrame, x: str, y: str, x_title: str, y_title: str) -> go.Figure:
    """A line of steps from `x` to `y`; between two points it is at the later one's height, so that it never says too few."""
    line = go.Scatter(x=frame[x], y=frame[y], mode="lines+markers", line={"color": BLUE, "shape": "vh"})
    return laid_out(go.Figure(line), x=x_title, y=y_title, height=240)


def mouth_and_speech(frame: pd.DataFrame, mouth: str, speech: str) -> go.Figure:
    """The mouth over `time_s`, and the speech over `time_moved_s`: where it would be without the offset."""
    lines = [
        go.Scatter(x=frame["time_s"], y=frame["mouth"], name=mouth, mode="lines", line={"color": BLUE, "width": 1.6}),
        go.Scatter(x=frame["time_moved_s"], y=frame["expected"], name=speech, mode="lines", line={"color": ORANGE, "width": 1.6}),
    ]
    return laid_out(go.Figure(lines), x="s", height=220)


def agreement(frame: pd.DataFrame, offset: float | None, x: str, y: str) -> go.Figure:
    """`correlation` by `lag_ms`, with the offset that was found and the bounds at which people notice (ITU-R BT.1359)."""
    line = go.Scatter(x=frame["lag_ms"], y=frame["correlation"], mode="lines", line={"color": BLUE})
    figure = laid_out(go.Figure(line), x=x, y=y, height=200)
    figure.add_vrect(x0=-45, x1=125, fillcolor=GREEN, opacity=0.12, line_width=0)
    if offset is not None:
        figure.add_vline(x=offset, line_color=RED, annotation_text=f"{offset:+.0f} ms")
    return figure


def label_mix(frame: pd.DataFrame, stated: str, unsure: str) -> go.Figure:
    """Bars of `count` by `label`, the most frequent on top; what no label was sure enough for (`low_confidence`) in grey."""
    sure = frame["count"] - frame["low_confidence"]
    parts = [
        go.Bar(y=frame["label"], x=sure, name=stated, orientation="h", marker_color=BLUE),
        go.Bar(y=frame["label"], x=frame["low_confidence"], name=unsure, orientation="h", marker_color=GREY),
    ]
    figure = laid_out(go.Figure(parts), height=90 + 20 * max(6, len(frame)))
    figure.update_layout(barmode="stack", bargap=0.2)
    figure.update_yaxes(autorange="reversed", type="category")
    return figure


def score_bins(frame: pd.DataFrame, floor: float, x: str, y: str, note: str) -> go.Figure:
    """Counts in bins of 0.05 (`from`); what lies below the floor has another colour."""
    colour = [GREY if low < floor else BLUE for low in frame["from"]]
    figure = laid_out(go.Figure(go.Bar(x=frame["from"] + 0.025, y=frame["count"], width=0.048, marker_color=colour)), x=x, y=y)
    figure.add_vline(x=floor, line_dash="dash", line_color=GREY, annotation_text=note, annotation_position="top right")
    figure.update_xaxes(range=[0, 1])
    return figure


def failures_by_folder(frame: pd.DataFrame, failed: str, pictures: str) -> go.Figure:
    """The share of failures (`share`) by `folder` and `hour`; a cell without a picture stays empty."""
    order = list(dict.fromkeys(frame["folder"]))
    share = frame.pivot(index="folder", columns="hour", values="share").reindex(order)
    counts = {name: frame.pivot(index="folder", columns="hour", values=name).reindex(order) for name in ("failed", "pictures")}
    figure = go.Figure(
        go.Heatmap(
            x=share.columns, y=share.index, z=share.to_numpy(), zmin=0, zmax=1, colorscale="Cividis", xgap=1, ygap=1,
            customdata=np.stack([counts["failed"].to_numpy(), counts["pictures"].to_numpy()], axis=-1),
            colorbar={"title": failed, "tickformat": ".0%"},
            hovertemplate="%{y}, %{x}: %{z:.0%}<br>%{customdata[0]} / %{customdata[1]} " + pictures + "<extra></extra>",
        )
    )  # fmt: skip
    figure = laid_out(figure, height=120 + 24 * max(3, len(order)))
    figure.update_yaxes(autorange="reversed", type="category")
    return figure
