"""Jobs as clients use them: keys, priorities, webhooks, retries, and what a cancel costs."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import orjson
import pytest

from telemetry import fields

pytestmark = pytest.mark.service


def events(service: Any, request_id: str, kind: str) -> list[dict[str, Any]]:
    return [event for event in service.record(request_id).events if event["event_type"] == kind]


def terminal(service: Any, request_id: str) -> list[dict[str, Any]]:
    return [event for event in service.record(request_id).events if event["event_type"] in fields.TERMINAL_EVENTS]


def test_a_wait_in_the_queue_is_a_span_of_the_one_trace(service: Any) -> None:
    answer = service.generate(min_resolution="128", headers={"traceparent": "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"})
    spans = {span.name: span for span in service.record(answer.json()["request_id"]).spans}
    wait, record = spans["queue_wait"], spans["sonic_generation"]
    assert wait.trace_id == record.trace_id == "ab" * 16
    assert wait.parent_id == record.span_id
    assert wait.start_ns == record.start_ns
    assert wait.end_ns <= spans["load_audio"].start_ns


def test_the_same_key_gives_the_same_job_and_another_order_is_refused(service: Any) -> None:
    first = service.generate(min_resolution="128", headers={"Idempotency-Key": "order-1"}).json()
    again = service.generate(min_resolution="128", headers={"Idempotency-Key": "order-1"}).json()
    assert again == first
    other = service.generate(min_resolution="192", headers={"Idempotency-Key": "order-1"})
    assert other.status_code == 422
    assert other.json()["error"]["type"] == "idempotency_mismatch"


def test_a_queued_job_that_is_cancelled_ends_at_once_while_every_slot_is_busy(service: Any) -> None:
    running = [service.submit(service.long_speech()) for _ in range(4)]
    queued = service.submit(service.long_speech(), min_resolution="128")
    try:
        shown = httpx.get(f"{service.url}/jobs/{queued['job_id']}").json()
        assert shown["state"] == "queued"
        assert shown["queue_position"] == 0
        httpx.delete(f"{service.url}/jobs/{queued['job_id']}")
        ended = service.wait(queued["job_id"], timeout_s=5)
        assert ended["state"] == "cancelled"
        assert {span.name for span in service.record(queued["request_id"]).spans} == {"sonic_generation", "queue_wait"}
    finally:
        for job in running:
            httpx.delete(f"{service.url}/jobs/{job['job_id']}")
            service.wait(job["job_id"])


def test_urgent_work_overtakes_batch_work(service: Any) -> None:
    running = [service.submit(service.long_speech()) for _ in range(4)]
    first = service.generate(min_resolution="128", headers={"X-Priority": "low", "Prefer": "respond-async"}).json()
    urgent = service.generate(min_resolution="128", headers={"X-Priority": "high", "Prefer": "respond-async"}).json()
    for job in running:
        httpx.delete(f"{service.url}/jobs/{job['job_id']}")
    ended = [service.wait(job["job_id"]) for job in (first, urgent)]
    assert [job["state"] for job in ended] == ["succeeded", "succeeded"]
    assert ended[1]["started_at"] <= ended[0]["started_at"]
    for job in running:
        service.wait(job["job_id"])


def test_a_failed_job_is_made_again_by_hand_as_a_new_request_that_names_the_old_one(service: Any) -> None:
    service.fault_plan.write_text(
        "- {fault: failing_stage, stage: load_audio, error_type: audio_silent, when: {department: drill}}"
    )
    try:
        refused = service.generate(min_resolution="128", seed="5", headers={"X-Department": "drill"})
    finally:
        service.fault_plan.write_text("[]")
    old = refused.headers["x-request-id"]
    again = httpx.post(f"{service.url}/jobs/{old}/retry")
    assert again.status_code == 202
    ended = service.wait(again.json()["job_id"])
    assert ended["state"] == "succeeded"
    assert ended["result"]["parameters"]["seed"] == 5
    assert service.record(ended["request_id"]).request["replay_of"] == old
    assert len(terminal(service, old)) == 1
    done = httpx.post(f"{service.url}/jobs/{ended['job_id']}/retry")
    assert (done.status_code, done.json()["error"]["field"]) == (422, "job_id")


def test_without_memory_a_job_is_made_once_more_at_a_lower_resolution(service: Any) -> None:
    service.fault_plan.write_text("- {fault: memory_limit, max_pixels: 50000, when: {department: drill}}")
    try:
        made = service.generate(min_resolution="256", headers={"X-Department": "drill"})
    finally:
        service.fault_plan.write_text("[]")
    assert made.status_code == 200, made.text
    answer = made.json()
    assert "resolution_lowered" in answer["advice"]
    assert (answer["parameters"]["min_resolution"], answer["outcomes"]["lowered_min_resolution"]) == (256, 128)
    (failed,) = events(service, answer["request_id"], "attempt_failed")
    assert (failed["error_type"], failed["min_resolution"], failed["attempt"]) == ("out_of_memory", 256, 1)
    (end,) = terminal(service, answer["request_id"])
    assert (end["event_type"], end["attempt"]) == ("business_output", 2)


def test_a_webhook_tells_the_end(service: Any) -> None:
    got: list[dict[str, Any]] = []
    arrived = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(orjson.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()
            arrived.set()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/done"
        job = service.generate(min_resolution="128", headers={"X-Webhook-URL": url, "Prefer": "respond-async"}).json()
        assert arrived.wait(60)
        server.shutdown()
    assert got[0]["type"] == "job.succeeded"
    assert got[0]["data"]["job_id"] == job["job_id"]
    assert got[0]["data"]["result"]["video_url"]
