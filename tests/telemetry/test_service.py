"""`init`, `stage`, `event`: telemetry of a service that is not ours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

import telemetry
from telemetry import service
from telemetry.segments import Kind, read_lines


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    running = telemetry.init("test", tmp_path)
    yield tmp_path
    running.shutdown()
    service._telemetry = None


def lines(folder: Path, kind: Kind) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in read_lines(folder / "journal", kind)]


def spans(folder: Path) -> list[str]:
    return [line["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["name"] for line in lines(folder, "spans")]


def test_before_init_it_says_what_to_do() -> None:
    with pytest.raises(RuntimeError, match=r"telemetry\.init"):
        telemetry.event("x")


def test_a_stage_outside_a_request_is_a_request(folder: Path) -> None:
    with telemetry.stage("nightly", rows=3):
        telemetry.event("halfway")
    assert spans(folder) == ["nightly", "nightly"]
    events = lines(folder, "events")
    assert [event["event_type"] for event in events] == ["request_received", "halfway", "business_output"]
    assert (events[-1]["rows"], len({event["trace.id"] for event in events})) == (3, 1)
    telemetry.event("nobody asked")
    assert len(lines(folder, "events")) == 3


def test_an_error_is_recorded_and_goes_on(folder: Path) -> None:
    with pytest.raises(ZeroDivisionError), telemetry.request("sum"), telemetry.stage("divide"):
        _ = 1 / 0
    last = lines(folder, "events")[-1]
    assert (last["event_type"], last["status"], last["error_type"]) == ("request_failed", "error", "internal")


class Flaskish:
    """A WSGI app as Flask keeps it."""

    def wsgi_app(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        with telemetry.stage("work"):
            start_response("404 Not Found", [])
        return [b"no"]


def test_a_wsgi_app_is_recorded(folder: Path) -> None:
    app, seen = Flaskish(), []
    telemetry.init("test", folder, app=app)
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/x", "HTTP_TRACEPARENT": f"00-{'ab' * 16}-{'cd' * 8}-01"}
    assert list(app.wsgi_app(environ, lambda status, headers: seen.append(status))) == [b"no"]
    assert seen == ["404 Not Found"]
    last = lines(folder, "events")[-1]
    assert (last["http_status"], last["operation"], last["trace.id"]) == (404, "GET /x", "ab" * 16)
    assert spans(folder) == ["work", "GET /x"]


def test_what_is_no_app_is_refused(folder: Path) -> None:
    with pytest.raises(TypeError, match="neither"):
        telemetry.init("test", folder, app=object())
