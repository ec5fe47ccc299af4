"""Bad input ends in a stable error with a way out, one terminal event, a trace with status error, and no stray file."""

from __future__ import annotations

import io
import struct
import threading
import wave
import zlib
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from telemetry import fields
from tests.corpus.cases import saved
from tests.corpus.pictures import dog

pytestmark = pytest.mark.service


def wav(samples: np.ndarray, rate: int = 16_000) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", "not compressed"))
        file.writeframes((samples * 32767).astype(np.int16).tobytes())
    return buffer.getvalue()


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


NOISE = png(np.random.default_rng(1).integers(0, 255, (256, 256, 3), np.uint8))
TONE = np.sin(np.arange(1600) / 5) * 0.5
HEADER = struct.pack(">4sIIBBBBB", b"IHDR", 60_000, 60_000, 8, 2, 0, 0, 0)
DATA = b"IDAT" + zlib.compress(bytes(1 << 20))
CHUNKS = [struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in (HEADER, DATA, b"IEND")]
BOMB = b"\x89PNG\r\n\x1a\n" + b"".join(CHUNKS)
HALF_A_PAIR = b'{"prompt": {"portrait_image": "x", "audio_clip": "x", "\\ud800": 1}}'
PORTRAIT = Path(__file__).parents[2] / "sonoscope" / "media" / "portrait_astronaut.png"


@pytest.mark.parametrize(
    ("inputs", "form", "status", "kind", "field", "stage"),
    [
        ({}, {"inference_steps": "0"}, 422, "invalid_parameter", "inference_steps", "admission"),
        ({}, {"motion_scale": "1"}, 422, "invalid_parameter", "motion_scale", "admission"),
        ({}, {"fps": "fast"}, 422, "invalid_parameter", "fps", "admission"),
        ({"portrait": b""}, {}, 422, "image_undecodable", "portrait", "admission"),
        ({"audio": b""}, {}, 422, "audio_undecodable", "audio", "admission"),
        ({"portrait": b"not a picture"}, {}, 422, "image_undecodable", "portrait", "preprocess_image"),
        ({"portrait": BOMB}, {}, 422, "image_too_large", "portrait", "preprocess_image"),
        ({"portrait": NOISE}, {}, 422, "face_not_found", "portrait", "preprocess_image"),
        ({"portrait": saved(dog(), "PNG")}, {}, 422, "face_not_found", "portrait", "preprocess_image"),
        ({"audio": b"not a recording"}, {}, 422, "audio_undecodable", "audio", "load_audio"),
        ({"audio": wav(TONE)}, {}, 422, "audio_too_short", "audio", "load_audio"),
        ({"audio": wav(np.zeros(32_000))}, {}, 422, "audio_silent", "audio", "load_audio"),
        ({"audio": wav(np.sin(np.arange(640_000) / 5))[:640_000]}, {}, 422, "audio_undecodable", "audio", "load_audio"),
        ({"audio": wav(np.zeros(601 * 4000), 4000)}, {}, 422, "audio_too_long", "audio", "load_audio"),
        ({}, {"model_name": "sonic"}, 422, "invalid_parameter", "model_name", "run_inference"),
    ],
)
def test_bad_input_is_refused_and_recorded(
    service: Any, inputs: dict[str, bytes], form: dict[str, str], status: int, kind: str, field: str, stage: str
) -> None:
    answer = service.generate(**inputs, **form)
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["field"]) == (status, kind, field)
    assert error["hint"]
    assert error["message"]
    check_failed(service, answer.headers["x-request-id"], kind, stage, status)
    assert error["trace_id"] == answer.headers["traceparent"].split("-")[1]


def check_failed(service: Any, request_id: str, kind: str, stage: str, status: int) -> None:
    """One terminal event, the record span in error, and no file of this request."""
    record = service.record(request_id)
    terminal = [event for event in record.events if event["event_type"] in fields.TERMINAL_EVENTS]
    assert [event["event_type"] for event in terminal] == ["request_failed"]
    assert (terminal[0]["error_type"], terminal[0]["failed_stage"], terminal[0]["http_status"]) == (kind, stage, status)
    roots = [span for span in record.spans if span.name == "sonic_generation"]
    assert len(roots) == 1
    assert roots[0].status == "error"
    assert roots[0].attributes["error_type"] == kind
    assert not (service.data_dir / "videos" / f"{request_id}.mp4").exists()
    assert not service.stray_files()


def test_a_body_over_the_limit_is_refused(service: Any) -> None:
    answer = service.generate(audio=b"x" * (9 * 2**20))
    assert answer.status_code == 413
    assert answer.json()["error"]["type"] == "too_large"
    check_failed(service, answer.headers["x-request-id"], "too_large", "admission", 413)


