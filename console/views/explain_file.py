"""Explain a file: one drops a video and reads what is wrong with it, what is like it, what they share, and how to confirm it."""

from __future__ import annotations

import hashlib
import shlex
from typing import Any

import pandas as pd
import streamlit as st

from console import figures
from console.address import go
from console.desk import Desk
from console.explaining import ExplainError, explain

SHOWN = 3
"""Causes that are drawn: in the drill the true one was hardly ever behind the third."""


def page(desk: Desk) -> None:
    """Draws the place to drop a file, and its explanation below."""
    st.header(desk.t("explain_file"))
    dropped = st.file_uploader(desk.t("drop_video"), type=["mp4", "mov", "m4v", "mkv", "webm"], key="dropped")
    if dropped is None:
        st.info(desk.t("explain_file_hint"), icon=":material/upload_file:")
        return
    video = dropped.getvalue()
    left, right = st.columns([2, 3])
    with left:
        st.video(video)
    with right:
        try:
            with st.spinner(desk.t("explaining")):
                told = _told(video, desk)
        except ExplainError as error:
            st.error(f"{desk.t('not_explained')} {error}")
            return
        _sentences(desk, told)
    for number, cause in enumerate(told["causes"][:SHOWN]):
        _cause(desk, cause, number)
    with st.expander(desk.t("queries")):
        st.code("\n\n".join(f"-- {one['says']}: {one['result']}\n{one['sql']};" for one in told["queries"]), language="sql")


def _told(video: bytes, desk: Desk) -> dict[str, Any]:
    """The answer, kept for this session and these rows: a click elsewhere on the page asks nothing again."""
    key = (hashlib.sha256(video).hexdigest(), desk.key)
    if st.session_state.get("explained_key") != key:
        st.session_state["explained"] = explain(video, desk.viewer.department)
        st.session_state["explained_key"] = key
    return st.session_state["explained"]


def _sentences(desk: Desk, told: dict[str, Any]) -> None:
    causes = {cause[_key("sentence", desk)] for cause in told["causes"]}
    lines = [line for line in told[_key("sentences", desk)] if line not in causes]
    st.markdown(f"**{_plain(lines[0])}**")
    command = shlex.join(["sonoscope", "replay", *told["confirm"]]) if told["confirm"] else None
    for line in lines[1:]:
        if command is None or command not in line:
            st.markdown(_plain(line))
    if command:
        st.caption(desk.t("to_confirm"))
        st.code(command, language="bash", wrap_lines=True)
    twin = (told.get("twin") or {}).get("twin")
    with st.container(horizontal=True):
        for key, id in (("open_record", told["request_id"]), ("open_good_twin", twin)):
            if id and st.button(desk.t(key), key=f"explained-{key}"):
                go("request", request=id)


def _cause(desk: Desk, cause: dict[str, Any], number: int) -> None:
    with st.container(border=True):
        left, right = st.columns([3, 2])
        left.markdown(f"**{number + 1}.** {_plain(cause[_key('sentence', desk)])}")
        if cause["elsewhere"]:
            shares = [cause["bad_here"] / max(1, cause["here"]), cause["bad_elsewhere"] / cause["elsewhere"]]
            rows = pd.DataFrame({"group": [desk.t("in_the_place"), desk.t("elsewhere")], "share": shares})
            right.plotly_chart(figures.shares(rows), key=f"cause-{number}", config={"displayModeBar": False})


def _key(name: str, desk: Desk) -> str:
    return f"{name}_zh" if desk.language == "zh" else name


def _plain(words: str) -> str:
    """A file's and a client's words as they are: nothing in them is markup."""
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]<>#$~|" else letter for letter in words)
