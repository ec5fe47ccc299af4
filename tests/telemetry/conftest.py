"""A process's telemetry in a folder of its own, one request, and what it wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from telemetry.context import RequestContext
from telemetry.journal import Kind, read_lines
from telemetry.tracing import Telemetry, setup

Rows = Callable[[Kind], list[dict[str, Any]]]


@pytest.fixture
def telemetry(tmp_path: Path) -> Iterator[Telemetry]:
    running = setup("test", tmp_path, version="1.2.3")
    yield running
    running.shutdown()


@pytest.fixture
def context() -> RequestContext:
    return RequestContext(
        "01990000-0000-7000-8000-000000000001",
        f"00-{'ab' * 16}-{'cd' * 8}-01",
        job_id="job-1",
        identity={"department": "film", "synthetic": True},
    )


@pytest.fixture
def rows(telemetry: Telemetry) -> Rows:
    """The events, or the spans without their envelope, with attributes as a plain dict."""

    def read(kind: Kind) -> list[dict[str, Any]]:
        lines = [orjson.loads(line) for line in read_lines(telemetry.journal.directory, kind)]
        return lines if kind == "events" else [_flat(line["resourceSpans"][0]["scopeSpans"][0]["spans"][0]) for line in lines]

    return read


def _flat(span: dict[str, Any]) -> dict[str, Any]:
    for part in (span, *span.get("events", [])):
        part["attributes"] = {pair["key"]: _plain(pair["value"]) for pair in part.get("attributes", [])}
    return span


def _plain(value: dict[str, Any]) -> Any:
    (kind, content), *_ = value.items()
    match kind:
        case "intValue":
            return int(content)
        case "arrayValue":
            return [_plain(item) for item in content["values"]]
        case _:
            return content
