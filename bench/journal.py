"""What telemetry costs a request, and what it loses: our journal beside OpenTelemetry's own batch processor and OTLP/HTTP exporter.

    python -m bench.journal [--tiny]

(Not as a file: its own name would then stand for the package that it measures.)

Prints microseconds a span and an event on the thread of the request (medians over batches), the ratio of the two, and how many of
10,000 spans a second, for 5 seconds from one process, arrive: in the files for ours, at a local receiver for the exporter.
"""

from __future__ import annotations

import argparse
import http.server
import logging
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Status, StatusCode, Tracer

from bench.ratios import keep
from telemetry import fields
from telemetry.context import RequestContext
from telemetry.ids import uuid7
from telemetry.journal import read_lines, read_losses
from telemetry.otlp import JournalSpanProcessor, encode_span
from telemetry.record import RequestRecord
from telemetry.tracing import Telemetry, new_traceparent, setup, stage
from telemetry.values import dumps

_CONTEXT = RequestContext(uuid7(), new_traceparent(), job_id=uuid7(), identity={"department": "film", "owner_hash": "0" * 32})
_MEASURED: dict[str, Any] = {
    "audio_s": 3.0,
    "width": 512,
    "height": 512,
    "encoder": "libx264",
    "video_fps": 25.0,
    "cache_hit": False,
}
_ATTRIBUTES = {**_MEASURED, "request_id": _CONTEXT.request_id, "job_id": _CONTEXT.job_id, "attempt": 1, "operation": "generate"}


def _span(tracer: Tracer) -> None:
    span = tracer.start_span("encode_video", attributes=_ATTRIBUTES)
    span.set_status(Status(StatusCode.OK))
    span.end()


def _stage(telemetry: Telemetry) -> None:
    with stage(telemetry, "encode_video", _CONTEXT) as running:
        running.set(**_MEASURED)


def _record(telemetry: Telemetry) -> None:
    record = RequestRecord(telemetry, _CONTEXT, started_ns=time.time_ns(), values=fields.defaults())
    record.update(**_MEASURED)
    record.finish()


def _median_us(call: Callable[[], object], batch: int, batches: int = 9) -> float:
    times: list[float] = []
    for _ in range(batches):
        began = time.perf_counter()
        for _ in range(batch):
            call()
        times.append((time.perf_counter() - began) / batch * 1e6)
    return statistics.median(times)


class _Receiver(http.server.BaseHTTPRequestHandler):
    """Counts the spans that arrive, as any backend would: it reads the body and answers 200."""

    received: Synchronized[int]
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        request = ExportTraceServiceRequest.FromString(body)
        count = sum(len(scope.spans) for resource in request.resource_spans for scope in resource.scope_spans)
        with self.received.get_lock():
            self.received.value += count
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


def _receive(received: Synchronized[int], port: Synchronized[int]) -> None:
    _Receiver.received = received
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Receiver)
    port.value = server.server_address[1]
    server.serve_forever()


def _exporting(port: int) -> TracerProvider:
    provider = TracerProvider(resource=Resource({"service.name": "bench"}), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=f"http://127.0.0.1:{port}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


def _at_rate(tracer: Tracer, rate: int, seconds: float) -> int:
    """Ends `rate` spans a second, in ticks of 10 ms; returns how many were made."""
    began, made = time.perf_counter(), 0
    while (passed := time.perf_counter() - began) < seconds:
        while made < passed * rate:
            _span(tracer)
            made += 1
        time.sleep(0.01)
    return made


def _costs(telemetry: Telemetry, exporting: TracerProvider, batch: int) -> None:
    ours = _median_us(lambda: _span(telemetry.tracer), batch)
    theirs = _median_us(lambda: _span(exporting.get_tracer("bench")), batch)
    exporting.force_flush()
    print(f"span, made and ended      journal {ours:7.1f} µs   batch exporter {theirs:7.1f} µs   ratio {ours / theirs:.2f}")
    keep("span, made and ended, durable", ours / theirs, "OpenTelemetry's batch exporter (in memory)")
    example = telemetry.tracer.start_span("encode_video", attributes=_ATTRIBUTES)
    example.end()
    assert isinstance(example, ReadableSpan)
    processor = JournalSpanProcessor(telemetry.journal)
    json = _median_us(lambda: dumps(encode_span(example)), batch)
    protobuf = _median_us(lambda: encode_spans([example]).SerializeToString(), batch)
    print(f"span, encoding alone      OTLP/JSON {json:5.1f} µs   SDK's protobuf {protobuf:7.1f} µs   ratio {json / protobuf:.2f}")
    keep("span, encoding alone", json / protobuf, "the SDK's protobuf")
    for name, call in (
        ("end and write of a span", lambda: processor.on_end(example)),
        ("stage() with 6 values", lambda: _stage(telemetry)),
        ("event with 6 values", lambda: telemetry.events.log_event("encode_complete", _CONTEXT, **_MEASURED)),
        ("record: span and event", lambda: _record(telemetry)),
    ):
        print(f"{name:25s} journal {_median_us(call, batch):7.1f} µs")


def _losses(data_dir: Path, exporting: TracerProvider, received: Synchronized[int], rate: int, seconds: float) -> bool:
    telemetry = setup("losses", data_dir)
    made = _at_rate(telemetry.tracer, rate, seconds)
    telemetry.shutdown()
    journal = data_dir / "journal"
    kept = sum(1 for _ in read_lines(journal, "spans"))
    print(f"{rate} spans/s for {seconds} s   journal        made {made}, kept {kept}, lost {made - kept}")
    before = received.value
    made_theirs = _at_rate(exporting.get_tracer("bench"), rate, seconds)
    exporting.force_flush()
    exporting.shutdown()
    arrived = received.value - before
    print(f"{rate} spans/s for {seconds} s   batch exporter made {made_theirs}, kept {arrived}, lost {made_theirs - arrived}")
    keep(f"spans kept at {rate} a second by the journal", kept / made, "spans made", at_least=1.0)
    keep(f"spans kept at {rate} a second by the batch exporter", arrived / made_theirs, "spans made")
    return kept == made and read_losses(journal)["spans_lost"] == 0


def main() -> int:
    """Prints the comparison; 1 where the journal lost a span."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="a second in all: only to see that it runs")
    tiny: bool = parser.parse_args().tiny
    logging.disable(logging.WARNING)  # the exporter's "queue is full", once for every span
    spawning = multiprocessing.get_context("spawn")
    received, port = spawning.Value("q", 0), spawning.Value("i", 0)
    receiver = spawning.Process(target=_receive, args=(received, port), daemon=True)
    receiver.start()
    while not port.value:
        time.sleep(0.01)
    with tempfile.TemporaryDirectory() as folder:
        telemetry = setup("bench", Path(folder) / "costs")
        _costs(telemetry, _exporting(port.value), 50 if tiny else 1000)
        telemetry.shutdown()
        whole = _losses(Path(folder) / "losses", _exporting(port.value), received, 1000 if tiny else 10_000, 0.2 if tiny else 5.0)
    receiver.terminate()
    receiver.join()
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
