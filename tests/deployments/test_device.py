"""Memory that is not there is told from other errors, let go of afterwards, and the device's seconds are shared out."""

from __future__ import annotations

import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from deployments import device
from deployments.device import Turn, Turns, described, memory, out_of_memory, pick_device, recover
from serve.settings import Settings

ABSURD = 2**46
"""Bytes that no machine gives: more than half of what a process can address."""


def raised(work: Callable[[], object]) -> BaseException:
    with pytest.raises((RuntimeError, MemoryError, cv2.error)) as caught:
        work()
    return caught.value


def test_every_library_that_finds_no_memory_is_understood() -> None:
    assert out_of_memory(raised(lambda: torch.empty(ABSURD, dtype=torch.uint8)))
    assert out_of_memory(raised(lambda: np.empty(2 * ABSURD, np.uint8)))
    one = np.zeros((1, 1, 4), np.float64)
    assert out_of_memory(raised(lambda: cv2.resize(one, (2**22, 2**21))))
    assert out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."))
    assert out_of_memory(RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"))


def test_other_errors_are_not_taken_for_it() -> None:
    assert not out_of_memory(raised(lambda: torch.zeros(2) @ torch.zeros(3)))
    assert not out_of_memory(raised(lambda: cv2.resize(np.zeros((1, 1), np.uint8), (0, 0))))
    assert not out_of_memory(ValueError("CUDA out of memory"))
    assert not out_of_memory(None)


def test_recovery_lets_go_of_what_the_failed_request_held() -> None:
    def inner(held: list[weakref.ref[torch.Tensor]]) -> None:
        large = torch.zeros(1000)
        held.append(weakref.ref(large))
        torch.empty(ABSURD, dtype=torch.uint8)

    def outer(held: list[weakref.ref[torch.Tensor]]) -> None:
        try:
            inner(held)
        except RuntimeError as error:
            raise ValueError("said in other words") from error

    held: list[weakref.ref[torch.Tensor]] = []
    with pytest.raises(ValueError, match="other words") as caught:
        outer(held)
    assert held[0]() is not None
    recover(caught.value, "cpu")
    assert held[0]() is None


def test_seconds_at_a_time_are_shared_and_pauses_are_nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(device.time, "monotonic", lambda: now)
    turns = Turns("cpu")
    one, other = Turn(turns), Turn(turns)
    with one:
        now = 2.0  # alone
        with other:
            now = 6.0  # two
            with one.paused():
                now = 7.0  # the other alone
            now = 9.0  # two
    assert (one.seconds, other.seconds) == (2 + 2 + 1, 2 + 1 + 1)
    with one:
        now = 10.0
    assert one.seconds == 6


def test_a_cpu_has_no_device_memory_and_is_called_cpu() -> None:
    assert memory("cpu").keys() == {"peak_memory_mb"}
    assert described("cpu") == "cpu"
    assert pick_device("cuda:3") == "cuda:3"


@pytest.mark.parametrize(("num_gpus", "asked", "share"), [(0.5, None, 0.5), (1.0, None, None), (0.0, None, None), (0.5, 0.4, 0.4)])
def test_a_replica_that_shares_a_gpu_may_take_its_share(num_gpus: float, asked: float | None, share: float | None) -> None:
    settings = Settings.model_validate({"stages": {"run_inference": {"num_gpus": num_gpus}}, "device_memory_share": asked})
    assert settings.device_share == share


LIMITED = """
import resource, sys
import cv2, numpy as np, torch
from PIL import Image
from deployments.device import recover
from deployments.models.facemesh import FaceMesh
from deployments.models.lite import Lite
from deployments.models.protocol import Portrait, Speech
from telemetry.errors import RequestError

torch.set_num_threads(1)
picture = np.asarray(Image.open(sys.argv[1]).convert("RGB"))[20:260, 100:340]
finder = FaceMesh()
def portrait(size):
    pixels = cv2.resize(picture, (size, size), interpolation=cv2.INTER_CUBIC)
    return Portrait(pixels, finder.fit(pixels, finder.detect(pixels)[0])[0], str(size))
small, large = portrait(128), portrait(1024)
lite, speech = Lite(), Speech(np.zeros(16000, np.float32))
lite.load("cpu")
parameters = {"inference_steps": 2, "dynamic_scale": 1.0, "fps": 25.0, "seed": 0}
def frames(which):
    return sum(len(chunk) for chunk in lite.generate(which, speech, parameters, lambda k, n: None))
print(frames(small))
taken = next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmData:"))
_, hard = resource.getrlimit(resource.RLIMIT_DATA)
resource.setrlimit(resource.RLIMIT_DATA, (taken + int(sys.argv[2]) * 2**20, hard))
for _ in range(3):
    try:
        print(frames(large))
    except RequestError as error:
        print(error.type, type(error.__cause__).__name__)
        recover(error, "cpu")
    print(frames(small))
"""


@pytest.mark.parametrize(("mb", "large"), [(100, "out_of_memory"), (4000, "25")])
def test_a_bounded_replica_refuses_what_is_too_large_and_goes_on_with_what_fits(mb: int, large: str) -> None:
    """A chunk of 1024 px alone is 79 MB, beside what is made of the portrait."""
    media = str(Path(__file__).parents[2] / "sonoscope" / "media" / "portrait_astronaut.png")
    done = subprocess.run([sys.executable, "-c", LIMITED, media, str(mb)], capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr[-2000:]
    said = done.stdout.split("\n")
    assert said[0] == "25"
    for k in (1, 3, 5):
        assert said[k].split()[0] == large, said
        assert said[k + 1] == "25"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can use")
def test_a_gpu_that_is_full_is_one_error_and_the_next_request_finds_memory() -> None:
    device.limit_memory("cuda:0", share=0.05)
    try:
        error = raised(
            lambda: torch.empty(torch.cuda.get_device_properties(0).total_memory // 10, dtype=torch.uint8, device="cuda:0")
        )
        assert out_of_memory(error)
        recover(error, "cuda:0")
        assert torch.ones(1000, device="cuda:0").sum() == 1000
        assert memory("cuda:0")["device_memory_mb"] > 0
    finally:
        device.limit_memory("cuda:0", share=1.0)
