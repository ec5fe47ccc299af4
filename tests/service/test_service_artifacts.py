"""The whole service with its artifacts in S3: what a client sees is the same, and no video lies in the data folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.servers.s3 import BUCKET, CREDENTIALS, S3
from tests.service.conftest import Service, service_of_its_own

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
    at = {"SONOSCOPE_ARTIFACTS_URL": f"s3://{BUCKET}/service", "SONOSCOPE_ARTIFACTS_ENDPOINT": s3.url}
    with service_of_its_own(tmp_path_factory.mktemp("service"), **CREDENTIALS, **at) as started:
        yield started


def in_data_dir(service: Service) -> list[Path]:
    return [path for name in ("assets", "videos") for path in (service.data_dir / name).iterdir()]


def test_a_video_lies_in_the_store_and_comes_back_in_ranges(service: Service, s3: S3) -> None:
    answer = service.generate(audio=service.long_speech(1.0), min_resolution="128", inference_steps="4")
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
