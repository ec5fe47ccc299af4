"""What the door notes of a request: names only where they are asked for."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path

import pytest
from starlette.requests import Request

from deployments.artifacts import artifacts_at
from serve.admission import Admission, preferred_wait_s
from serve.jobs import JobTable
from serve.settings import Settings
from serve.uploads import AssetStore
from telemetry.ids import new_traceparent, uuid7
from telemetry.redact import Redactor
from telemetry.segments import read_lines
from telemetry.tracing import setup


def request(headers: dict[str, str], body: bytes = b"") -> Request:
    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body, "more_body": False}

    raw = [(key.lower().encode(), value.encode()) for key, value in headers.items()]
    state = {"request_id": uuid7(), "traceparent": new_traceparent(), "parent": None, "client_request_id": None}
    scope = {"type": "http", "method": "POST", "path": "/", "headers": raw, "state": state, "client": ("127.0.0.1", 1)}
    return Request(scope, receive)


def form() -> tuple[dict[str, str], bytes]:
    """A multipart form with two named files."""
    body = io.BytesIO()
    for field, name in (("portrait", "百灵.png"), ("audio", "speech.wav")):
        body.write(f'--b\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n\r\nx{field}\r\n'.encode())
    body.write(b"--b--\r\n")
    return {"content-type": "multipart/form-data; boundary=b", "content-length": str(body.tell())}, body.getvalue()


@pytest.mark.parametrize("keep", [False, True])
def test_names_are_in_the_events_only_where_they_are_to_be_kept(tmp_path: Path, keep: bool) -> None:
    settings = Settings(data_dir=tmp_path, redact_keep_names=keep)
    settings.prepare()
    table, telemetry = JobTable(settings.jobs_url), setup("test", tmp_path)
    door = Admission(settings, table, AssetStore(artifacts_at(settings.place)), telemetry, Redactor(b"k" * 32))
    job_id = asyncio.run(door.accept(request(*form())))
    telemetry.shutdown()
    event = json.loads(next(read_lines(settings.journal_dir, "events")))
    assert event["event_type"] == "request_received"
    assert event.get("portrait_name") == ("百灵.png" if keep else None)
    assert ("bailing" in event.get("portrait_keys", [])) is keep
    job = table.get(job_id)
    assert job is not None
    assert "portrait_name" not in job["values"]
    assert [row["name"] for row in table.find_assets("bailing")] == ["百灵.png"]


@pytest.mark.parametrize(
    ("header", "wait"), [("", None), ("respond-async", 0.0), ("wait=5", 5.0), ("respond-async, wait=2", 2.0), ("wait=soon", None)]
)
def test_prefer_says_how_long_the_client_waits(header: str, wait: float | None) -> None:
    assert preferred_wait_s(request({"prefer": header})) == wait
