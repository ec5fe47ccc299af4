"""Audit: who asked for what and who saw it, to be filtered, taken away, and proved unchanged."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pandas as pd
import streamlit as st

from console import service
from console.address import address, choose, go, keep, write
from console.desk import Desk

ACTIONS = ("generate", "retry", "recognize", "ended", "cancel", "score", "video", "link", "erased", "export")
COLUMNS = ("seq", "at", "action", "who", "of", "department", "request_id", "state", "error_type", "consent_reference", "more")
MEDIA = {"csv": "text/csv", "jsonl": "application/x-ndjson"}
_VERDICT = "audit-verdict"


def page(desk: Desk) -> None:
    """Draws the filters, the proof, and a page of the entries."""
    st.header(desk.t("audit"))
    if not desk.viewer.may("audit"):
        st.error(desk.t("may_not_audit"))
        return
    st.caption(desk.t("audit_about"))
    asked = _asked(desk)
    with st.container(horizontal=True, vertical_alignment="center"):
        for format, media in MEDIA.items():
            st.download_button(
                format.upper(), lambda format=format: service.audit_file(desk.viewer, format, **asked), f"audit.{format}", media,
                key=f"audit-{format}", icon=":material/download:", on_click="ignore",
            )  # fmt: skip
        verify = st.button(desk.t("audit_verify"), icon=":material/verified_user:", key="audit-verify")
    try:
        if verify:
            with st.spinner(desk.t("analysing")):
                st.session_state[_VERDICT] = service.audit_verify(desk.viewer)
        _verdict(desk)
        found = service.audit(desk.viewer, **asked, before=address().get("before"))
    except service.ServiceError as error:
        st.error(str(error))
        return
    _entries(desk, found)


def _asked(desk: Desk) -> dict[str, Any]:
    """What the service is asked for: the range of the page and what is chosen here."""
    first, second, third, fourth = st.columns(4)
    with first:
        department = write("department", desk.t("audit_department"))
    with second:
        who = write("who", desk.t("audit_who"))
    with third:
        owner = write("owner", desk.t("audit_owner"))
    with fourth:
        action = choose("action", desk.t("audit_action"), ["", *ACTIONS], default="", show=lambda one: one or desk.t("audit_any"))
    times = {"since": _iso(desk.since_ns), "until": _iso(desk.until_ns)}
    return {"department": department, "who": who, "owner": owner, "action": action, **times}


def _verdict(desk: Desk) -> None:
    told = st.session_state.get(_VERDICT)
    if told is None:
        return
    if told["holds"]:
        seq, hash = told["head"]
        words = desk.t("audit_holds", entries=told["entries"], erased=told["erased"], seq=seq)
        st.success(f"{words} `{hash}`", icon=":material/verified_user:")
        return
    first = told["first_fault"]
    words = desk.t("audit_broken", seq=first["seq"], what=first["what"], count=len(told["faults"]))
    st.error(words, icon=":material/gpp_bad:")
    st.button(desk.t("audit_show"), key="audit-show", on_click=_show, args=(first["seq"],))


def _show(seq: int) -> None:
    """Chooses the entries up to this one, whoever and whenever they are about. Before the run: a widget's own state goes first."""
    st.session_state.update({"choose-since": "all", "choose-action": ""})
    st.session_state.update({f"write-{name}": "" for name in ("department", "who", "owner")})
    keep("before", seq + 1)


def _entries(desk: Desk, found: dict[str, Any]) -> None:
    st.subheader(desk.t("audit_entries"), anchor=False)
    entries = found["entries"]
    if not entries:
        st.caption(desk.t("audit_none"))
    else:
        frame = pd.DataFrame([_row(entry) for entry in entries], columns=list(COLUMNS))
        event = st.dataframe(
            frame, hide_index=True, key="table-audit", placeholder="–", on_select="rerun", selection_mode="single-row"
        )
        if event.selection.rows and (id := entries[event.selection.rows[0]].get("request_id")):
            go("request", request=id)
    with st.container(horizontal=True):
        if found["next_before"] is not None and st.button(desk.t("audit_older"), key="audit-older"):
            keep("before", found["next_before"])
            st.rerun()
        if "before" in address() and st.button(desk.t("audit_newest"), key="audit-newest"):
            keep("before", None)
            st.rerun()


def _row(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry as a row; what has no column of its own stands in `more`."""
    more = ", ".join(f"{name} {value}" for name, value in entry.items() if name not in COLUMNS)
    return {**entry, "at": datetime.fromtimestamp(entry["at"], UTC).strftime("%Y-%m-%d %H:%M:%S"), "more": more}


def _iso(ns: int | None) -> str | None:
    return None if ns is None else datetime.fromtimestamp(ns / 1e9, UTC).isoformat()
