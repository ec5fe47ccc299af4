"""Before Ray's proxy: a request always gets one of our answers, also where the proxy itself fails."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from serve.proxy import RequestIds


async def fails(scope: Scope, receive: Receive, send: Send) -> None:
    raise ConnectionError("the node is gone")


async def says_nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """As Ray's proxy where the replica dies with the request; uvicorn would then answer for itself."""


async def stops_half_way(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise ConnectionError("the node is gone")


def asked(app: ASGIApp) -> httpx.Response:
    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(RequestIds(app)), base_url="http://service") as client:
            return await client.get("/jobs", headers={"X-Request-ID": "mine"})

    return asyncio.run(ask())


@pytest.mark.parametrize("app", [fails, says_nothing])
def test_a_proxy_that_fails_says_that_the_replica_is_lost_and_may_be_asked_again(app: ASGIApp) -> None:
    answer = asked(app)
    assert (answer.status_code, answer.json()["error"]["type"]) == (503, "replica_lost")
    assert int(answer.headers["retry-after"]) > 0
    assert len(answer.headers["x-request-id"]) == 36


def test_an_answer_that_has_begun_is_not_begun_again() -> None:
    sent: list[str] = []

    async def send(message: Any) -> None:
        sent.append(message["type"])

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    with pytest.raises(ConnectionError):
        asyncio.run(RequestIds(stops_half_way)(scope, receive, send))
    assert sent == ["http.response.start"]


def test_rays_own_words_become_ours() -> None:
    app = Starlette()
    app.add_route("/jobs", lambda request: PlainTextResponse("Internal Server Error", 500))
    answer = asked(app)
    assert (answer.status_code, answer.json()["error"]["type"]) == (503, "replica_lost")
