"""The asynchronous client, and ComfyUI's nodes, against the running service."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
import threading
import types
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sonoscope.async_client import AsyncClient
from sonoscope.client import Blob, Client, ServiceError
from tests.service.conftest import PORTRAIT, SPEECH, Service

torch = pytest.importorskip("torch", reason="the extra `serve` brings torch")
pytestmark = [pytest.mark.service, pytest.mark.xdist_group("service")]
PACK = Path(__file__).parents[2] / "integrations" / "comfyui"
SMALL = {"inference_steps": 5, "min_resolution": 128}


def test_the_asynchronous_client_makes_fetches_scores_and_asks(service: Service, tmp_path: Path) -> None:
    async def run() -> tuple[str, int, list[dict[str, Any]]]:
        async with AsyncClient(service.url) as client:
            made = await client.generate(PORTRAIT, SPEECH["zh"], headers={"X-Request-ID": "by the client"}, **SMALL)
            size = await client.download(made.request_id, tmp_path / "out.mp4")
            await client.score(made.request_id, 1)
            found = await client.query(f'request_id = "{made.request_id}"', since="1h", data_dir=service.data_dir)
            return made.request_id, size, found

    request_id, size, found = asyncio.run(run())
    assert (tmp_path / "out.mp4").stat().st_size == size > 0
    assert [row["request_id"] for row in found] == [request_id]
    assert found[0]["inference_steps"] == 5


def test_a_cancelled_task_cancels_its_job(service: Service) -> None:
    begun: list[str] = []

    async def run() -> None:
        async with AsyncClient(service.url) as client:
            speech = Blob("long.wav", service.long_speech())
            started = asyncio.Event()

            def seen(job: Any) -> None:
                begun.append(job.job_id)
                started.set()

            task = asyncio.create_task(client.generate(PORTRAIT, speech, on_change=seen))
            await started.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(run())
    assert service.wait(begun[0])["state"] == "cancelled"
    service.settle()


def test_the_same_key_is_the_same_job(service: Service) -> None:
    with Client(service.url) as client:
        key = {"Idempotency-Key": "test-of-the-client"}
        first, second = (client.submit(PORTRAIT, SPEECH["zh"], headers=key, **SMALL) for _ in range(2))
        assert first.job_id == second.job_id
        client.wait(first.job_id)


class Interrupted(Exception):
    """Stands for ComfyUI's InterruptProcessingException."""


class Host:
    """What the nodes use of ComfyUI, written by its documented names; the real one is not needed by the suite."""

    def __init__(self, temp: Path) -> None:
        self.temp = temp
        self.progress: list[tuple[int, int]] = []
        self.interrupted = threading.Event()

    def modules(self) -> dict[str, types.ModuleType]:
        host = self

        class ProgressBar:
            def __init__(self, total: int) -> None:
                self.total = total

            def update_absolute(self, value: int, total: int | None = None) -> None:
                host.progress.append((value, total or self.total))

        def look() -> None:
            if host.interrupted.is_set():
                raise Interrupted

        named = {
            "comfy.utils": {"ProgressBar": ProgressBar},
            "comfy.model_management": {"throw_exception_if_processing_interrupted": look},
            "comfy_api.input_impl": {"VideoFromFile": lambda path: path},
            "folder_paths": {"get_temp_directory": lambda: str(host.temp)},
        }
        made = {name: types.ModuleType(name) for name in ("comfy", "comfy_api", *named)}
        for name, members in named.items():
            vars(made[name]).update(members)
            parent, _, child = name.rpartition(".")
            if parent:
                setattr(made[parent], child, made[name])
        return made


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.fixture
def pack(host: Host, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The folder, loaded as ComfyUI loads a custom node: by its path, under a name of its own."""
    for name, module in host.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    spec = importlib.util.spec_from_file_location("comfy_pack", PACK / "__init__.py", submodule_search_locations=[str(PACK)])
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "comfy_pack", module)
    spec.loader.exec_module(module)
    yield module
    for name in ("comfy_pack.nodes", "comfy_pack.media"):
        sys.modules.pop(name, None)


def picture() -> Any:
    return torch.from_numpy(np.asarray(Image.open(PORTRAIT).convert("RGB"), np.float32) / 255.0)[None]


def sound(seconds: float | None = None) -> dict[str, Any]:
    with wave.open(str(SPEECH["en"])) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(np.float32) / 32768.0
        rate = file.getframerate()
    samples = samples if seconds is None else np.resize(samples, int(seconds * rate))
    return {"waveform": torch.from_numpy(samples.copy())[None, None], "sample_rate": rate}


def defaults(node: Any) -> dict[str, Any]:
    """What ComfyUI sends for widgets that nobody touched."""
    asked = node.INPUT_TYPES()["required"]
    return {name: one[1]["default"] for name, one in asked.items() if len(one) == 2}


def test_the_generate_node_makes_a_video_and_says_its_drift(service: Service, pack: Any, host: Host) -> None:
    node = pack.NODE_CLASS_MAPPINGS["SonoscopeGenerate"]
    values = defaults(node) | SMALL
    answers = getattr(node(), node.FUNCTION)(portrait=picture(), audio=sound(), url=service.url, **values)
    assert len(answers) == len(node.RETURN_TYPES) == len(node.RETURN_NAMES)
    path, job_id, drift_ms, _ = answers
    assert Path(path).stat().st_size > 0
    outcomes = service.wait(job_id)["result"]["outcomes"]
    measured = outcomes.get("audio_drift_ms")
    assert drift_ms == measured if measured is not None else np.isnan(drift_ms)
    assert host.progress
    assert all(0 <= value <= total for value, total in host.progress)


def test_a_cancel_in_comfyui_cancels_the_job(service: Service, pack: Any, host: Host) -> None:
    node = pack.NODE_CLASS_MAPPINGS["SonoscopeGenerate"]
    host.interrupted.set()
    with pytest.raises(Interrupted):
        node().generate(portrait=picture(), audio=sound(40.0), url=service.url, **defaults(node))
    with Client(service.url) as client:
        newest = client.jobs(limit=1)[0]
    assert newest.state == "cancelled"
    service.settle()


def test_the_recognize_node_names_a_batch(service: Service, pack: Any) -> None:
    node = pack.NODE_CLASS_MAPPINGS["SonoscopeRecognize"]
    en, zh, score = node().recognize(image=torch.cat([picture(), picture()]), url=service.url)
    assert len(en) == len(zh) == len(score) == 2
    assert en[0] == en[1]


def test_a_refusal_reaches_comfyui_with_its_field(service: Service, pack: Any) -> None:
    node = pack.NODE_CLASS_MAPPINGS["SonoscopeGenerate"]
    with pytest.raises(ServiceError) as caught:
        node().generate(portrait=picture(), audio=sound(), url=service.url, **defaults(node) | {"min_resolution": 100})
    assert (caught.value.type, caught.value.field) == ("invalid_parameter", "min_resolution")
