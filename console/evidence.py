"""What stands beside a request's video: the mouth against the speech, the good request most like it, what people said of it."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from analytics.questions.of_store import Asked, similar_of, twin_of
from analytics.questions.similar import Similar
from analytics.questions.twin import Twin
from analytics.record import Record
from analytics.sync_curve import read_curve
from console import figures, service
from console.address import go
from console.data import data_dir
from console.desk import Desk
from console.table import chart, table
from console.waiting import soon


def sync_curve(desk: Desk, record: Record) -> None:
    """The mouth and what the sound says of it, the sound moved back by the offset that was found; and the agreement by lag."""
    id, offset = record.request["request_id"], record.request.get("audio_offset_ms")
    curve = read_curve(data_dir() / "videos" / f"{id}.sync.parquet")
    if curve is None:
        return
    motion = curve.motion.to_pandas()
    for name in ("mouth", "expected"):
        motion[name] = (motion[name] - motion[name].mean()) / (motion[name].std() or 1.0)
    motion["time_moved_s"] = motion["time_s"] - (offset or 0.0) / 1000
    figure = figures.mouth_and_speech(motion, desk.t("mouth"), desk.t("speech"))
    chart(desk, "motion", figure, motion, title=desk.t("mouth_and_speech"))
    st.caption(desk.t("moved_by", offset="–" if offset is None else f"{offset:+.0f} ms"))
    lags = curve.lags.to_pandas()
    chart(desk, "lags", figures.agreement(lags, offset, desk.t("lag"), desk.t("agreement")), lags)


def good_twin(desk: Desk, record: Record) -> None:
    """The nearest good request and where the two part, with its video."""
    id = record.request["request_id"]
    asked = soon(desk, "twin", id, work=lambda: _twin(desk, id))
    if asked is None:
        return
    if asked.answer is None:
        st.caption(desk.t("twin_out_of_range"))
        return
    found = asked.answer
    st.markdown(found.sentence(desk.language))
    if asked.sampled:
        st.caption(desk.t("sampled", rows=f"{asked.rows:,}", of=f"{asked.of:,}"))
    if found.twin is None:
        return
    rows = [
        {"field": one.field, "kind": one.kind, "this": str(one.bad), "twin": str(one.good), "unit": one.unit}
        for one in found.fields if one.unlike
    ]  # fmt: skip
    table(desk, "twin", pd.DataFrame(rows, columns=["field", "kind", "this", "twin", "unit"]))
    if (video := service.video(desk.viewer, found.twin)) is not None:
        st.video(video)
    if st.button(desk.t("open_twin"), key="open-twin"):
        go("request", request=found.twin)


def _twin(desk: Desk, id: str) -> Asked[Twin | None]:
    with desk.view() as view:
        return twin_of(view, desk.where, desk.filled(), id)


def similar_failures(desk: Desk, record: Record) -> None:
    """The nearest earlier failures that read the same, and what they have in common."""
    asked = soon(desk, "similar", record.request["request_id"], work=lambda: _similar(desk, record))
    if asked is None:
        return
    if asked.answer is None:
        st.caption(desk.t("twin_out_of_range"))
        return
    st.markdown(asked.answer.sentence(desk.language))
    if asked.sampled:
        st.caption(desk.t("sampled", rows=f"{asked.rows:,}", of=f"{asked.of:,}"))
    if asked.answer.nearest:
        rows = [{**one, "alike": ", ".join(one["alike"])} for one in asked.answer.nearest]
        table(desk, "similar", pd.DataFrame(rows))


def _similar(desk: Desk, record: Record) -> Asked[Similar | None]:
    with desk.view() as view:
        return similar_of(view, desk.where, desk.filled(), record.request)


def judgement(desk: Desk, record: Record) -> None:
    """Thumbs and a comment; the newest judgement counts."""
    given = [event for event in record.events if event["event_type"] == "user_score"]
    if given:
        last = given[-1]
        st.caption(desk.t("judged", score=f"{last['user_score']:+d}", comment=last.get("user_comment") or "–"))
    if not (desk.viewer.may("score") and record.finished):
        return
    with st.form("judge", border=False):
        thumb = st.feedback("thumbs", key="thumb")
        comment = st.text_input(desk.t("comment"), key="comment")
        if st.form_submit_button(desk.t("judge")) and thumb is not None:
            try:
                service.score(desk.viewer, record.request["request_id"], 1 if thumb else -1, comment or None)
            except service.ServiceError as error:
                st.error(str(error))
            else:
                st.toast(desk.t("thanks"))
