"""The official code behind our interface, on tiny random checkpoints. Skipped without a checkout:

SONIC_TEST_CHECKOUT names it, SONIC_TEST_PYTHON a Python that has its requirements.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from deployments.models.protocol import Portrait, Speech, frame_count
from deployments.models.sonic.backend import Sonic
from telemetry.errors import RequestError

CHECKOUT, PYTHON = os.environ.get("SONIC_TEST_CHECKOUT"), os.environ.get("SONIC_TEST_PYTHON")
pytestmark = [
    pytest.mark.skipif(not (CHECKOUT and PYTHON), reason="set SONIC_TEST_CHECKOUT and SONIC_TEST_PYTHON to run the official code"),
    pytest.mark.timeout(900),
]


@pytest.fixture(scope="module")
def sonic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sonic]:
    assert CHECKOUT is not None
    assert PYTHON is not None
    checkpoints = tmp_path_factory.mktemp("sonic") / "checkpoints"
    subprocess.run([PYTHON, str(Path(__file__).with_name("tiny.py")), CHECKOUT, str(checkpoints)], check=True, capture_output=True)
    backend = Sonic(CHECKOUT, checkpoints, PYTHON)
    backend.load("cpu")
    yield backend
    backend.close()
    shutil.rmtree(checkpoints)


def portrait(level: int = 150, size: tuple[int, int] = (64, 80)) -> Portrait:
    noise = np.random.default_rng(0).integers(-20, 20, (*size, 3))
    return Portrait(np.clip(level + noise, 0, 255).astype(np.uint8), np.zeros((468, 3), np.float32), "noise")


def made(sonic: Sonic, seconds: float = 0.5, picture: Portrait | None = None, hook: Any = None, **more: Any) -> npt.NDArray[Any]:
    speech = Speech((np.random.default_rng(1).standard_normal(round(seconds * 16_000)) * 0.1).astype(np.float32))
    parameters = {"inference_steps": 1, "dynamic_scale": 1.0, "fps": 25.0, "seed": 0} | more
    return np.concatenate(list(sonic.generate(picture or portrait(), speech, parameters, hook or (lambda k, n: None))))


def test_a_video_in_the_portraits_size_with_its_steps_counted(sonic: Sonic) -> None:
    seen: list[tuple[int, int]] = []
    video = made(sonic, hook=lambda k, n: seen.append((k, n)), inference_steps=3)
    assert video.shape == (13, 64, 80, 3)
    assert video.dtype == np.uint8
    assert video.std() > 1
    assert list(dict.fromkeys(k for k, _ in seen if k)) == [1, 2, 3]
    assert {n for _, n in seen} == {3}


@pytest.mark.parametrize("seconds", [0.3, 0.52, 0.56, 0.61])
def test_no_frame_of_the_tail_is_missing(sonic: Sonic, seconds: float) -> None:
    assert len(made(sonic, seconds)) == frame_count(seconds, 25.0)


def test_the_seed_decides_and_0_is_one(sonic: Sonic) -> None:
    one, other, again = made(sonic, seed=0), made(sonic, seed=7), made(sonic, seed=0)
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_no_face_is_our_error_and_the_worker_goes_on(sonic: Sonic) -> None:
    pid = sonic.worker_pid
    with pytest.raises(RequestError, match="detector found no face") as found:
        made(sonic, picture=portrait(level=0))
    assert found.value.type == "face_not_found"
    assert len(made(sonic)) == 13
    assert sonic.worker_pid == pid


def test_a_cancel_in_the_middle_stops_it_and_leaves_it_loaded(sonic: Sonic) -> None:
    pid, seen = sonic.worker_pid, []

    def cancel(k: int, n: int) -> None:
        seen.append(k)
        if k == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        made(sonic, hook=cancel, inference_steps=50)
    assert max(seen) == 2
    assert len(made(sonic)) == 13
    assert sonic.worker_pid == pid


def test_two_at_once_are_each_as_if_alone(sonic: Sonic) -> None:
    alone = {seed: made(sonic, seed=seed) for seed in (0, 3)}
    together: dict[int, npt.NDArray[Any]] = {}
    threads = [threading.Thread(target=lambda s=seed: together.update({s: made(sonic, seed=s)})) for seed in (0, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(alone[seed], together[seed]) for seed in (0, 3))


def test_a_killed_worker_is_told_and_replaced(sonic: Sonic) -> None:
    made(sonic)

    def kill(k: int, n: int) -> None:
        if k == 1 and sonic.worker_pid is not None:
            os.kill(sonic.worker_pid, 9)

    with pytest.raises(RequestError, match="signal 9") as found:
        made(sonic, hook=kill, inference_steps=50)
    assert found.value.type == "replica_lost"
    assert len(made(sonic)) == 13
