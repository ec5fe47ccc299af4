"""Alerts: what fires and since when, what is silent, what was, and how often each known cause held."""

from __future__ import annotations

import sqlite3
import time

import pandas as pd
import streamlit as st

from analytics.alerts.ledger import NAME
from analytics.alerts.schema import Alerts, AlertsError
from analytics.alerts.standing import Standing, of_own, silence, standing
from console import data
from console.address import go
from console.causes import held_causes
from console.desk import Desk
from console.table import table

REFRESH_S = 5
HOURS = (0.5, 1.0, 2.0, 8.0, 24.0, 168.0)
"""How long an alert may be silenced from here."""


def page(desk: Desk) -> None:
    """Draws the page; what fires comes anew by itself."""
    st.header(desk.t("alerts"))
    try:
        config = data.alerts()
    except (AlertsError, OSError) as error:
        st.error(desk.t("alerts_bad", reason=error))
        config = None
    else:
        if config is None:
            st.info(desk.t("alerts_none"), icon=":material/notifications_off:")
    st.fragment(_live, run_every=REFRESH_S)(desk, config)
    if config is not None:
        rows = [
            {"alert": one.id, "where": one.where or f"rule {one.rule}", **one.condition.model_dump(exclude_none=True),
             "window_s": one.window, "group_by": ", ".join(one.group_by), "sinks": ", ".join(one.sinks)} for one in config.alerts
        ]  # fmt: skip
        table(desk, "watched", pd.DataFrame(rows), title=desk.t("alerts_watched"))
    held_causes(desk)


def _live(desk: Desk, config: Alerts | None) -> None:
    now = time.time()
    try:
        found = standing(data.data_dir() / NAME, now)
    except sqlite3.Error as error:
        st.error(desk.t("alerts_unreadable", reason=error))
        return
    if desk.viewer.department is not None:
        found = of_own(found, _own(desk, found))
        st.caption(desk.t("alerts_partly"))
    _firing(desk, found)
    for one in found.undelivered:
        if one["last_error"]:
            st.warning(desk.t("alerts_undelivered", sink=one["sink"], reason=one["last_error"]), icon=":material/outgoing_mail:")
    for one in found.silences:
        st.caption(
            f":material/volume_off: {desk.t('alerts_silent', alert=one['alert'], until=_time(one['until']))} {one['comment']}"
        )
    if config is not None and desk.viewer.may("operate"):
        _silence(desk, config, now)
    history = [{**one, "at": _time(one["at"]), "requests": len(one["requests"])} for one in found.history]
    columns = ["at", "event", "alert", "key", "value", "requests"]
    table(desk, "history", pd.DataFrame(history, columns=columns), title=desk.t("alerts_history"))


def _own(desk: Desk, found: Standing) -> set[str]:
    """Which of the requests that alerts name are among the viewer's rows."""
    named = {id for one in (*found.firing, *found.pending) for id in one.requests}
    named |= {id for one in found.history for id in one["requests"]}
    with desk.board.view() as view:
        rows = view.rows("SELECT request_id FROM requests WHERE list_contains($ids, request_id)", {"ids": sorted(named)})
    return set(rows["request_id"].to_pylist())


def _firing(desk: Desk, found: Standing) -> None:
    if not found.firing:
        st.success(desk.t("alerts_quiet"), icon=":material/check_circle:")
    for one in found.firing:
        what = f"{one.alert} · {one.key}" if one.key else one.alert
        value = "–" if one.value is None else f"{one.value:.4g}"
        with st.container(horizontal=True, vertical_alignment="center"):
            st.error(desk.t("alerts_fires", what=what, since=_time(one.since), value=value), icon=":material/notifications_active:")
            newest = one.requests[-1] if one.requests else None
            if newest and st.button(desk.t("alerts_open"), key=f"open-{one.alert}-{one.key}"):
                go("request", request=newest)


def _silence(desk: Desk, config: Alerts, now: float) -> None:
    with st.form("silence", border=False):
        first, second, third = st.columns([2, 1, 3])
        alert = first.selectbox(desk.t("alerts_one"), ["*", *(one.id for one in config.alerts)], key="silence-alert")
        hours = second.selectbox(desk.t("alerts_hours"), [*HOURS, 0.0], format_func=lambda one: f"{one:g}", key="silence-hours")
        comment = third.text_input(desk.t("comment"), key="silence-comment")
        if st.form_submit_button(desk.t("alerts_silence")):
            signed = f"{comment} ({desk.viewer.name})" if desk.viewer.standing == "known" else comment
            silence(data.data_dir() / NAME, str(alert), now + 3600 * hours, signed)
            st.rerun()


def _time(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at))
