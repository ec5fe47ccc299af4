"""The whole service with its artifacts in S3: what a client sees is the same, and no video lies in the data folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sonoscope.run import read_run
from tests.servers.s3 import BUCKET, CREDENTIALS, S3
from tests.service.conftest import Service, sonoscope

pytestmark = [pytest.mark.service, pytest.mark.server, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    server = S3()
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, s3: S3) -> Iterator[Service]:
    """A service of its own whose artifacts lie in `s3`."""
    data_dir = tmp_path_factory.mktemp("service")
    env: dict[str, Any] = {
        **CREDENTIALS,
        "SONOSCOPE_PORT": "0",
        "SONOSCOPE_DASHBOARD": "false",
        "SONOSCOPE_CONSOLE": "false",
        "SONOSCOPE_ARTIFACTS_URL": f"s3://{BUCKET}/service",
        "SONOSCOPE_ARTIFACTS_ENDPOINT": s3.url,
    }
    started = sonoscope(data_dir, "up", "-d", **env)
    try:
        run = read_run(data_dir)
        assert started.returncode == 0, started.stderr
        assert run is not None
        yield Service(run, data_dir)
    finally:
        sonoscope(data_dir, "down")


def in_data_dir(service: Service) -> list[Path]:
    return [path for name in ("assets", "videos") for path in (service.data_dir / name).iterdir()]


def test_a_video_lies_in_the_store_and_comes_back_in_ranges(service: Service, s3: S3) -> None:
    answer = service.generate(audio=service.long_speech(4.0), min_resolution="256", inference_steps="10")
    assert answer.status_code == 200, answer.text
    made = answer.json()
    id = made["request_id"]
    whole = httpx.get(service.url + made["video_url"], timeout=60)
    assert whole.headers["accept-ranges"] == "bytes"
    assert len(whole.content) == made["outcomes"]["response_bytes"]
    stored = s3.client().get_object(Bucket=BUCKET, Key=f"service/videos/{id}.mp4")["Body"].read()
    assert whole.content == stored
    part = httpx.get(service.url + made["video_url"], headers={"Range": "bytes=100-199", "If-Range": whole.headers["etag"]})
    assert (part.status_code, part.headers["content-range"]) == (206, f"bytes 100-199/{len(stored)}")
    assert part.content == stored[100:200]
    beyond = httpx.get(service.url + made["video_url"], headers={"Range": f"bytes={len(stored)}-"})
    assert beyond.status_code == 416
    assert in_data_dir(service) == []
    assert f"service/videos/{id}.sync.parquet" in s3.names()


def test_an_upload_by_id_works_after_this_node_lost_its_copies(service: Service) -> None:
    portrait, audio = (
        (Path(__file__).parents[2] / "sonoscope" / "media" / "portrait_astronaut.png").read_bytes(),
        service.long_speech(1.0),
    )
    ids = [httpx.post(f"{service.url}/assets", files={"file": one}).json()["asset_id"] for one in (portrait, audio)]
    for path in (service.data_dir / "artifacts" / "files").iterdir():
        path.unlink()
    for path in (service.data_dir / "cache").iterdir():
        path.unlink()
    order = {"portrait_image": ids[0], "audio_clip": ids[1], "min_resolution": 128, "inference_steps": 4}
    answer = httpx.post(f"{service.url}/generate", json={"prompt": order}, timeout=120)
    assert answer.status_code == 200, answer.text
    assert httpx.get(service.url + answer.json()["video_url"], timeout=60).status_code == 200


def test_a_store_that_hangs_is_an_error_that_may_be_tried_again_and_then_a_video(service: Service, s3: S3) -> None:
    audio = service.long_speech(1.2)
    s3.kill()
    assert httpx.get(f"{service.url}/readyz", timeout=60).json()["artifacts"] == "UNREACHABLE"
    refused = service.generate(audio=audio, min_resolution="128", inference_steps="4")
    assert (refused.status_code, refused.json()["error"]["type"]) == (503, "store_unreachable")
    s3.start()
    answer = service.generate(audio=audio, min_resolution="128", inference_steps="4")
    assert answer.status_code == 200, answer.text
    assert httpx.get(f"{service.url}/readyz", timeout=60).json()["artifacts"] == "HEALTHY"


def test_a_store_that_is_lost_while_a_job_runs_delays_it(service: Service, s3: S3) -> None:
    job = service.submit(service.long_speech(6.0), min_resolution="256", inference_steps="10")
    service.until_encoding(job["job_id"])
    s3.kill()
    # Its inputs are on this node; only the video cannot be stored now.
    retried = service.wait(job["job_id"], until=("queued", "succeeded", "failed"))
    assert retried["state"] == "queued", retried
    s3.start()
    # moto keeps its objects in memory: what was uploaded is gone with it, so the client's own uploads go in again.
    assert service.generate(audio=service.long_speech(6.0), min_resolution="256", inference_steps="10").status_code == 200
    ended = service.wait(job["job_id"])
    assert (ended["state"], ended["attempt"] > 1) == ("succeeded", True), ended
    assert httpx.get(f"{service.url}/videos/{ended['request_id']}.mp4", timeout=60).status_code == 200
