"""A job as its clients see it: in answers, in server-sent events, in webhooks."""

from __future__ import annotations

from datetime import UTC, datetime

from serve import jobs
from serve.schema import ErrorBody, JobAnswer, generate_answer

_COLUMNS = ("job_id", "request_id", "state", "stage", "step", "steps", "frames", "frames_total", "attempt", "cancel_requested")


def video_url(request_id: str) -> str:
    """Where a result is fetched."""
    return f"/videos/{request_id}.mp4"


def job_answer(row: jobs.Row, position: int | None = None, expected_s: float | None = None) -> JobAnswer:
    """The row as an answer. `position`: jobs before it in the queue; `expected_s`: seconds until it ends."""
    error = row["error"]
    trace_id = row["traceparent"].split("-")[1]
    there = row["state"] == jobs.SUCCEEDED and row["removed_ns"] is None
    return JobAnswer(
        **{name: row[name] for name in _COLUMNS},
        trace_id=trace_id,
        queue_position=position,
        expected_s=None if expected_s is None else round(expected_s, 1),
        accepted_at=_iso(row["accepted_ns"]) or "",
        started_at=_iso(row["started_ns"]),
        ended_at=_iso(row["ended_ns"]),
        removed_at=_iso(row["removed_ns"]),
        result=generate_answer(row["result"], video_url(row["request_id"])) if there else None,
        error=None if error is None else ErrorBody(**error, trace_id=trace_id),
    )


def _iso(ns: int | None) -> str | None:
    return None if ns is None else datetime.fromtimestamp(ns / 1e9, UTC).isoformat()
