"""`sonoscope consume` against a real Kafka and a small stand-in for the service (the real one: tests/service)."""

from __future__ import annotations

import base64
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from telemetry.segments import read_lines
from tests.servers.process import wait_for
from tests.sonoscope.consume.standin import Standin

if TYPE_CHECKING:
    from tests.servers.kafka import Kafka
    from tests.sonoscope.consume.queue import Queue

pytestmark = pytest.mark.server
IDS = {"portrait_image": "a" * 64, "audio_clip": "b" * 64}


@pytest.fixture
def standin() -> Iterator[Standin]:
    """The service."""
    service = Standin()
    yield service
    service.close()


@pytest.fixture
def queue(kafka: Kafka, tmp_path: Path) -> Iterator[Queue]:
    """Topics of this test's own."""
    from tests.sonoscope.consume.queue import Queue

    made = Queue(kafka, tmp_path)
    yield made
    made.close()


def header(message: Any, name: str) -> str | None:
    from tests.sonoscope.consume.queue import header

    return header(message, name)


def spans(folder: Path) -> dict[str, dict[str, Any]]:
    """Spans of the journal by id."""
    lines = [json.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"][0] for line in read_lines(folder / "journal", "spans")]
    return {span["spanId"]: span for span in lines}


def test_a_request_becomes_a_result_in_the_trace_of_its_producer(queue: Queue, standin: Standin) -> None:
    sent = queue.put({"prompt": {**IDS, "inference_steps": 20}}, key="lesson 7")
    files = {name: {"base64": base64.b64encode(name.encode()).decode()} for name in ("portrait", "audio")}
    queue.put({**files, "seed": 3})
    said = queue.drained(standin.url)
    assert "2 accepted, 0 dead letters, 2 results" in said
    by_key = {message.key(): message for message in queue.results()}
    assert len(by_key) == 2
    first = by_key[b"lesson 7"]
    told = json.loads(first.value())
    assert told["type"] == "job.succeeded"
    assert told["request"]["topic"] == f"{queue.name}-requests"
    job = told["data"]
    assert job["trace_id"] == sent.split("-")[1]
    assert {"portrait_image", "audio_clip", "inference_steps"} == standin.orders[told["request"]["idempotency_key"]].keys()
    assert {order["portrait_image"] for order in standin.orders.values()} - {"a" * 64} <= standin.assets

    found = spans(queue.data_dir)
    consumed = found[standin.parents[job["job_id"]].split("-")[2]]
    assert (consumed["parentSpanId"], consumed["kind"]) == (sent.split("-")[2], 5)
    produced = found[(header(first, "traceparent") or "").split("-")[2]]
    assert (produced["parentSpanId"], produced["kind"]) == (consumed["spanId"], 4)
    assert {consumed["traceId"], produced["traceId"]} == {sent.split("-")[1]}


def test_what_cannot_be_made_is_a_dead_letter_with_its_reason_and_stops_nobody(queue: Queue, standin: Standin) -> None:
    bad = [b"\xff{", b"[1]", b"x" * 5000]
    for value in bad:
        queue.put(value, key="same", origin="shop")
    for order in ({"audio": IDS["audio_clip"]}, {**IDS, "portrait": {"base64": "?"}}, {**IDS, "strange": 1}):
        queue.put(order, key="same")
    queue.put({**IDS}, key="same", idempotency_key="one")
    queue.put({**IDS}, key="same", idempotency_key="one")
    queue.put({**IDS, "seed": 5}, key="same", idempotency_key="one")
    said = queue.drained(standin.url, MAX_MESSAGE_BYTES="4000")
    dead = queue.dead()
    reasons = [(header(one, "sonoscope-error-type"), header(one, "sonoscope-error-field")) for one in dead]
    invalid = "invalid_parameter"
    expected = [(invalid, None), (invalid, None), ("too_large", None), (invalid, "portrait"), (invalid, "portrait")]
    assert reasons == [*expected, (invalid, "strange"), ("idempotency_mismatch", "Idempotency-Key")], said
    assert [one.value() for one in dead[:3]] == [*bad[:2], None]
    assert header(dead[2], "sonoscope-value-bytes") == "5000"
    assert [header(one, "origin") for one in dead[:4]] == ["shop"] * 3 + [None]
    assert all(header(one, "sonoscope-error-message") and header(one, "sonoscope-error-hint") for one in dead)
    buried = spans(queue.data_dir)[(header(dead[0], "traceparent") or "").split("-")[2]]
    assert buried["status"]["code"] == 2
    assert [header(one, "idempotency-key") for one in queue.results()] == ["one"]
    queue.drained(standin.url)
    assert len(queue.dead()) == 7


def test_a_service_that_is_full_is_waited_for_and_one_that_fails_for_ever_is_not(queue: Queue, standin: Standin) -> None:
    standin.refusals = [(503, "overloaded"), (401, "unauthorized"), (500, "internal")]
    queue.put(IDS)
    assert "1 accepted, 0 dead letters, 1 results" in queue.drained(standin.url)
    assert sum(standin.asked.values()) == 4


def test_results_that_a_killed_consumer_owes_are_produced_once(queue: Queue, standin: Standin) -> None:
    standin.ending = False
    for _ in range(5):
        queue.put(IDS)
    first = queue.consume(standin.url)
    wait_for(lambda: len(standin.jobs) == 5, 60, lambda: "not every request was handed in")
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert queue.results() == []
    standin.end_all()
    queue.drained(standin.url)
    jobs = [json.loads(message.value())["data"]["job_id"] for message in queue.results()]
    assert sorted(jobs) == sorted(standin.jobs)


def test_kafka_and_consumer_are_killed_again_and_again_and_nothing_is_lost_or_doubled(queue: Queue, standin: Standin) -> None:
    sent: list[str] = []
    for round in range(4):
        consumer = queue.consume(standin.url)
        sent += [queue.put(b"broken" if number == 3 else IDS, key=f"{round}-{number}") for number in range(10)]
        wait_for(lambda n=9 * round + 3 + round: len(standin.jobs) >= n, 90, lambda: f"{len(standin.jobs)} jobs only")
        if round % 2:
            queue.kafka.kill()
            queue.kafka.start()
        consumer.send_signal(signal.SIGKILL)
        consumer.wait()
    queue.drained(standin.url)
    results, dead = queue.results(), queue.dead()
    assert sorted(bytes(one.key()).decode() for one in results) == sorted(f"{r}-{n}" for r in range(4) for n in range(10) if n != 3)
    assert sorted(bytes(one.key()).decode() for one in dead) == [f"{r}-3" for r in range(4)]
    assert len(standin.jobs) == 36
    found = spans(queue.data_dir)
    for one in (*results, *dead):
        above = found[(header(one, "traceparent") or "").split("-")[2]]
        while above["parentSpanId"] in found:
            above = found[above["parentSpanId"]]
        assert above["parentSpanId"] in {traceparent.split("-")[2] for traceparent in sent}


def test_without_brokers_it_is_off_and_with_topics_missing_it_says_which(queue: Queue, standin: Standin) -> None:
    missing = queue.consume(standin.url, RESULTS="nowhere")
    said, _ = missing.communicate(timeout=60)
    assert missing.returncode == 1
    assert "topics are missing: nowhere" in said


def test_a_second_consumer_relieves_the_first(queue: Queue, standin: Standin, tmp_path: Path) -> None:
    first = queue.consume(standin.url)
    queue.put(IDS)
    wait_for(lambda: len(queue.results()) == 1, 60, lambda: "the first one does nothing")
    same = queue.consume(standin.url)
    said, _ = same.communicate(timeout=60)
    assert same.returncode == 1
    assert "another consumer works in" in said
    other = tmp_path / "other"
    other.mkdir()
    queue.data_dir = other
    second = queue.consume(standin.url)
    said, _ = first.communicate(timeout=90)
    assert first.returncode == 1
    assert "another consumer of the group" in said
    queue.put(IDS)
    wait_for(lambda: len(queue.results()) == 2, 60, lambda: "the second one does nothing")
    second.send_signal(signal.SIGTERM)
    said, _ = second.communicate(timeout=60)
    assert second.returncode == 0
    assert "1 accepted, 0 dead letters, 1 results" in said
