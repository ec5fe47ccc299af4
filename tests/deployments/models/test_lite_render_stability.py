"""A long speech: the picture never drifts, and the same motion gives the same bits."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch

from deployments.models.lite_motion import SignalMotion
from deployments.models.lite_render import COEFFICIENTS, Scene, prepare, render
from deployments.models.protocol import Portrait, Speech

SECONDS = 90


@pytest.fixture(scope="module")
def scene(smiling: Portrait) -> Scene:
    return prepare(smiling.pixels, smiling.mesh, torch.device("cpu"))


@pytest.fixture(scope="module")
def minutes(speech: Speech) -> np.ndarray:
    """Ninety seconds of speech as motion, silent in the first and in the last second."""
    long = np.resize(speech.samples, SECONDS * 16_000)
    parameters = {"inference_steps": 5, "dynamic_scale": 1.0, "fps": 25.0, "seed": 3}
    motion = SignalMotion().motion(Speech(long), parameters, SECONDS * 25, lambda k, n: None)
    motion[:25] = motion[-25:] = 0
    return motion


@pytest.mark.timeout(300)
def test_after_minutes_a_silent_frame_is_the_first_one(scene: Scene, minutes: np.ndarray) -> None:
    ends = [(chunk[0], chunk[-1], len(chunk)) for chunk in render(scene, minutes)]
    assert sum(n for _, _, n in ends) == len(minutes)
    assert np.array_equal(ends[0][0], ends[-1][1])
    assert not np.array_equal(ends[0][0], ends[30][0])


def test_a_frame_does_not_depend_on_those_around_it(scene: Scene, minutes: np.ndarray) -> None:
    some = minutes[200:260]
    whole = np.concatenate(list(render(scene, some)))
    alone = np.concatenate([next(iter(render(scene, some[i : i + 1]))) for i in range(0, 60, 7)])
    late = np.concatenate(list(render(scene, some[13:])))
    # A matrix product of another size may round another way, which moves single pixels by a quarter of one.
    assert np.mean(whole[::7] != alone) < 1e-3
    assert np.mean(whole[13:] != late) < 1e-3


def test_the_same_motion_gives_the_same_bits(scene: Scene, smiling: Portrait, minutes: np.ndarray) -> None:
    def digest(made: Scene) -> str:
        seen = hashlib.sha256()
        for chunk in render(made, minutes[:130]):
            seen.update(chunk.tobytes())
        return seen.hexdigest()

    assert digest(scene) == digest(scene) == digest(prepare(smiling.pixels, smiling.mesh, torch.device("cpu")))


def test_hair_and_background_move_no_faster_than_the_head(scene: Scene, smiling: Portrait, minutes: np.ndarray) -> None:
    """Speech alone, with the head held still, leaves everything beyond the face as it is."""
    still = minutes[25:75].copy()
    for name in ("yaw", "pitch", "roll", "shift_x", "shift_y", "brow"):
        still[:, COEFFICIENTS.index(name)] = 0
    video = np.concatenate(list(render(scene, still)))
    top = int(smiling.mesh[:, 1].min() - 0.25 * np.ptp(smiling.mesh[:, 1]))
    assert top > 4
    assert (video[:, :top] == smiling.pixels[:top]).all()
