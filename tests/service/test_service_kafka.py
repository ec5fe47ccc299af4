"""Requests through a real Kafka to the real service and back: one trace, although broker and consumer are killed on the way."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from analytics.stores.local import LocalStore, Span
from tests.servers.process import wait_for
from tests.service.conftest import PORTRAIT, SPEECH

if TYPE_CHECKING:
    from tests.servers.kafka import Kafka

pytestmark = [pytest.mark.service, pytest.mark.server, pytest.mark.chaos]
QUICK = {"inference_steps": 2, "min_resolution": 128}


def spans(folder: Path, trace_id: str) -> dict[str, Span]:
    """The spans of a trace by id, from the journal or from Parquet."""
    return {span.span_id: span for span in LocalStore(folder / "journal").spans(trace_id)}


def jobs(service: Any, traces: set[str]) -> list[str]:
    """The ids of the jobs in these traces."""
    with service.client() as client:
        return [job.job_id for job in client.jobs(limit=1000) if job.trace_id in traces]


def test_one_trace_from_the_producer_to_the_result_through_two_kills(service: Any, kafka: Kafka) -> None:
    from tests.sonoscope.consume.queue import Queue, header

    queue = Queue(kafka, service.data_dir)
    try:
        with service.client() as client:
            ids = {"portrait_image": client.upload(PORTRAIT).asset_id, "audio_clip": client.upload(SPEECH["en"]).asset_id}
        sent = {f"lesson-{n}": queue.put({"prompt": {**ids, **QUICK, "seed": n}}, key=f"lesson-{n}") for n in range(4)}
        queue.put(b"no request", key="broken")
        queue.put({"prompt": {**ids, "inference_steps": 1000}}, key="refused")
        first = queue.consume(service.url)
        traces = {traceparent.split("-")[1] for traceparent in sent.values()}
        wait_for(lambda: bool(jobs(service, traces)), 90, lambda: "nothing was handed in")
        first.send_signal(signal.SIGKILL)
        first.wait()
        kafka.kill()
        kafka.start()
        queue.drained(service.url)

        results = {bytes(one.key()).decode(): one for one in queue.results()}
        assert len(queue.results()) == len(results) == len(sent)
        assert len(jobs(service, traces)) == len(sent)
        for key, traceparent in sent.items():
            told = json.loads(results[key].value())
            assert told["type"] == "job.succeeded", told
            _, trace_id, span_id, _ = traceparent.split("-")
            assert told["data"]["trace_id"] == trace_id
            found = spans(service.data_dir, trace_id)
            (consumed,) = [one for one in found.values() if one.name.startswith("process ")]
            (record,) = [one for one in found.values() if one.name == "sonic_generation"]
            produced = found[(header(results[key], "traceparent") or "").split("-")[2]]
            assert consumed.parent_id == span_id
            assert record.parent_id == produced.parent_id == consumed.span_id
        reasons = {bytes(one.key()).decode(): header(one, "sonoscope-error-field") for one in queue.dead()}
        assert reasons == {"broken": None, "refused": "inference_steps"}
    finally:
        queue.close()
