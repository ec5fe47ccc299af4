"""Request: the one record of a request, on one line of time."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from analytics.baseline import Baseline, baselines
from analytics.nearby import around
from analytics.record import Record, load
from analytics.stores.local import event_ns
from console import figures, service
from console.address import keep, write
from console.causes import causes
from console.data import store
from console.desk import Desk
from console.evidence import good_twin, judgement, similar_failures, sync_curve
from console.links import links
from console.table import chart, table
from console.waiting import kept, soon
from console.widgets import advice_words

NEAR = 8
"""Events of the same replica or host that are shown before and after the end."""


def page(desk: Desk) -> None:
    """Draws the page for the id in the URL."""
    st.header(desk.t("request"))
    id = write("request", desk.t("request_id"), placeholder="request_id, job_id, trace_id")
    if not id:
        _newest(desk)
        return
    record = load(store(), id, department=desk.viewer.department)
    if record is None:
        st.error(desk.t("no_such_request", id=id))
        return
    usual = kept(desk, "baselines", id, record.finished, work=lambda: _baselines(desk, record))
    _verdict(desk, record)
    causes(desk, record)
    left, right = st.columns([3, 2])
    with left:
        _time_line(desk, record, usual)
        _parameters(desk, record)
    with right:
        _video(desk, record)
        if record.finished:
            sync_curve(desk, record)
        judgement(desk, record)
    if record.finished:
        with st.expander(desk.t("good_twin"), expanded=bool(record.request.get("error_type"))):
            good_twin(desk, record)
        if record.request.get("status") == "error":
            with st.expander(desk.t("similar"), expanded=True):
                similar_failures(desk, record)
    with st.expander(desk.t("surrounding")):
        _surrounding(desk, record)
    with st.expander(desk.t("everything")):
        st.json(record.as_dict(), expanded=1)


def _baselines(desk: Desk, record: Record) -> list[Baseline]:
    with desk.view() as view:
        return baselines(view, record.request)


def _newest(desk: Desk) -> None:
    st.caption(desk.t("newest"))
    columns = ["request_id", "started_at", "status", "error_type", "inference_steps", "audio_drift_ms", "latency_s"]
    found = kept(desk, "newest", work=lambda: desk.frame(columns, limit=20))
    event = table(desk, "newest", found, on_select="rerun", selection_mode="single-row")
    if event.selection.rows:
        keep("request", found["request_id"].iloc[event.selection.rows[0]])
        st.rerun()


def _verdict(desk: Desk, record: Record) -> None:
    row = record.request
    if not record.finished:
        st.info(desk.t("still_running"), icon=":material/hourglass_top:")
        return
    if row.get("error_type"):
        st.error(
            f"**{row['error_type']}** · {row.get('failed_stage', '')} · {row.get('error_message', '')}", icon=":material/error:"
        )
    drift = "–" if row.get("audio_offset_ms") is None else f"{row['audio_offset_ms']:+.0f} ms"
    columns = st.columns(5)
    columns[0].metric("status", row.get("status", "–"))
    columns[1].metric("audio_offset_ms", drift, help=desk.t("offset_help"))
    confidence = _number(row.get("sync_confidence"), "{:.2f}")
    columns[2].metric("sync_confidence", confidence, row.get("sync_reason"), "off", delta_arrow="off")
    columns[3].metric("duration_drift_ms", _number(row.get("duration_drift_ms"), "{:+.0f} ms"))
    columns[4].metric("latency_s", _number(row.get("latency_s"), "{:.2f} s"))
    for code in row.get("advice") or []:
        st.warning(advice_words(code, row, desk), icon=":material/lightbulb:")
    for label, href in links(row):
        st.link_button(label, href, icon=":material/open_in_new:")


def _time_line(desk: Desk, record: Record, usual: list[Baseline]) -> None:
    title = desk.t("what_happened")
    if not record.spans:
        st.subheader(title, anchor=False)
        st.info(desk.t("no_spans"))
        return
    origin = min(span.start_ns for span in record.spans)
    sentences = {one.stage: one.said(desk.language) for one in usual}
    spans = pd.DataFrame(
        {"name": span.name, "start_ms": (span.start_ns - origin) / 1e6, "ms": span.ms, "status": span.status,
         "usual": sentences.get(span.name, "")} for span in sorted(record.spans, key=lambda one: one.start_ns)
    )  # fmt: skip
    events = pd.DataFrame(
        [{"at_ms": (event_ns(event) - origin) / 1e6, "text": _words(event)} for event in record.events], columns=["at_ms", "text"]
    )
    chart(desk, "waterfall", figures.waterfall(spans, events, "ms"), spans, title=title)
    for one in usual:
        if one.verdict in ("slow", "fast"):
            st.warning(one.said(desk.language), icon=":material/timer:")
    known = [one for one in usual if one.verdict != "too few"]
    if not known:
        st.caption(desk.t("too_few_like_it"))
        return
    rows = [
        {"stage": one.stage, "ms": one.ms, desk.t("usual"): f"{one.low_ms:.0f}–{one.high_ms:.0f}", "n": one.n,
         desk.t("compared_with_usual"): desk.t(f"verdict_{one.verdict}")} for one in known
    ]  # fmt: skip
    table(desk, "baselines", pd.DataFrame(rows))


def _parameters(desk: Desk, record: Record) -> None:
    st.subheader(desk.t("what_was_asked"), anchor=False)
    parts: tuple[Any, ...] = ("parameter", "outcome", "identity")
    for tab, part in zip(st.tabs([desk.t(f"kind_{part}") for part in parts]), parts, strict=True):
        with tab:
            rows = [{"name": name, "value": str(value)} for name, value in record.part(part).items()]
            table(desk, part, pd.DataFrame(rows, columns=["name", "value"]))


def _video(desk: Desk, record: Record) -> None:
    st.subheader(desk.t("how_good"))
    id = record.request.get("request_id")
    found = service.video(desk.viewer, id) if id and record.request.get("status") == "ok" else None
    if found is None:
        small = service.thumbnail(id) if id else None
        if small is not None:
            st.image(small)
        st.info(desk.t("no_video"))
        return
    st.video(found)


def _surrounding(desk: Desk, record: Record) -> None:
    if not record.events:
        return
    last, whose = record.events[-1]["event_id"], desk.viewer.department
    near = soon(desk, "near", last, work=lambda: around(store().logs, record, NEAR, department=whose))
    if near is None:
        return
    table(desk, "near", near.select(["logged_at", "event_type", "request_id", "error_type", "replica", "process_pid"]).to_pandas())


def _words(event: dict[str, Any]) -> str:
    notes = [str(event[name]) for name in ("input", "advice_code", "error_type") if event.get(name)]
    return " ".join([event["event_type"], *notes])


def _number(value: float | None, shape: str) -> str:
    return "–" if value is None else shape.format(value)
