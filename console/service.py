"""The running service as the console uses it: generate, follow, cancel, fetch, score."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import httpx
import streamlit as st

from console.access import Viewer
from console.data import data_dir

_TIMEOUT = httpx.Timeout(30.0, connect=3.0)
_PATIENT = httpx.Timeout(300.0, connect=3.0)
"""For looking at the whole audit trail."""

KEPT_BYTES = 64 * 2**20
"""Of videos in a session's memory; a 10 s clip at 512 px has 0.5 MB."""


class ServiceError(Exception):
    """What the service refused, or that none answers; the message says what to do."""


def url() -> str | None:
    """The service's address: SONOSCOPE_URL, else what `up` wrote into the data folder; None where nothing runs."""
    if given := os.environ.get("SONOSCOPE_URL"):
        return given.rstrip("/")
    try:
        return json.loads((data_dir() / "run.json").read_text())["url"]
    except (OSError, ValueError, KeyError):
        return None


def submit(viewer: Viewer, files: Mapping[str, tuple[str, bytes]], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Hands a generation in and returns the job. Raises ServiceError."""
    return _call(viewer, "POST", "/generate", files=dict(files), data=dict(parameters), headers={"Prefer": "respond-async"})


def job(viewer: Viewer, job_id: str) -> dict[str, Any]:
    """A job by job or request id. Raises ServiceError."""
    return _call(viewer, "GET", f"/jobs/{job_id}")


def cancel(viewer: Viewer, job_id: str) -> dict[str, Any]:
    """Stops a job at its next step. Raises ServiceError."""
    return _call(viewer, "DELETE", f"/jobs/{job_id}")


def score(viewer: Viewer, request_id: str, user_score: int, user_comment: str | None) -> None:
    """Leaves a person's judgement. Raises ServiceError."""
    _call(viewer, "POST", f"/requests/{request_id}/score", json={"user_score": user_score, "user_comment": user_comment})


def audit(viewer: Viewer, /, **asked: Any) -> dict[str, Any]:
    """A page of the audit trail, the newest entries first: `entries` and `next_before`. Raises ServiceError."""
    return _call(viewer, "GET", "/audit", params=_given(asked))


def audit_file(viewer: Viewer, format: str, /, **asked: Any) -> bytes:
    """All chosen entries of the audit trail as CSV or JSON lines. Raises ServiceError."""
    return _ask(viewer, "GET", "/audit/export", params={"format": format, **_given(asked)}, timeout=_PATIENT).content


def audit_verify(viewer: Viewer) -> dict[str, Any]:
    """What a look at the whole audit trail finds: `holds`, `first_fault`, `head`, … Raises ServiceError."""
    return _call(viewer, "GET", "/audit/verify", timeout=_PATIENT)


def video(viewer: Viewer, request_id: str) -> bytes | None:
    """The finished file: from the data folder where it lies there, else from the service; None where neither has it.

    For people who log in always from the service: its audit trail says who has seen what. Once a session.
    """
    path = data_dir() / "videos" / f"{request_id}.mp4"
    if viewer.standing != "known":
        return path.read_bytes() if path.is_file() else _served(viewer, request_id)
    seen: dict[str, bytes] = st.session_state.setdefault("videos", {})
    if request_id not in seen and (found := _served(viewer, request_id)) is not None:
        while seen and sum(map(len, seen.values())) + len(found) > KEPT_BYTES:
            del seen[next(iter(seen))]
        seen[request_id] = found
    return seen.get(request_id)


def _served(viewer: Viewer, request_id: str) -> bytes | None:
    base = url()
    if base is None:
        return None
    try:
        answer = httpx.get(f"{base}/videos/{request_id}.mp4", timeout=_TIMEOUT, headers=_shown(viewer))
    except httpx.TransportError:
        return None
    return answer.content if answer.status_code == 200 else None


def thumbnail(request_id: str) -> bytes | None:
    """A small picture of a video that is not kept itself; None where there is none."""
    path = data_dir() / "thumbnails" / f"{request_id}.jpg"
    return path.read_bytes() if path.is_file() else None


def _shown(viewer: Viewer) -> dict[str, str]:
    """The header that shows the service who asks: the person's own token, so that its roles hold there, too, and its audit trail
    names the person; without log-in the key of $SONOSCOPE_API_KEY.
    """
    given = viewer.token if viewer.standing == "known" else os.environ.get("SONOSCOPE_API_KEY")
    return {"Authorization": f"Bearer {given}"} if given else {}


def _given(asked: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in asked.items() if value not in (None, "")}


def _call(viewer: Viewer, method: str, path: str, **more: Any) -> dict[str, Any]:
    return _ask(viewer, method, path, **more).json()


def _ask(viewer: Viewer, method: str, path: str, *, timeout: httpx.Timeout = _TIMEOUT, **more: Any) -> httpx.Response:
    base = url()
    if base is None:
        raise ServiceError("No service runs here: start one with `sonoscope up -d`.")
    try:
        headers = _shown(viewer) | dict(more.pop("headers", {}))
        answer = httpx.request(method, base + path, timeout=timeout, headers=headers, **more)
    except httpx.TransportError as error:
        raise ServiceError(f"{base} does not answer ({type(error).__name__}): `sonoscope up -d` starts the service.") from error
    if answer.status_code == 401 and viewer.standing == "known":
        raise ServiceError("Your log-in is over for the service: log out and in again. · 登录已过期，请重新登录。")
    if answer.is_error:
        refused = answer.json().get("error", {})
        raise ServiceError(" ".join(filter(None, (refused.get("message"), refused.get("hint")))) or f"HTTP {answer.status_code}")
    return answer
