"""Generate: a portrait and a recording in, the job followed step by step, the video and its record out."""

from __future__ import annotations

from typing import Any

import streamlit as st

from analytics.record import load
from console import service
from console.address import address, go, keep
from console.data import store
from console.desk import Desk
from console.widgets import advice, parameter
from telemetry import fields

POLL_S = 0.5
OWN = "own-jobs"
"""Where a session keeps the jobs that it may follow."""
FINAL = ("succeeded", "failed", "cancelled")
_STEPS = {"load_audio": 0.05, "preprocess_image": 0.1, "run_inference": 0.15, "encode_video": 0.2, "measure_sync": 0.95}


def page(desk: Desk) -> None:
    """Draws the form, and the job of the URL below it."""
    st.header(desk.t("generate"))
    if not desk.viewer.may("generate"):
        st.error(desk.t("may_not_generate"))
        return
    left, right = st.columns([1, 1])
    with left:
        _form(desk)
    with right:
        if job_id := address().get("job"):
            st.fragment(_follow, run_every=POLL_S if not st.session_state.get(f"done-{job_id}") else None)(desk, job_id)
        else:
            st.info(desk.t("generate_hint"), icon=":material/movie:")


def _form(desk: Desk) -> None:
    portrait = st.file_uploader(desk.t("portrait"), type=["png", "jpg", "jpeg", "webp", "bmp", "tif", "tiff"], key="portrait")
    audio = st.file_uploader(desk.t("audio"), type=["wav", "mp3", "flac", "ogg", "m4a", "aac", "opus"], key="audio")
    shown, hidden = fields.PARAMETERS[:4], fields.PARAMETERS[4:]
    values: dict[str, Any] = {}
    for number, column in enumerate(st.columns(2)):
        with column:
            values |= {field.name: parameter(field) for field in shown[number::2]}
    with st.expander(desk.t("more_parameters")):
        values |= {field.name: parameter(field) for field in hidden}
    values = {name: value for name, value in values.items() if value is not None}
    for line in advice(values, desk):
        st.warning(line, icon=":material/lightbulb:")
    ready = portrait is not None and audio is not None
    if st.button(desk.t("start"), type="primary", disabled=not ready) and portrait is not None and audio is not None:
        files = {"portrait": (portrait.name, portrait.getvalue()), "audio": (audio.name, audio.getvalue())}
        try:
            job = service.submit(desk.viewer, files, {name: _form_value(value) for name, value in values.items()})
        except service.ServiceError as error:
            st.error(str(error))
            return
        st.session_state.setdefault(OWN, set()).add(job["job_id"])
        keep("job", job["job_id"])
        st.rerun()


def _follow(desk: Desk, job_id: str) -> None:
    try:
        job = service.job(desk.viewer, job_id)
    except service.ServiceError as error:
        st.error(str(error))
        return
    if not _own(desk, job):
        st.error(desk.t("no_such_request", id=job_id))
        return
    if job["state"] not in FINAL:
        _progress(desk, job)
        return
    if not st.session_state.get(f"done-{job_id}"):
        st.session_state[f"done-{job_id}"] = True
        st.rerun()
    _result(desk, job)


def _own(desk: Desk, job: dict[str, Any]) -> bool:
    """Whether the viewer may see a job: a service that asks for no key would show any to whoever knows its id."""
    if desk.viewer.department is None or job["job_id"] in st.session_state.get(OWN, ()):
        return True
    if load(store(), job["request_id"], department=desk.viewer.department) is None:
        return False
    st.session_state.setdefault(OWN, set()).add(job["job_id"])
    return True


def _progress(desk: Desk, job: dict[str, Any]) -> None:
    if job["state"] == "queued":
        st.progress(0.0, desk.t("queued", position=job.get("queue_position") or "?"))
    else:
        done = (job.get("frames") or 0) / job["frames_total"] if job.get("frames_total") else 0.0
        share = max(_STEPS.get(job.get("stage") or "", 0.0), 0.2 + 0.75 * done if done else 0.0)
        step = f"{job['step']}/{job['steps']}" if job.get("steps") else ""
        st.progress(min(share, 1.0), f"{job.get('stage')} {step}  {job.get('frames') or 0}/{job.get('frames_total') or '?'}")
    if st.button(desk.t("cancel"), key="cancel"):
        try:
            service.cancel(desk.viewer, job["job_id"])
        except service.ServiceError as error:
            st.error(str(error))


def _result(desk: Desk, job: dict[str, Any]) -> None:
    if job["state"] == "succeeded":
        st.success(desk.t("done"))
        if (found := service.video(desk.viewer, job["request_id"])) is not None:
            st.video(found)
    elif job["state"] == "failed":
        error = job["error"]
        st.error(f"**{error['type']}** · {error['message']}\n\n{error.get('hint') or ''}")
    else:
        st.warning(desk.t("cancelled"))
    if st.button(desk.t("open_record"), key="open-record"):
        go("request", request=job["request_id"])


def _form_value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
