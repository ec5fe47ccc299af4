"""One span for work that was done for several requests at once: it belongs to none of them, and links to all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Link, Span, StatusCode

from telemetry.context import RequestContext
from telemetry.guard import guard
from telemetry.stages import record_error
from telemetry.values import clean

if TYPE_CHECKING:
    from telemetry.tracing import Telemetry

_guard = guard("batch")


@contextmanager
def batch_span(telemetry: Telemetry, name: str, members: Sequence[RequestContext], **attributes: Any) -> Iterator[dict[str, Any]]:
    """A span `name` in a trace of its own, linked to the current span of every member; `batch_size` stands on it.

    Yields what each member's own span should hold of it: `batch_size`, `batch_trace_id`, `batch_span_id`. An exception marks the
    span and goes on.
    """
    span: Span = INVALID_SPAN
    about: dict[str, Any] = {"batch_size": len(members)}
    with _guard:
        links = [Link(member.span_context) for member in members]
        span = telemetry.tracer.start_span(name, context=Context(), links=links, attributes=clean(about | attributes))
        made = span.get_span_context()
        about |= {"batch_trace_id": f"{made.trace_id:032x}", "batch_span_id": f"{made.span_id:016x}"}
    try:
        yield about
    except BaseException as error:
        with _guard:
            record_error(span, error)
        raise
    else:
        with _guard:
            span.set_status(StatusCode.OK)
    finally:
        with _guard:
            span.end()
