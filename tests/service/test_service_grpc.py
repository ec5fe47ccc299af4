"""The gRPC door of a running service that asks for keys: a video with its progress, errors, cancel, one trace."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import psutil
import pytest

from deployments.media.probe import probe
from serve.grpc import sonoscope_pb2 as pb
from serve.grpc.sonoscope_pb2_grpc import SonoscopeStub
from sonoscope.run import Run, read_run
from tests.service.conftest import PORTRAIT, Service, sonoscope

pytestmark = pytest.mark.service
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ENV = {
    "SONOSCOPE_ACCESS": "on", "SONOSCOPE_PORT": "0", "SONOSCOPE_DASHBOARD": "false", "SONOSCOPE_CONSOLE": "false",
    "SONOSCOPE_GRPC_PORT": "0", "SONOSCOPE_MAX_UPLOAD_BYTES": str(4 * 2**20),
}  # fmt: skip


class Door:
    """A running service, a client of its gRPC door, and the key of an operator."""

    def __init__(self, run: Run, data_dir: Path, key: str):
        assert run.grpc_address is not None
        self.service, self.key, self.address = Service(run, data_dir), key, run.grpc_address
        self.channel = grpc.insecure_channel(run.grpc_address)
        self.stub = SonoscopeStub(self.channel)

    def metadata(self, **more: str) -> list[tuple[str, str]]:
        """The key, and what else the call says of itself."""
        return [("authorization", f"Bearer {self.key}"), *((name.replace("_", "-"), value) for name, value in more.items())]


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    data_dir = tmp_path_factory.mktemp("grpc")
    key = sonoscope(data_dir, "keys", "add", "ann", "--department", "film", "--role", "operator").stdout.strip()
    started = sonoscope(data_dir, "up", "-d", **ENV)
    try:
        assert started.returncode == 0, started.stderr
        run = read_run(data_dir)
        assert run is not None
        assert f"gRPC       {run.grpc_address}" in started.stdout
        opened = Door(run, data_dir, key)
        yield opened
        opened.channel.close()
    finally:
        sonoscope(data_dir, "down")


def order(seconds: float = 1.0, **parameters: Any) -> pb.GenerateRequest:
    """A small video."""
    given = {"min_resolution": 128, "inference_steps": 2, **parameters}
    return pb.GenerateRequest(
        portrait=pb.Media(data=PORTRAIT.read_bytes(), name="portrait.png"),
        audio=pb.Media(data=Service.long_speech(seconds), name="speech.wav"),
        parameters=pb.Parameters(**given),
    )


def metadata_of(call: Any) -> dict[str, Any]:
    """The trailing metadata of a call."""
    return dict(call.trailing_metadata() or ())


def told(error: grpc.RpcError) -> tuple[grpc.StatusCode, pb.Error]:
    """Status and error of a call that failed."""
    assert isinstance(error, grpc.Call)
    trailing = metadata_of(error)
    found = pb.Error.FromString(trailing["error-bin"])
    assert trailing["error-type"] == found.type
    return error.code(), found


def test_a_video_with_its_progress_and_one_trace(door: Door, tmp_path: Path) -> None:
    call = door.stub.Generate(order(seed=7), metadata=door.metadata(traceparent=PARENT, x_request_id="mine"), timeout=120)
    *steps, last = list(call)
    assert last.WhichOneof("kind") == "result"
    assert {step.WhichOneof("kind") for step in steps} == {"job"}
    assert steps[-1].job.state == "succeeded"
    result = last.result
    trailing = metadata_of(call)
    assert call.code() == grpc.StatusCode.OK
    assert trailing["x-request-id"] == result.request_id == steps[0].job.request_id
    assert trailing["traceparent"].split("-")[1] == result.trace_id == PARENT.split("-")[1]
    assert (result.parameters.seed, result.parameters.min_resolution, result.parameters.fps) == (7, 128, 25.0)
    video = tmp_path / "out.mp4"
    answer = httpx.get(door.service.url + result.video_url, headers={"Authorization": f"Bearer {door.key}"})
    video.write_bytes(answer.raise_for_status().content)
    facts = probe(video)
    assert (facts.video_codec, facts.audio_codec) == ("h264", "aac")
    assert result.outcomes["video_frames"] == pytest.approx(facts.video_s * 25, abs=1)
    record = door.service.record(result.request_id)
    root = next(span for span in record.spans if span.name == "sonic_generation")
    assert root.parent_id == PARENT.split("-")[2]
    assert record.request["client_request_id"] == "mine"
    assert record.request["department"] == "film"
    assert door.stub.GetJob(pb.JobRequest(id=result.job_id), metadata=door.metadata()).result == result


@pytest.mark.parametrize("method", ["Generate", "GetJob", "Recognize"])
def test_a_wrong_key_is_told_so(door: Door, method: str) -> None:
    kinds = {"Generate": order(), "GetJob": pb.JobRequest(id="x"), "Recognize": pb.RecognizeRequest()}
    wrong = [("authorization", "Bearer wrong")]

    def ask() -> None:
        answer = getattr(door.stub, method)(kinds[method], metadata=wrong, timeout=60)
        list(answer if method == "Generate" else ())

    with pytest.raises(grpc.RpcError) as refused:
        ask()
    status, error = told(refused.value)
    assert (status, error.type) == (grpc.StatusCode.UNAUTHENTICATED, "unauthorized")


def test_a_bad_parameter_is_named_and_leaves_its_record(door: Door) -> None:
    call = door.stub.Generate(order(inference_steps=101), metadata=door.metadata(), timeout=60)
    seen = []
    with pytest.raises(grpc.RpcError) as refused:
        seen.extend(call)
    status, error = told(refused.value)
    assert status == grpc.StatusCode.INVALID_ARGUMENT
    assert (error.type, error.field) == ("invalid_parameter", "inference_steps")
    assert "101" in error.message
    request_id = metadata_of(call)["x-request-id"]
    assert door.service.record(request_id).request["error_type"] == "invalid_parameter"


def test_a_file_that_is_no_picture_ends_the_stream_with_its_error(door: Door) -> None:
    asked = order()
    asked.portrait.data = b"no picture"
    call, seen = door.stub.Generate(asked, metadata=door.metadata(), timeout=120), []
    with pytest.raises(grpc.RpcError) as refused:
        seen.extend(call)
    status, error = told(refused.value)
    assert (status, error.type) == (grpc.StatusCode.INVALID_ARGUMENT, "image_undecodable")
    assert seen[-1].error.type == "image_undecodable"


def ended(door: Door, job_id: str) -> pb.Job:
    """The job in a final state."""
    end = time.monotonic() + 90
    while time.monotonic() < end:
        job = door.stub.GetJob(pb.JobRequest(id=job_id), metadata=door.metadata())
        if job.state in ("succeeded", "failed", "cancelled"):
            return job
        time.sleep(0.05)
    raise AssertionError(job_id)


def test_a_client_that_goes_away_cancels_its_job(door: Door) -> None:
    call = door.stub.Generate(order(30.0, inference_steps=100), metadata=door.metadata())
    job_id = next(call).job.job_id
    call.cancel()
    assert ended(door, job_id).state == "cancelled"


def test_cancel_ends_the_stream_and_a_key_gives_the_same_job(door: Door) -> None:
    asked, key = order(30.0, inference_steps=100, seed=1), door.metadata(idempotency_key="once", prefer="respond-async")
    first, second = (list(door.stub.Generate(asked, metadata=key, timeout=60)) for _ in range(2))
    assert len(first) == len(second) == 1
    job_id = first[0].job.job_id
    assert second[0].job.job_id == job_id
    call = door.stub.Generate(asked, metadata=door.metadata(idempotency_key="once"), timeout=120)
    assert next(call).job.job_id == job_id
    door.stub.Cancel(pb.JobRequest(id=job_id), metadata=door.metadata())
    with pytest.raises(grpc.RpcError) as over:
        list(call)
    status, error = told(over.value)
    assert (status, error.type) == (grpc.StatusCode.CANCELLED, "cancelled")


def test_pictures_are_recognised(door: Door) -> None:
    picture = pb.Media(data=PORTRAIT.read_bytes(), name="astronaut.png")
    answer = door.stub.Recognize(
        pb.RecognizeRequest(images=[picture, pb.Media(data=b"none")]), metadata=door.metadata(), timeout=60
    )
    assert [one.status for one in answer.results] == ["ok", "error"]
    assert answer.failed == 1
    assert len(answer.results[0].top3) == 3
    assert answer.results[1].error.type == "image_undecodable"


def test_a_message_beyond_the_bound_is_refused(door: Door) -> None:
    asked = order()
    asked.audio.data = b"x" * (5 * 2**20)
    with pytest.raises(grpc.RpcError) as refused:
        list(door.stub.Generate(asked, metadata=door.metadata(), timeout=60))
    assert isinstance(refused.value, grpc.Call)
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_on_loopback_nobody_comes_from_elsewhere(door: Door) -> None:
    families = [address for found in psutil.net_if_addrs().values() for address in found if address.family.name == "AF_INET"]
    other = [address.address for address in families if not address.address.startswith("127.")]
    if not other:
        pytest.skip("this machine has no address beside loopback")
    with grpc.insecure_channel(f"{other[0]}:{door.address.rpartition(':')[2]}") as channel, pytest.raises(grpc.RpcError) as refused:
        SonoscopeStub(channel).GetJob(pb.JobRequest(id="x"), metadata=door.metadata(), timeout=60)
    status, error = told(refused.value)
    assert (status, error.type) == (grpc.StatusCode.PERMISSION_DENIED, "forbidden")
