"""A journal line is what OpenTelemetry's own encoder makes of the same span."""

from __future__ import annotations

import base64
import math
from typing import Any

import orjson
import pytest
from google.protobuf import json_format
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, Span
from opentelemetry.trace import INVALID_SPAN_CONTEXT, Link, SpanContext, SpanKind, StatusCode, TraceFlags
from opentelemetry.trace.span import TraceState

from telemetry.context import RequestContext
from telemetry.journal import read_lines, read_losses
from telemetry.stages import parent_of
from telemetry.tracing import Telemetry

_IDS = ("traceId", "spanId", "parentSpanId")
_REMOTE = SpanContext(7, 9, is_remote=True, trace_flags=TraceFlags(1), trace_state=TraceState([("vendor", "a"), ("other", "b")]))


def _parse(line: bytes) -> ExportTraceServiceRequest:
    """OTLP/JSON has hexadecimal ids where protobuf's JSON wants base64; all else is the same."""

    def converted(value: Any) -> Any:
        if isinstance(value, list):
            return [converted(item) for item in value]
        if isinstance(value, dict):
            return {k: base64.b64encode(bytes.fromhex(v)).decode() if k in _IDS else converted(v) for k, v in value.items()}
        return value

    return json_format.ParseDict(converted(orjson.loads(line)), ExportTraceServiceRequest())


def _ended(span: Any) -> ReadableSpan:
    assert isinstance(span, Span)
    span.end()
    return span


def _line(telemetry: Telemetry) -> bytes:
    (line,) = read_lines(telemetry.journal.directory, "spans")
    return line


_ATTRIBUTES: dict[str, Any] = {
    "text": 'Ünïcode, 百灵 and "quotes" \n \u2028',
    "whole": 2**53 + 1,
    "least": -(2**63),
    "float": 100.0,
    "tiny": 1e-300,
    "nan": math.nan,
    "infinite": [math.inf, -math.inf],
    "flag": True,
    "bytes": b"\x00\xff",
    "list": ["a", "b"],
    "numbers": [1, 2, 3],
    "empty": [],
    "blank": "",
    "map": {"a": 1, "b": {"c": [True, None]}},
}


@pytest.mark.parametrize("kind", list(SpanKind))
def test_a_span_with_everything_equals_the_sdks_encoding(telemetry: Telemetry, context: RequestContext, kind: SpanKind) -> None:
    links = [Link(_REMOTE, {"why": "retry"}), Link(SpanContext(1, 2, is_remote=False))]
    span = telemetry.tracer.start_span("n", context=parent_of(context), kind=kind, attributes=_ATTRIBUTES, links=links)
    span.add_event("face_found", {"box": [1, 2, 3, 4], "score": 0.5}, timestamp=1)
    span.add_event("bare")
    span.set_status(StatusCode.ERROR, "it broke")
    readable = _ended(span)
    ours, theirs = _parse(_line(telemetry)), encode_spans([readable])
    # NaN is not equal to itself, but its serialised bytes are.
    assert ours.SerializeToString(deterministic=True) == theirs.SerializeToString(deterministic=True)


def test_a_bare_root_span_equals_the_sdks_encoding_and_has_no_parent(telemetry: Telemetry) -> None:
    readable = _ended(telemetry.tracer.start_span("root"))
    line = _line(telemetry)
    assert _parse(line) == encode_spans([readable])
    assert b"parentSpanId" not in line


def test_what_was_dropped_is_said_and_trace_state_is_kept(telemetry: Telemetry) -> None:
    span = telemetry.tracer.start_span("full", links=[Link(INVALID_SPAN_CONTEXT), Link(_REMOTE)])
    for n in range(300):
        span.add_event(str(n))
    readable = _ended(span)
    assert readable.dropped_events == 44
    assert _parse(_line(telemetry)) == encode_spans([readable])


def test_spans_of_another_scope_carry_its_name(telemetry: Telemetry) -> None:
    _ended(telemetry.provider.get_tracer("ours").start_span("a"))
    other = telemetry.provider.get_tracer("library", "1.0", attributes={"k": "v"})
    spans = [_ended(other.start_span(str(n))) for n in range(2)]
    lines = list(read_lines(telemetry.journal.directory, "spans"))
    assert [_parse(line) for line in lines[1:]] == [encode_spans([span]) for span in spans]
    assert b'"scope":{"name":"ours"}' in lines[0]


def test_64_bit_integers_are_strings_and_ids_are_lower_case_hex(telemetry: Telemetry) -> None:
    _ended(telemetry.tracer.start_span("n", attributes={"seed": 2**31}, start_time=1_700_000_000_000_000_001))
    (span,) = orjson.loads(_line(telemetry))["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert span["startTimeUnixNano"] == "1700000000000000001"
    assert span["attributes"] == [{"key": "seed", "value": {"intValue": "2147483648"}}]
    assert span["traceId"] == span["traceId"].lower()
    assert (len(span["traceId"]), len(span["spanId"])) == (32, 16)


def test_a_value_that_otlp_cannot_hold_costs_itself_only(telemetry: Telemetry) -> None:
    _ended(telemetry.tracer.start_span("n", attributes={"huge": 2**64, "name": "lone \udc80 surrogate"}))
    (span,) = orjson.loads(_line(telemetry))["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert span["attributes"] == [{"key": "name", "value": {"stringValue": "lone ? surrogate"}}]
    assert read_losses(telemetry.journal.directory)["telemetry_errors"] == 1


def test_the_resource_names_the_service_and_the_process(telemetry: Telemetry) -> None:
    _ended(telemetry.tracer.start_span("n"))
    pairs = orjson.loads(_line(telemetry))["resourceSpans"][0]["resource"]["attributes"]
    assert [pair["key"] for pair in pairs] == [
        "service.name", "service.version", "deployment.environment.name", "host.name", "process.pid",
    ]  # fmt: skip
    assert pairs[1]["value"] == {"stringValue": "1.2.3"}
