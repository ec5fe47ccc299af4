"""What stands in front of Ray's HTTP proxy: our request ids, and our words where Ray would answer in its own.

Ray imports `middlewares` by the environment variable RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH, set before Ray starts.
Without it everything works, but Ray's own id stands beside ours on the answer, and its own errors are plain text.
"""

from __future__ import annotations

import json
import logging
import os

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from telemetry.errors import RequestError
from telemetry.ids import new_traceparent, uuid7

VARIABLE, PATH = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH", "serve.proxy:middlewares"
RETRY_AFTER_S = 5
"""Told where waiting helps: about the time of one short generation on two cores."""

REQUEST_ID, CLIENT_ID = "x-request-id", "x-client-request-id"

# Which of our errors Ray means by its own status, where no replica of ours has answered.
_RAYS_OWN = {404: "not_found", 408: "deadline_exceeded", 429: "overloaded", 503: "overloaded", 500: "replica_lost"}


def active() -> bool:
    """True in a process whose requests came through `RequestIds`."""
    return os.environ.get(VARIABLE) == PATH


def middlewares() -> list[Middleware]:
    """What Ray puts around its proxy."""
    return [Middleware(RequestIds)]


class RequestIds:
    """ASGI middleware: every request gets a UUIDv7; the client's own id is moved to X-Client-Request-ID."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = MutableHeaders(scope=scope)
        theirs, ours = headers.get(REQUEST_ID), uuid7()
        headers[REQUEST_ID] = ours
        del headers[CLIENT_ID]
        if theirs is not None:
            headers[CLIENT_ID] = theirs
        answer = _Answer(send, ours, headers.get("traceparent"))
        try:
            await self._app(scope, receive, answer.send)
        except Exception:  # whatever it is, Ray's proxy could not pass the request on, as in the moment in which a node goes
            if answer.started:
                raise
            logging.getLogger(__name__).exception("Ray's proxy failed at %s", ours)
        if not answer.started:  # nor does it say anything where the replica died with the request
            await answer.replace(500)


class _Answer:
    """Passes an answer of ours on with one id, and replaces one of Ray's own."""

    def __init__(self, send: Send, request_id: str, parent: str | None):
        self._send = send
        self._request_id = request_id
        self._parent = parent
        self._replaced = False
        self.started = False

    async def send(self, message: Message) -> None:
        """As ASGI's `send`."""
        if message["type"] == "http.response.start":
            self.started = True
            headers = Headers(raw=message["headers"])
            if message["status"] >= 400 and "traceparent" not in headers:
                self._replaced = True
                await self.replace(message["status"])
                return
            kept = [(key, value) for key, value in message["headers"] if key.lower() != REQUEST_ID.encode()]
            message["headers"] = [*kept, (REQUEST_ID.encode(), self._request_id.encode())]
        if not self._replaced:
            await self._send(message)

    async def replace(self, status: int) -> None:
        """Says in our words what a status of Ray's means."""
        traceparent = new_traceparent(self._parent)
        error = RequestError(_RAYS_OWN.get(status, "internal"), f"The service could not answer (Ray Serve: {status}).")
        body = json.dumps({"error": error.as_dict() | {"trace_id": traceparent.split("-")[1]}}).encode()
        headers = {
            "content-type": "application/json",
            "content-length": str(len(body)),
            REQUEST_ID: self._request_id,
            "traceparent": traceparent,
        }
        if error.retriable:
            headers["retry-after"] = str(RETRY_AFTER_S)
        raw = [(key.encode(), value.encode()) for key, value in headers.items()]
        await self._send({"type": "http.response.start", "status": error.http_status, "headers": raw})
        await self._send({"type": "http.response.body", "body": body})
