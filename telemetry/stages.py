"""One stage of a request: its span, its times, and what it measured."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, NonRecordingSpan, Span, StatusCode, set_span_in_context

from telemetry.context import RequestContext
from telemetry.errors import RequestError
from telemetry.fields import Value
from telemetry.guard import guard
from telemetry.values import clean

if TYPE_CHECKING:
    from telemetry.tracing import Telemetry

# A generator that is closed before its end is how a stream is cancelled.
_CANCELLED = (asyncio.CancelledError, GeneratorExit)
_guard = guard("stage")


class Stage:
    """A running stage; made by `stage()`, used as a context manager in sync code, async code and threads alike.

    `fields` holds what was set and, after the end, `<name>_ms` and `<name>_busy_ms`; all of it stands on the span too.
    `context` is the request with this stage as parent of what follows.
    """

    def __init__(self, telemetry: Telemetry, name: str, context: RequestContext, attributes: dict[str, Any]) -> None:
        self.name = name
        self.fields: dict[str, Value] = {}
        self.context = context
        self._telemetry = telemetry
        self._asked = attributes
        self._span: Span = INVALID_SPAN
        self._started = self._waited = 0.0
        self._ended: float | None = None

    @property
    def ms(self) -> float:
        """Milliseconds since the start; the whole time after the end. Monotonic."""
        return ((self._ended or time.monotonic()) - self._started) * 1e3

    @property
    def busy_ms(self) -> float:
        """`ms` without what was spent in `waiting()`."""
        return max(0.0, self.ms - self._waited * 1e3)

    def set(self, **values: Any) -> None:
        """Adds measured values, each in the type of its name; None is ignored."""
        with _guard:
            self.fields.update(clean(values))

    def event(self, name: str, **attributes: Any) -> None:
        """Notes that something happened inside the stage: a span event, now."""
        with _guard:
            self._span.add_event(name, clean(attributes))

    def waited(self, seconds: float) -> None:
        """Adds waiting that was measured elsewhere, in a thread of the stage."""
        self._waited += seconds

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """The time inside is not busy: the stage waits for somebody else."""
        since = time.monotonic()
        try:
            yield
        finally:
            self._waited += time.monotonic() - since

    def __enter__(self) -> Stage:
        self._started = time.monotonic()
        with _guard:
            self._span = self._telemetry.tracer.start_span(self.name, context=parent_of(self.context))
            made = self._span.get_span_context()
            self.fields.update(clean(self._asked))
            if made.is_valid:
                self.context = self.context.child_of(f"00-{made.trace_id:032x}-{made.span_id:016x}-01")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended = time.monotonic()
        if isinstance(error, RequestError) and error.stage is None:
            error.stage = self.name
        with _guard:
            self.fields[f"{self.name}_ms"] = self.ms
            self.fields[f"{self.name}_busy_ms"] = self.busy_ms
            self._span.set_attributes({**self.context.stamps, **self.fields})
            if error is None:
                self._span.set_status(StatusCode.OK)
            else:
                record_error(self._span, error)
        with _guard:  # apart: whatever went wrong above, the span ends
            self._span.end()


def stage(telemetry: Telemetry, name: str, context: RequestContext, **attributes: Any) -> Stage:
    """A span `name` under the span of `context`, to be entered by `with`.

    An exception marks the span and goes on; a RequestError without a stage is given this one.
    """
    return Stage(telemetry, name, context, attributes)


def past(telemetry: Telemetry, name: str, context: RequestContext, started_ns: int, ended_ns: int, **attributes: Any) -> None:
    """A span of what is over already, such as a wait, under the span of `context`; times in ns since 1970."""
    with guard("past"):
        parent = parent_of(context)
        span = telemetry.tracer.start_span(
            name, context=parent, attributes=_plain({**context.stamps, **attributes}), start_time=started_ns
        )
        span.set_status(StatusCode.OK)
        span.end(end_time=max(started_ns, ended_ns))


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in clean(values).items() if value is not None}


def parent_of(context: RequestContext) -> Context:
    """The span of `context` as OpenTelemetry's parent; whatever is current in this thread or task plays no part."""
    return set_span_in_context(NonRecordingSpan(context.span_context), Context())


def record_error(span: Span, error: BaseException, timestamp: int | None = None) -> None:
    """Status ERROR with the message, the `exception` event, and `error_type` where it is known. `timestamp`: ns since 1970."""
    if isinstance(error, _CANCELLED):
        span.set_attribute("error_type", "cancelled")
        span.set_status(StatusCode.ERROR, "cancelled")
        return
    if isinstance(error, RequestError):
        span.set_attribute("error_type", error.type)
    message = _message(error)
    span.set_status(StatusCode.ERROR, message)
    seen = {"exception.type": _type_name(error), "exception.message": message, "exception.stacktrace": _stack(error)}
    span.add_event("exception", seen, timestamp)


def _message(error: BaseException) -> str:
    """The error in words without a file name: an OSError (Pillow's too) carries the user's path in its text."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return str(error) or type(error).__name__


def _type_name(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _stack(error: BaseException, depth: int = 4) -> str:
    """Frames of the error and of what caused it (first cause first, at most `depth`); causes without their messages, as above."""
    parts: list[str] = [f"{_type_name(error)}: {_message(error)}"]
    found: BaseException | None = error
    while found is not None and depth:
        parts.insert(0, "".join(traceback.format_tb(found.__traceback__)))
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)
        if found is not None:
            parts.insert(0, f"{_type_name(found)}\n")
        depth -= 1
    return "".join(parts)
