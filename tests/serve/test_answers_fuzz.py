"""What long fuzzing of the service found, each as it was sent: a refusal of the table, with its status."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from serve import access, audit_views
from serve.answers import Identified, install_errors
from serve.audit import Trail
from serve.schema import Score
from telemetry.redact import Redactor

Ask = Callable[..., httpx.Response]


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """The audit routes, and one that takes a body as POST /requests/{id}/score does, on an open door."""
    audit_views.install(Trail(f"sqlite:///{tmp_path / 'jobs.db'}"), Redactor(b"k" * 32))
    access.lock(None)
    app = FastAPI()
    app.add_middleware(Identified)
    install_errors(app)
    app.include_router(audit_views.router)

    @app.post("/score")
    async def score(given: Score) -> Score:
        return given

    def ask(method: str, path: str, **more: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://door") as client:
                return await client.request(method, path, **more)

        return asyncio.run(send())

    return ask


@pytest.mark.parametrize("before", ["9223372036854775808", "9" * 30, "0", "-1"])
def test_a_page_before_a_number_that_no_database_has_is_refused(ask: Ask, before: str) -> None:
    assert ask("GET", "/audit", params={"before": 2**63 - 1}).status_code == 200
    answer = ask("GET", "/audit", params={"before": before})
    assert (answer.status_code, answer.json()["error"]["type"]) == (422, "invalid_parameter")


@pytest.mark.parametrize("body", [b"\x80", b"\xff\xfe{}"])
def test_a_body_that_is_no_text_has_the_status_of_its_type(ask: Ask, body: bytes) -> None:
    answer = ask("POST", "/score", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["type"]) == (422, "invalid_parameter")
    assert answer.json()["error"]["trace_id"]
