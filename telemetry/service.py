"""Telemetry of any Python service in three lines: `init` once, then `stage` and `event` wherever something happens.

    telemetry.init("shop", "var/telemetry", app=app)      # FastAPI, Starlette or Flask: every request leaves a record
    with telemetry.stage("resize", width=640) as stage:   # a span below it, its time a column of the record
        telemetry.event("resized", bytes=len(data))       # a line of the log, stamped with request and trace

Here the current request is ambient (a context variable); Sonoscope's own stages pass their context explicitly, because Ray's calls
do not carry context variables.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from telemetry.context import RequestContext
from telemetry.errors import RequestError
from telemetry.ids import new_traceparent, uuid7
from telemetry.record import RequestRecord
from telemetry.stages import Stage
from telemetry.tracing import Telemetry, setup
from telemetry.tracing import stage as open_stage

_Scope = MutableMapping[str, Any]
_Asgi = Callable[[_Scope, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]
_Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

_current: ContextVar[tuple[RequestRecord, RequestContext] | None] = ContextVar("request", default=None)
_telemetry: Telemetry | None = None


def init(service_name: str, data_dir: str | Path, *, app: Any = None, version: str | None = None) -> Telemetry:
    """Starts telemetry of this process below `data_dir`; with an `app` every HTTP request of it leaves a record.

    `app`: FastAPI or Starlette (anything with `add_middleware`) or Flask (anything with `wsgi_app`). Raises TypeError for another.
    """
    global _telemetry
    _telemetry = setup(service_name, Path(data_dir), version=version or "unknown")
    if hasattr(app, "add_middleware"):
        app.add_middleware(AsgiRecords)
    elif hasattr(app, "wsgi_app"):
        app.wsgi_app = WsgiRecords(app.wsgi_app)
    elif app is not None:
        raise TypeError(f"{type(app).__name__} is neither an ASGI app with add_middleware nor a WSGI app with wsgi_app")
    return _telemetry


@contextmanager
def request(operation: str, *, parent: str | None = None, **values: Any) -> Iterator[RequestRecord]:
    """One request: its record span and its terminal event are written at the end, with everything that was learnt in between.

    `operation` names the record span. `parent`: the client's `traceparent`. An exception makes the record an error and goes on.
    Raises RuntimeError before `init`.
    """
    running = _running()
    context = RequestContext(uuid7(), new_traceparent(parent), operation=operation)
    record = RequestRecord(running, context, started_ns=time.time_ns(), values=values, parent=parent)
    running.events.log_event("request_received", context, trace_id=context.trace_id, **values)
    token = _current.set((record, context))
    try:
        yield record
    except RequestError as error:
        record.fail(error)
        raise
    except Exception as error:
        record.fail(RequestError("internal", f"{type(error).__name__} in {operation}."))
        raise
    finally:
        _current.reset(token)
        record.finish()


@contextmanager
def stage(name: str, **values: Any) -> Iterator[Stage]:
    """A span below the current request; what it measured becomes part of the record. Outside a request it is one of its own.

    Raises RuntimeError before `init`.
    """
    current = _current.get()
    if current is None:
        with request(name), stage(name, **values) as made:
            yield made
        return
    record, context = current
    with open_stage(_running(), name, context, **values) as made:
        token = _current.set((record, made.context))
        try:
            yield made
        finally:
            _current.reset(token)
    record.update(**made.fields)


def event(event_type: str, **fields: Any) -> None:
    """A line of the log, stamped with the current request; outside a request it is dropped, for nothing could be joined to it.

    Raises RuntimeError before `init`.
    """
    running, current = _running(), _current.get()
    running.events.declare(event_type)
    if current is not None:
        running.events.write_row(event_type, current[1], fields)


def _running() -> Telemetry:
    if _telemetry is None:
        raise RuntimeError('telemetry is not started: call telemetry.init("name", "folder") once')
    return _telemetry


def _note_status(record: RequestRecord, status: int) -> None:
    record.update(http_status=status, status="ok" if status < 400 else "error")


class AsgiRecords:
    """ASGI middleware: one record an HTTP request."""

    def __init__(self, app: _Asgi) -> None:
        self._app = app

    async def __call__(self, scope: _Scope, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
        """Passes the request on, and notes the status of its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        with request(f"{scope['method']} {scope['path']}", parent=headers.get("traceparent")) as record:

            async def noting(message: Any) -> None:
                if message["type"] == "http.response.start":
                    _note_status(record, message["status"])
                await send(message)

            await self._app(scope, receive, noting)


class WsgiRecords:
    """WSGI middleware: one record a request, to the last byte of its answer."""

    def __init__(self, app: _Wsgi) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Passes the request on, and notes the status of its answer."""
        operation = f"{environ['REQUEST_METHOD']} {environ.get('PATH_INFO', '')}"
        with request(operation, parent=environ.get("HTTP_TRACEPARENT")) as record:

            def noting(status: str, *rest: Any) -> Any:
                _note_status(record, int(status.split()[0]))
                return start_response(status, *rest)

            answer = self._app(environ, noting)
            try:
                yield from answer
            finally:
                if close := getattr(answer, "close", None):
                    close()
