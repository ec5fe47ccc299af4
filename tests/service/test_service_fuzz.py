"""Anything at all over HTTP: no 5xx, no hang, answers as the OpenAPI says, and nothing left behind.

A short form by default; SONOSCOPE_FUZZ_CASES=10000 is the long one.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS

from sonoscope.run import marked_processes
from telemetry.errors import ERROR_TYPES
from tests.service.conftest import PORTRAIT, SPEECH, Service

CASES = int(os.environ.get("SONOSCOPE_FUZZ_CASES", "200"))
HANG_S = 30.0
"""An answer that takes so long counts as a hang; the slowest seen, under load, took 4 s."""
LEFT_OUT = {
    "positive_data_acceptance": "an id that fits the schema need not be there: 404 is right",
    "not_a_server_error": "a deadline of no seconds is answered 504, a full queue 503: `honest` below knows them",
    "negative_data_rejection": "what a generator calls negative is often only unknown to us, such as another query parameter",
}
ASKED_FOR = ("deadline_exceeded", "overloaded")
"""The 5xx that a client brings about by what it asks."""
MB = 2**20

pytestmark = [pytest.mark.service, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def known(service: Service) -> dict[str, str]:
    """Ids of things that are there, so that half of the cases reach what lies behind a 404."""
    with httpx.Client(base_url=service.url, timeout=120) as client:
        ids = {
            name: client.post("/assets", files={"file": path.read_bytes()}).json()["asset_id"]
            for name, path in (("portrait", PORTRAIT), ("audio", SPEECH["en"]))
        }
        order = {"portrait_image": ids["portrait"], "audio_clip": ids["audio"], "duration": 0.5, "min_resolution": 256}
        made = client.post("/generate", json={"prompt": order}).raise_for_status().json()
    return {"job_id": made["request_id"], "request_id": made["request_id"], "asset_id": ids["portrait"]}


@pytest.fixture
def unchanged(service: Service) -> Iterator[None]:
    """What the service holds must not have grown after the test: open files, memory, unfinished files, processes."""
    before = held(service)
    yield
    end = time.monotonic() + 60
    while (grown := beyond(before, held(service))) and time.monotonic() < end:
        time.sleep(1)  # what was accepted is still being worked on
    assert not grown, (before, held(service))


def held(service: Service) -> dict[str, float]:
    """Open files, memory (USS, MB) and processes of the whole service, and its unfinished files."""
    found = {"files": 0.0, "memory_mb": 0.0, "processes": 0.0}
    for process in marked_processes(service.run.run_id):
        try:
            found["files"] += process.num_fds()
            found["memory_mb"] += process.memory_full_info().uss / MB
            found["processes"] += 1
        except psutil.NoSuchProcess:
            continue
    return {**found, "unfinished": float(len(service.stray_files()))}


def beyond(before: dict[str, float], after: dict[str, float]) -> list[str]:
    """What grew by more than first uses explain (a replica that had not worked yet loads its models and opens its files)."""
    slack = {"files": 150, "memory_mb": 400, "processes": 3, "unfinished": 0}
    return [name for name, more in slack.items() if after[name] > before[name] + more]


def honest(answer: schemathesis.Response) -> None:
    """No 5xx but those that the client asked for, and each refusal in our shape."""
    if answer.status_code < 400:
        return
    error = answer.json()["error"]
    asked = answer.request
    said = f"{asked.method} {asked.url} {dict(asked.headers)} {(asked.body or b'')[:500]!r}: {answer.text}"
    assert ERROR_TYPES[error["type"]].http_status == answer.status_code or answer.status_code in (404, 405), said
    assert answer.status_code < 500 or error["type"] in ASKED_FOR, said
    assert error["hint"], said


def test_anything_over_http(service: Service, known: dict[str, str], unchanged: None) -> None:
    """Every operation, with what fits its schema and with what does not."""
    schema = schemathesis.openapi.from_url(f"{service.url}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    checks: list[Any] = [check for check in CHECKS.get_all() if check.__name__ not in LEFT_OUT]
    seen: Counter[int] = Counter()
    slowest: list[tuple[float, str]] = []
    for operation in operations:
        there = {one.name: known[one.name] for one in operation.path_parameters if one.name in known}
        ways = [operation.as_strategy(mode) for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)]
        if there:
            ways.append(operation.as_strategy(GenerationMode.POSITIVE, path_parameters=there))

        @settings(
            max_examples=max(3, CASES // len(operations)), deadline=None, database=None, derandomize=True,
            phases=[Phase.explicit, Phase.generate, Phase.shrink], suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=st.one_of(ways))
        def ask(case: Case) -> None:
            began = time.monotonic()
            answer = case.call(timeout=HANG_S)
            slowest.append((time.monotonic() - began, f"{case.method} {case.path}"))
            seen[answer.status_code] += 1
            honest(answer)
            case.validate_response(answer, checks=checks)

        ask()
    print(f"\n{sum(seen.values())} cases: {dict(sorted(seen.items()))}; slowest {max(slowest)}")
    assert sum(seen.values()) >= min(CASES, 3 * len(operations))
    assert httpx.get(f"{service.url}/readyz", timeout=30).status_code == 200
