"""Compare: videos over one or two parameters, all at the same moment of the speech, or two of them in step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import streamlit as st

from analytics.compare import inputs, newest
from console import service
from console.address import choose, choose_several
from console.desk import Desk
from console.sheet import BIGGEST, Clip, contact_sheet
from console.table import table
from console.waiting import kept
from telemetry import fields

MOST = 12
"""Videos on one sheet: more are not compared by eye, and each is in the page as a whole."""
VERSIONS = ("service_version", "model_version")
"""What videos are compared over beside their parameters."""
_SHOWN = ("audio_offset_ms", "lip_match", "duration_drift_ms", "latency_s")


def page(desk: Desk) -> None:
    """Draws the sheet of the chosen parameters, of one input at a time."""
    st.header(desk.t("compare"))
    counts = kept(desk, "inputs", work=lambda: _inputs(desk))
    if not counts:
        st.info(desk.t("nothing_to_compare"))
        return
    names = [*fields.names("parameter"), *VERSIONS]
    left, middle, right = st.columns(3)
    with left:
        chosen = choose("input", desk.t("one_input"), list(counts), show=lambda one: f"{one} ({counts[one]})") or ""
    with middle:
        across = choose("across", desk.t("across"), names, default="inference_steps") or names[0]
    with right:
        down = choose("down", desk.t("down"), ["", *(name for name in names if name != across)], default="")
    keys = [name for name in (down, across) if name]
    found = kept(desk, "videos", chosen, *keys, work=lambda: _newest(desk, chosen, keys))
    rows = found.to_pylist()
    _sheet(desk, rows, keys, columns=len({row[across] for row in rows}))
    picked = choose_several("two", desk.t("two_in_step"), [row["request_id"] for row in rows], max_selections=2)
    if len(picked) == 2:
        in_step(desk, [row for row in rows if row["request_id"] in picked], keys)
    table(desk, "compare", found.to_pandas())


def in_step(desk: Desk, rows: Sequence[dict[str, Any]], keys: list[str]) -> None:
    """Two videos (or a few more) beside each other, with the values of `keys` above the outcomes of each."""
    _sheet(desk, rows[:MOST], keys, columns=2)


def _inputs(desk: Desk) -> dict[str, int]:
    with desk.view() as view:
        return {row["input"]: row["count"] for row in inputs(view, desk.where).to_pylist()}


def _newest(desk: Desk, input: str, keys: list[str]) -> pa.Table:
    with desk.view() as view:
        return newest(view, desk.where, input, keys, _SHOWN, MOST)


def _sheet(desk: Desk, rows: Sequence[dict[str, Any]], keys: list[str], columns: int) -> None:
    clips: list[Clip] = []
    for row in rows:
        found = service.video(desk.viewer, row["request_id"])
        if found is not None and len(found) <= BIGGEST:
            lines = tuple(f"{name} {row[name]:.3g}" for name in _SHOWN if row.get(name) is not None and row[name] == row[name])
            clips.append(Clip(found, ", ".join(f"{name} {row[name]}" for name in keys), lines))
    if not clips:
        st.info(desk.t("no_videos_here"))
        return
    columns = min(columns, 4, len(clips))
    lines = -(-len(clips) // columns)
    dark = "dark" in (st.context.theme.type, st.get_option("theme.base"))
    sheet = contact_sheet(clips, columns=columns, play=desk.t("play"), moment=desk.t("moment"), dark=dark)
    st.iframe(sheet, height=60 + lines * (820 // columns + 90))
