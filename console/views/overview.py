"""Overview: is the service well, and what changed?"""

from __future__ import annotations

import streamlit as st

from analytics.health import DRIFT_MS, Health, Period, health
from console import figures
from console.desk import Desk
from console.table import chart, table
from console.waiting import soon

REFRESH_S = 5


def page(desk: Desk) -> None:
    """Draws the page; the numbers come anew by themselves."""
    st.header(desk.t("overview"))
    st.fragment(_live, run_every=REFRESH_S)(desk)


def _live(desk: Desk) -> None:
    desk = desk.fresh()
    found = soon(desk, "health", work=lambda: _health(desk))
    if found is None:
        return
    _numbers(desk, found)
    left, right = st.columns(2)
    with left:
        limit = f"{DRIFT_MS:g}"
        names = {"ok": desk.t("rest_ended_well"), "failed": desk.t("failed"), "drifted": desk.t("drifted", limit=limit)}
        over_time = found.over_time.to_pandas()
        figure = figures.bars_over_time(over_time, names, desk.t("requests"))
        chart(desk, "over_time", figure, over_time, title=desk.t("over_time"))
    with right:
        drift = found.drift.to_pandas()
        if drift.empty:
            st.subheader("audio_drift_ms", anchor=False)
            st.info(desk.t("nothing_measured"))
        else:
            figure = figures.histogram(drift, DRIFT_MS, "ms", desk.t("requests"), desk.t("beyond", limit=limit))
            chart(desk, "drift", figure, drift, title="audio_drift_ms")
    left, right = st.columns(2)
    with left:
        stages = found.stages.to_pandas().rename(columns={"stage": desk.t("stage")})
        table(desk, "stages", stages.round(1), title=desk.t("by_stage"))
    with right:
        errors = found.errors.to_pandas()
        if errors.empty:
            st.subheader(desk.t("top_errors"), anchor=False)
            st.success(desk.t("no_errors"))
        else:
            formats = {"share": st.column_config.NumberColumn(format="percent")}
            table(desk, "errors", errors, title=desk.t("top_errors"), column_config=formats)


def _health(desk: Desk) -> Health:
    with desk.board.view() as view:
        return health(view, desk.where, desk.since_ns, desk.until_ns)


def _numbers(desk: Desk, found: Health) -> None:
    now, before = found.now, found.before
    columns = st.columns(5)
    columns[0].metric(desk.t("requests"), f"{now.requests:,}", _more(now.requests, before and before.requests, "{:+,}"), "off")
    columns[1].metric(desk.t("ended_well"), _percent(now.ended_well), _points(now, before, "ended_well"))
    columns[2].metric(
        desk.t("latency_p95"),
        _seconds(now.latency_p95_s),
        _more(now.latency_p95_s, before and before.latency_p95_s, "{:+.2f} s"),
        "inverse",
    )
    columns[3].metric(desk.t("drifted", limit=f"{DRIFT_MS:g}"), _percent(now.drifted), _points(now, before, "drifted"), "inverse")
    columns[4].metric(desk.t("not_sure"), _percent(now.not_sure), _points(now, before, "not_sure"), "off")
    p50, p99 = _seconds(now.latency_p50_s), _seconds(now.latency_p99_s)
    rest = desk.t("overview_rest", p50=p50, p99=p99, measured=_percent(now.measured), cancelled=now.cancelled)
    st.caption(f"{rest} {desk.t('nothing_before' if before is None else 'small_figures')}")


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f} s"


def _points(now: Period, before: Period | None, name: str) -> str | None:
    new, old = getattr(now, name), getattr(before, name) if before else None
    return None if new is None or old is None else f"{(new - old) * 100:+.1f} pp"


def _more(new: float | None, old: float | None, shape: str) -> str | None:
    return None if new is None or old is None else shape.format(new - old)
