"""The two spans of the queue in a request's trace: its consumption, and the sending of its result.

Their ids follow from the message and from its key, so that what a killed consumer did twice is one span, and the parent that the
service was told is there whoever writes it.
"""

from __future__ import annotations

import hashlib

from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, StatusCode

from serve.schema import JobAnswer
from sonoscope.consume.ledger import Due, Owed
from sonoscope.consume.messages import Received
from telemetry.context import RequestContext
from telemetry.errors import RequestError
from telemetry.stages import parent_of, record_error
from telemetry.tracing import Telemetry, pinned


def result_traceparent(owed: Owed) -> str:
    """The span of the sending of a result, in the request's trace; the same whenever it is sent."""
    span_id = hashlib.sha256(f"result\0{owed.key}".encode()).hexdigest()[:16]
    return f"00-{owed.traceparent.split('-')[1]}-{span_id}-01"


def consumed(
    telemetry: Telemetry,
    message: Received,
    group: str,
    started_ns: int,
    *,
    job: JobAnswer | None = None,
    error: RequestError | None = None,
) -> None:
    """Writes the span of a message that became a job, or that nobody can make; `started_ns`: when it came, ns since 1970."""
    told = {
        "messaging.system": "kafka", "messaging.operation.type": "process", "messaging.operation.name": "process",
        "messaging.destination.name": message.topic, "messaging.destination.partition.id": str(message.partition),
        "messaging.kafka.offset": message.offset, "messaging.consumer.group.name": group,
    }  # fmt: skip
    if job is not None:
        told |= {"job_id": job.job_id, "request_id": job.request_id}
    above = Context() if message.parent is None else parent_of(RequestContext("", message.parent))
    with pinned(message.traceparent):
        span = telemetry.tracer.start_span(
            f"process {message.topic}", context=above, kind=SpanKind.CONSUMER, attributes=told, start_time=started_ns
        )
    if error is None:
        span.set_status(StatusCode.OK)
    else:
        record_error(span, error)
    span.end()


def sent(telemetry: Telemetry, due: Due, topic: str, started_ns: int) -> None:
    """Writes the span of a result that is in Kafka; `started_ns`: when its sending began, ns since 1970."""
    told = {
        "messaging.system": "kafka", "messaging.operation.type": "send", "messaging.operation.name": "send",
        "messaging.destination.name": topic, "job_id": due.owed.job_id,
    }  # fmt: skip
    with pinned(result_traceparent(due.owed)):
        span = telemetry.tracer.start_span(
            f"send {topic}", context=parent_of(RequestContext("", due.owed.traceparent)), kind=SpanKind.PRODUCER,
            attributes=told, start_time=started_ns,
        )  # fmt: skip
    span.set_status(StatusCode.OK)
    span.end()
