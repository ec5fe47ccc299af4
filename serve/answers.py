"""What every answer has in common: the request's id and trace in its headers, and one shape of error."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve import proxy
from telemetry.errors import RequestError
from telemetry.ids import new_traceparent, uuid7


class Identified:
    """ASGI middleware: gives each request its id and its trace (the client's, where it sent one), and writes them on the answer."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {key.lower(): value.decode("latin-1") for key, value in scope["headers"]}
        state = scope.setdefault("state", {})
        state["parent"] = headers.get(b"traceparent")
        state["traceparent"] = new_traceparent(state["parent"])
        behind_proxy = proxy.active() and b"x-request-id" in headers
        state["request_id"] = headers[b"x-request-id"] if behind_proxy else uuid7()
        state["client_request_id"] = headers.get(b"x-client-request-id" if behind_proxy else b"x-request-id")

        async def stamped(message: Message) -> None:
            if message["type"] == "http.response.start":
                ours = {b"x-request-id": state["request_id"], b"traceparent": state["traceparent"]}
                kept = [(key, value) for key, value in message["headers"] if key.lower() not in ours]
                message["headers"] = kept + [(key, value.encode()) for key, value in ours.items()]
            await send(message)

        await self._app(scope, receive, stamped)


def error_response(error: RequestError, trace_id: str) -> JSONResponse:
    """`{"error": {type, message, field, hint, trace_id}}` with the type's status; Retry-After where waiting helps."""
    headers = {"Retry-After": str(error.retry_after_s or proxy.RETRY_AFTER_S)} if error.http_status in (429, 503) else {}
    return JSONResponse({"error": error.as_dict() | {"trace_id": trace_id}}, error.http_status, headers)


def install_errors(app: FastAPI) -> None:
    """Every error leaves in our shape, also those of the framework."""

    async def known(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestError)
        return error_response(error, request.state.traceparent.split("-")[1])

    async def framework(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        if error.status_code == 400:  # a body that the framework could not read
            trouble = RequestError("invalid_parameter", f"{error.detail}.")
            return error_response(trouble, request.state.traceparent.split("-")[1])
        body: dict[str, Any] = {"type": "not_found" if error.status_code == 404 else "invalid_parameter", "field": None}
        body |= {
            "message": str(error.detail),
            "hint": "GET /docs lists the routes.",
            "trace_id": request.state.traceparent.split("-")[1],
        }
        return JSONResponse({"error": body}, error.status_code)

    async def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        field = str(first["loc"][-1])
        trouble = RequestError("invalid_parameter", f"{field}: {first['msg']}.", field=field)
        return error_response(trouble, request.state.traceparent.split("-")[1])

    async def unknown(request: Request, error: Exception) -> JSONResponse:
        trouble = RequestError("internal", f"The service failed: {type(error).__name__}.")
        return error_response(trouble, request.scope["state"]["traceparent"].split("-")[1])

    app.add_exception_handler(RequestError, known)
    app.add_exception_handler(HTTPException, framework)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(Exception, unknown)
