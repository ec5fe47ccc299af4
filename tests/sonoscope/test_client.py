"""The clients against a real HTTP server whose answers a test chooses: what is sent, what is sent again, and what is raised."""

from __future__ import annotations

import asyncio
import json
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from sonoscope.async_client import AsyncClient
from sonoscope.client import Blob, Client, ServiceError, Unreachable

JOB = {"job_id": "j1", "request_id": "r1", "trace_id": "t1", "state": "queued", "accepted_at": "2026-01-01T00:00:00Z"}
PICTURE, SOUND = Blob("a.png", b"picture"), Blob("a.wav", b"sound")
Answer = tuple[int, dict[str, str], Any]


def refusal(type: str, status: int, **headers: str) -> Answer:
    error = {"type": type, "message": "No.", "field": "fps", "hint": "Do this.", "trace_id": "t9"}
    return status, {"X-Request-ID": "r9", **{name.replace("_", "-"): value for name, value in headers.items()}}, {"error": error}


class Script:
    """Answers in turn, and what was asked: method, path and headers."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.url = ""


@pytest.fixture
def script() -> Iterator[Script]:
    script = Script()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            script.asked.append((self.command, self.path, {name.lower(): value for name, value in self.headers.items()}))
            status, headers, body = script.answers.pop(0)
            if status == 0:  # the connection breaks after the request was read: done or not, the client cannot know
                self.close_connection = True
                return
            data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = answer  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    script.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield script
    server.shutdown()
    thread.join()
    server.server_close()


def _blocking(url: str, method: str, *arguments: Any, **named: Any) -> Any:
    with Client(url) as client:
        return getattr(client, method)(*arguments, **named)


def _awaited(url: str, method: str, *arguments: Any, **named: Any) -> Any:
    async def run() -> Any:
        async with AsyncClient(url) as client:
            return await getattr(client, method)(*arguments, **named)

    return asyncio.run(run())


BOTH = pytest.mark.parametrize("call", [_blocking, _awaited])


@BOTH
def test_a_submit_is_sent_again_under_the_same_key(script: Script, call: Any) -> None:
    script.answers = [(0, {}, None), refusal("overloaded", 503, Retry_After="1"), (202, {}, JOB)]
    assert call(script.url, "submit", PICTURE, SOUND, fps=30).job_id == "j1"
    keys = {headers["idempotency-key"] for _, _, headers in script.asked}
    assert len(script.asked) == 3
    assert len(keys) == 1


@BOTH
def test_what_would_be_done_twice_is_not_sent_again(script: Script, call: Any) -> None:
    script.answers = [(0, {}, None), (200, {}, {})]
    with pytest.raises(Unreachable):
        call(script.url, "retry", "j1")
    assert len(script.asked) == 1
    script.answers = [refusal("internal", 500), (200, {}, {})]
    with pytest.raises(ServiceError):
        call(script.url, "recognize", [PICTURE])
    assert len(script.asked) == 2


@BOTH
def test_retries_are_bounded(script: Script, call: Any) -> None:
    script.answers = [refusal("internal", 500)] * 9
    with pytest.raises(ServiceError):
        call(script.url, "job", "j1")
    assert len(script.asked) == 4


@BOTH
def test_an_error_names_its_type_request_and_way_out(script: Script, call: Any) -> None:
    script.answers = [refusal("invalid_parameter", 422)]
    with pytest.raises(ServiceError) as caught:
        call(script.url, "submit", PICTURE, SOUND)
    error = pickle.loads(pickle.dumps(caught.value))
    assert (error.type, error.field, error.request_id, error.trace_id) == ("invalid_parameter", "fps", "r9", "t9")
    assert str(error) == "invalid_parameter: No. Do this. (request r9)"
    assert len(script.asked) == 1


def test_a_wait_longer_than_the_client_has_is_not_begun(script: Script) -> None:
    script.answers = [refusal("rate_limited", 429, Retry_After="3600")]
    with pytest.raises(ServiceError) as caught:
        _blocking(script.url, "job", "j1")
    assert caught.value.retry_after_s == 3600


def test_a_type_of_a_newer_service_is_kept_in_the_message_and_not_tried_again(script: Script) -> None:
    script.answers = [refusal("too_blue", 422)]
    with pytest.raises(ServiceError, match="too_blue") as caught:
        _blocking(script.url, "job", "j1")
    assert not caught.value.retriable


def test_a_gateway_that_is_away_is_tried_again(script: Script) -> None:
    script.answers = [(502, {}, "<html>Bad gateway</html>"), (200, {}, JOB)]
    assert _blocking(script.url, "job", "j1").request_id == "r1"


@BOTH
def test_a_stream_that_breaks_is_taken_up_again(script: Script, call: Any) -> None:
    first = f"data: {json.dumps(JOB)}\n\n"
    last = f"data: {json.dumps({**JOB, 'state': 'cancelled', 'error': {'type': 'cancelled', 'message': 'Stopped.'}})}\n\n"
    script.answers = [(200, {}, first), (200, {}, first + last)]
    seen: list[str] = []
    with pytest.raises(ServiceError) as caught:
        call(script.url, "wait", "j1", on_change=lambda job: seen.append(job.state))
    assert (caught.value.type, caught.value.request_id, seen) == ("cancelled", "r1", ["queued", "cancelled"])


@BOTH
def test_the_callers_trace_goes_along_where_a_span_is_current(script: Script, call: Any) -> None:
    script.answers = [(200, {}, JOB), (200, {}, JOB)]
    with TracerProvider().get_tracer("caller").start_as_current_span("work") as span:
        call(script.url, "job", "j1")
    call(script.url, "job", "j1")
    sent = [headers.get("traceparent") for _, _, headers in script.asked]
    assert sent[0] is not None
    assert sent[0].split("-")[1] == trace.format_trace_id(span.get_span_context().trace_id)
    assert sent[1] is None


def test_the_key_comes_from_the_argument_or_the_environment(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SONOSCOPE_API_KEY", "of the environment")
    script.answers = [(200, {}, JOB), (200, {}, JOB)]
    _blocking(script.url, "job", "j1")
    with Client(script.url, api_key="given") as client:
        client.job("j1")
    assert [headers["authorization"] for _, _, headers in script.asked] == ["Bearer of the environment", "Bearer given"]


def test_nobody_at_the_address_is_unreachable() -> None:
    with Client("http://127.0.0.1:9", retries=0) as client, pytest.raises(Unreachable, match=r"127\.0\.0\.1:9"):
        client.job("j1")


def test_the_client_needs_neither_ray_nor_torch() -> None:
    code = "import sys, sonoscope.client, sonoscope.async_client; print({'ray', 'torch', 'pandas', 'duckdb'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "set()"
