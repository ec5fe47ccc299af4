"""Frames off the device: in order, whole, each in a buffer of its own, the same to the bit as those put together on the host."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import numpy as np
import pytest
import torch

from deployments.models.lite_copies import Copies, taken_off, to_device
from deployments.models.lite_render import COEFFICIENTS, Scene, controls, on_device, on_host, prepare, render
from deployments.models.protocol import Portrait

CPU = torch.device("cpu")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can use")
DEVICES = ["cpu", pytest.param("cuda:0", marks=needs_gpu)]


@pytest.fixture(scope="module")
def scene(smiling: Portrait) -> Scene:
    return prepare(smiling.pixels, smiling.mesh, CPU)


def moved(n: int) -> np.ndarray:
    """Motion in every coefficient, with blinks in a third of the frames."""
    some = np.random.default_rng(0).uniform(-1, 1, (n, len(COEFFICIENTS))).astype(np.float32)
    some[:, COEFFICIENTS.index("open")] = np.abs(some[:, COEFFICIENTS.index("open")])
    some[np.arange(n) % 3 != 0, COEFFICIENTS.index("blink")] = 0
    return some


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("ahead", [0, 1, 3, 9])
def test_chunks_come_in_order_and_stay_as_they_were(device: str, ahead: int) -> None:
    """All are kept to the end while later ones are drawn and copied: a buffer that was used twice would show."""
    place = torch.device(device)
    chunks = (torch.full((3, 64, 64, 3), k, dtype=torch.uint8, device=place) for k in range(7))
    kept = list(taken_off(chunks, Copies(place), ahead))
    assert [int(chunk[0, 0, 0, 0]) for chunk in kept] == list(range(7))
    for k, chunk in enumerate(kept):
        assert chunk.dtype == np.uint8
        assert (chunk == k).all()


@pytest.mark.parametrize(("ahead", "drawn_first"), [(0, 1), (1, 2), (2, 3)])
def test_so_many_are_drawn_before_the_first_is_waited_for(ahead: int, drawn_first: int) -> None:
    drawn = 0

    def chunks() -> Iterator[torch.Tensor]:
        nonlocal drawn
        for k in range(5):
            drawn += 1
            yield torch.full((1, 2, 2, 3), k, dtype=torch.uint8)

    out = taken_off(chunks(), Copies(CPU), ahead)
    assert next(out)[0, 0, 0, 0] == 0
    assert drawn == drawn_first
    assert len(list(out)) == 4


def test_who_stops_in_the_middle_leaves_the_rest_undrawn() -> None:
    ended: list[bool] = []

    def chunks() -> Generator[torch.Tensor]:
        try:
            for k in range(100):
                yield torch.full((1, 2, 2, 3), k, dtype=torch.uint8)
        finally:
            ended.append(True)

    made = chunks()
    out = taken_off(made, Copies(CPU), 1)
    next(out)
    del out  # as a stage does that is cancelled
    made.close()
    assert ended == [True]


@pytest.mark.parametrize("device", DEVICES)
def test_small_tensors_arrive(device: str) -> None:
    here = torch.arange(12).reshape(3, 4)
    assert torch.equal(to_device(here, torch.device(device)).cpu(), here)


@pytest.mark.parametrize("some", [np.s_[:], np.s_[1:3]], ids=["with blinks", "without"])
def test_frames_put_together_on_the_device_are_those_of_the_host(scene: Scene, some: slice) -> None:
    """The code that a GPU runs, on the CPU: equal to the bit."""
    weights = torch.from_numpy(controls(moved(25)[some], scene.gap))
    on_it = on_device(scene, weights)
    assert on_it.is_contiguous()
    assert np.array_equal(on_it.numpy(), on_host(scene, weights))


@needs_gpu
def test_a_gpu_draws_what_the_cpu_draws(scene: Scene, smiling: Portrait) -> None:
    """A matrix product rounds another way, which moves single pixels by a quarter of one."""
    there = prepare(smiling.pixels, smiling.mesh, torch.device("cuda:0"))
    for one, other in zip(render(scene, moved(60)), render(there, moved(60)), strict=True):
        assert one.shape == other.shape
        assert np.mean(one != other) < 1e-2