def test_a_body_over_the_limit_without_a_length_is_refused(service: Any) -> None:
    boundary = "b" * 20
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="audio"; filename="a.wav"\r\n\r\n'.encode()

    def body():
        yield head
        for _ in range(9):
            yield b"x" * 2**20

    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    answer = httpx.post(f"{service.url}/generate", content=body(), headers=headers, timeout=30)
    assert answer.status_code == 413
    assert answer.json()["error"]["type"] == "too_large"


@pytest.mark.parametrize(
    ("request_", "status", "kind"),
    [
        ({"content": b"hello", "headers": {"Content-Type": "text/plain"}}, 415, "unsupported_media"),
        ({"content": b"{", "headers": {"Content-Type": "application/json"}}, 422, "invalid_parameter"),
        ({"json": {"prompt": {"portrait_image": "f" * 64, "audio_clip": "e" * 64}}}, 404, "asset_not_found"),
        ({"json": {"prompt": {"portrait_image": "../../etc/passwd", "audio_clip": "e" * 64}}}, 422, "invalid_parameter"),
        ({"json": {"portrait": "x"}}, 422, "invalid_parameter"),
        ({"content": HALF_A_PAIR, "headers": {"Content-Type": "application/json"}}, 422, "invalid_parameter"),
    ],
)
def test_other_bodies(service: Any, request_: dict[str, Any], status: int, kind: str) -> None:
    answer = httpx.post(f"{service.url}/generate", timeout=30, **request_)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["type"] == kind


@pytest.mark.parametrize("path", ["/videos/..%2f..%2fredact.key.mp4", "/videos/nothing.mp4", "/jobs/nothing", "/nowhere"])
def test_what_is_not_there_is_404_in_our_shape(service: Any, path: str) -> None:
    answer = httpx.get(service.url + path)
    assert answer.status_code == 404
    assert answer.json()["error"]["type"] == "not_found"
    assert answer.headers["x-request-id"]


def test_a_deadline_that_passes_during_the_work_stops_it(service: Any) -> None:
    answer = service.generate(audio=service.long_speech(), headers={"X-Deadline-Seconds": "1.5"})
    assert answer.status_code == 504
    assert answer.json()["error"]["type"] == "deadline_exceeded"
    record = service.record(answer.headers["x-request-id"])
    assert record.request["latency_s"] < 6
    check_failed(service, answer.headers["x-request-id"], "deadline_exceeded", record.request["failed_stage"], 504)


def test_a_deadline_that_passes_in_the_queue_never_starts_the_work(service: Any) -> None:
    answer = service.generate(headers={"X-Deadline-Seconds": "0"})
    assert answer.status_code == 504
    check_failed(service, answer.headers["x-request-id"], "deadline_exceeded", "queue", 504)
    assert {span.name for span in service.record(answer.headers["x-request-id"]).spans} == {"sonic_generation", "queue_wait"}


def test_a_job_is_cancelled_in_the_middle(service: Any) -> None:
    job = service.submit(service.long_speech())
    service.until_encoding(job["job_id"])
    assert httpx.delete(f"{service.url}/jobs/{job['job_id']}").status_code == 202
    ended = service.wait(job["job_id"], timeout_s=10)
    assert ended["state"] == "cancelled"
    assert ended["frames"] < ended["frames_total"]
    service.settle()
    check_failed(service, job["request_id"], "cancelled", "run_inference", 409)


def test_a_cancelled_job_stays_cancelled_and_a_finished_one_finished(service: Any) -> None:
    job = service.generate(min_resolution="128").json()
    assert httpx.delete(f"{service.url}/jobs/{job['job_id']}").json()["state"] == "succeeded"


def test_a_client_that_goes_away_stops_its_work(service: Any) -> None:
    files = {
        "portrait": ("p.png", PORTRAIT.read_bytes()),
        "audio": ("a.wav", service.long_speech()),
    }
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{service.url}/generate", files=files, timeout=httpx.Timeout(30, read=2.0))
    newest = httpx.get(f"{service.url}/jobs", params={"limit": 1}).json()[0]
    ended = service.wait(newest["job_id"], timeout_s=10)
    assert ended["state"] == "cancelled"
    service.settle()
    check_failed(service, newest["request_id"], "cancelled", "run_inference", 409)


def test_events_of_a_job_arrive_as_they_happen(service: Any) -> None:
    job = service.submit(service.long_speech(12.0))
    with service.client() as client:
        seen = list(client.watch(job["job_id"]))
    assert seen[-1].state == "succeeded"
    assert {one.stage for one in seen} >= {"run_inference", "encode_video"}
    assert seen[-1].step == seen[-1].steps == 25
    frames = [one.frames for one in seen if one.frames]
    assert frames == sorted(frames)
    assert len(set(frames)) > 3
    assert seen[-1].result is not None
    assert seen[-1].result.request_id == job["request_id"]


def test_many_short_requests_at_once_all_succeed(service: Any) -> None:
    failed: list[str] = []

    def one() -> None:
        for _ in range(8):
            answer = service.generate(min_resolution="128")
            if answer.status_code != 200:
                failed.append(answer.text)

    threads = [threading.Thread(target=one) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
