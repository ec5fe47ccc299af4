"""The official Sonic through the whole service, on tiny random checkpoints: the video is noise, everything around it is real.

Skipped without a checkout: SONIC_TEST_CHECKOUT names it, SONIC_TEST_PYTHON a Python that has its requirements.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import psutil
import pytest

from deployments.media.probe import probe
from tests.service.conftest import Service, service_of_its_own

CHECKOUT, PYTHON = os.environ.get("SONIC_TEST_CHECKOUT"), os.environ.get("SONIC_TEST_PYTHON")
TINY = Path(__file__).parents[1] / "deployments" / "models" / "sonic" / "tiny.py"
pytestmark = [
    pytest.mark.service,
    pytest.mark.chaos,
    pytest.mark.skipif(not (CHECKOUT and PYTHON), reason="set SONIC_TEST_CHECKOUT and SONIC_TEST_PYTHON to run the official code"),
    pytest.mark.timeout(900),
]
FORM = {"model_name": "sonic", "min_resolution": "128", "inference_steps": "3", "seed": "0"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service of its own that knows where Sonic lies."""
    assert CHECKOUT is not None
    assert PYTHON is not None
    checkpoints = tmp_path_factory.mktemp("sonic") / "checkpoints"
    subprocess.run([PYTHON, str(TINY), CHECKOUT, str(checkpoints)], check=True, capture_output=True)
    told = {"CHECKOUT": CHECKOUT, "CHECKPOINTS": str(checkpoints), "PYTHON": PYTHON}
    env = {f"SONOSCOPE_BACKENDS__SONIC__{name}": value for name, value in told.items()}
    with service_of_its_own(tmp_path_factory.mktemp("service"), **env) as started:
        yield started
    shutil.rmtree(checkpoints)


def made(service: Service, **more: str) -> dict[str, Any]:
    """One generation of a second of speech."""
    answer = service.generate(audio=service.long_speech(1.0), **{**FORM, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def pictures(service: Service, answer: dict[str, Any], folder: Path) -> np.ndarray:
    """The frames of the finished file."""
    path = folder / f"{answer['request_id']}.mp4"
    service.download(answer["request_id"], path)
    with av.open(str(path)) as file:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])


def worker(service: Service) -> psutil.Process:
    """Sonic's own process, a child of the stage's replica."""
    replica = service.replica("run_inference")
    (found,) = [one for one in replica.children(recursive=True) if "sonic/worker.py" in " ".join(one.cmdline())]
    return found


def until_drawing(service: Service, job_id: str) -> dict[str, Any]:
    """The job once a step is done."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        job = httpx.get(f"{service.url}/jobs/{job_id}", timeout=30).json()
        if job["step"]:
            return job
        assert job["state"] in ("queued", "running"), job
        time.sleep(0.05)
    raise AssertionError("no step was done")


def test_a_video_plays_and_its_record_names_the_model(service: Service, tmp_path: Path) -> None:
    answer = made(service)
    path = tmp_path / "video.mp4"
    service.download(answer["request_id"], path)
    facts = probe(path)
    assert (facts.video_codec, facts.audio_codec) == ("h264", "aac")
    assert answer["outcomes"]["video_frames"] == 25
    assert abs(facts.video_s - facts.audio_s) <= 1 / 25 + 0.001, "Sonic itself cuts the tail"
    row = service.record(answer["request_id"]).request
    assert (row["status"], row["model_name"], row["inference_steps"], row["seed"]) == ("ok", "sonic", 3, 0)
    assert row["model_version"].startswith("sonic-")
    assert row["run_inference_ms"] > 0


def test_the_seed_decides_and_lite_is_served_beside_it(service: Service, tmp_path: Path) -> None:
    one, again, other = (pictures(service, made(service, seed=seed), tmp_path) for seed in ("0", "0", "7"))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert made(service, model_name="lite")["parameters"]["model_name"] == "lite"


def test_what_sonic_cannot_do_is_said_by_field(service: Service) -> None:
    answer = service.generate(audio=service.long_speech(1.0), **{**FORM, "fps": "30"})
    assert answer.status_code == 422, answer.text
    error = answer.json()["error"]
    assert (error["type"], error["field"]) == ("invalid_parameter", "fps")
    assert "sonic" in error["message"]


def test_a_cancelled_job_stops_and_its_process_serves_the_next(service: Service) -> None:
    job_id = service.submit(service.long_speech(4.0), **{**FORM, "inference_steps": "50"})["job_id"]
    assert until_drawing(service, job_id)["steps"] == 50
    pid = worker(service).pid
    assert httpx.delete(f"{service.url}/jobs/{job_id}", timeout=30).status_code in (200, 202)
    assert service.wait(job_id)["state"] == "cancelled"
    made(service)
    assert worker(service).pid == pid


def test_a_killed_process_costs_an_attempt_and_no_job(service: Service) -> None:
    job = service.submit(service.long_speech(2.0), **{**FORM, "inference_steps": "20"})
    until_drawing(service, job["job_id"])
    worker(service).kill()
    assert service.wait(job["job_id"], timeout_s=240)["state"] == "succeeded"
    record = service.record(job["request_id"])
    assert (record.request["status"], record.request["attempt"]) == ("ok", 2)
    (retry,) = [event for event in record.events if event["event_type"] == "attempt_failed"]
    assert retry["error_type"] == "replica_lost"
