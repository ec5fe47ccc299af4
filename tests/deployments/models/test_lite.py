"""The backend as the service sees it: frames in time with the speech, and nothing else moved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from deployments.models.facemesh import EYE_LEFT, EYE_RIGHT, FaceMesh
from deployments.models.lite import SCENES, Lite
from deployments.models.lite_lines import OPEN_GAP
from deployments.models.lite_render import COEFFICIENTS, prepare, render
from deployments.models.motion import LearnedMotion
from deployments.models.protocol import SAMPLE_RATE, Portrait, Speech
from telemetry.errors import RequestError

PLAIN: dict[str, Any] = {"inference_steps": 25, "dynamic_scale": 1.0, "fps": 25.0, "seed": 1}


def nothing(k: int, n: int) -> None:
    """A step hook that does nothing."""


def frames(
    lite: Lite, portrait: Portrait, speech: Speech, on_step: Callable[[int, int], None] = nothing, **changed: Any
) -> np.ndarray:
    return np.concatenate(list(lite.generate(portrait, speech, PLAIN | changed, on_step)))


def cut(speech: Speech, seconds: float) -> Speech:
    return Speech(speech.samples[: round(seconds * SAMPLE_RATE)])


def opening(face_mesh: FaceMesh, portrait: Portrait, video: np.ndarray) -> np.ndarray:
    """Opening of the lips in each frame, measured in the frames, in eye distances."""
    mesh, found = portrait.mesh, []
    for frame in video:
        mesh, _ = face_mesh.track(frame, mesh)
        found.append(np.linalg.norm(mesh[13, :2] - mesh[14, :2]) / np.linalg.norm(mesh[EYE_LEFT] - mesh[EYE_RIGHT]))
    return np.array(found)


@pytest.mark.parametrize(("seconds", "fps", "expected"), [(1.0, 25.0, 25), (1.01, 25.0, 26), (0.5, 29.97, 15), (0.5, 60.0, 30)])
def test_frames_cover_the_sound(lite: Lite, closed: Portrait, speech: Speech, seconds: float, fps: float, expected: int) -> None:
    chunks = list(lite.generate(closed, cut(speech, seconds), PLAIN | {"fps": fps}, nothing))
    assert sum(map(len, chunks)) == expected
    for chunk in chunks:
        assert chunk.dtype == np.uint8
        assert chunk.shape[1:] == closed.pixels.shape
        assert chunk.flags.c_contiguous


def test_the_seed_decides_the_frames(lite: Lite, closed: Portrait, speech: Speech) -> None:
    short = cut(speech, 2.0)
    one, again, other = (frames(lite, closed, short, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_dynamic_scale_raises_the_motion_in_the_frames(lite: Lite, closed: Portrait, speech: Speech) -> None:
    weak, strong = (frames(lite, closed, cut(speech, 3.0), dynamic_scale=scale).astype(np.int16) for scale in (0.5, 2.0))
    assert np.abs(np.diff(strong, axis=0)).mean() > 1.5 * np.abs(np.diff(weak, axis=0)).mean()


@pytest.mark.parametrize("which", ["closed", "smiling"])
def test_silence_keeps_the_mouth_shut(which: str, request: pytest.FixtureRequest, lite: Lite, face_mesh: FaceMesh) -> None:
    portrait: Portrait = request.getfixturevalue(which)
    video = frames(lite, portrait, Speech(np.zeros(SAMPLE_RATE, np.float32)))
    assert opening(face_mesh, portrait, video).max() < OPEN_GAP  # 0.037 to 0.047 is read from the shut lips of a smile


@pytest.mark.parametrize("which", ["closed", "smiling"])
def test_the_drawn_mouth_opens_as_the_motion_says(
    which: str, request: pytest.FixtureRequest, lite: Lite, face_mesh: FaceMesh, speech: Speech
) -> None:
    portrait: Portrait = request.getfixturevalue(which)
    drawn = opening(face_mesh, portrait, frames(lite, portrait, speech))
    motion = LearnedMotion(torch.device("cpu")).motion(speech, PLAIN, len(drawn), nothing)
    meant = motion[:, COEFFICIENTS.index("open")]
    drawn, meant = ((x - x.mean()) / x.std() for x in (drawn, meant))
    match = {lag: float(np.mean(drawn[10 + lag : len(drawn) - 10 + lag] * meant[10:-10])) for lag in range(-10, 11)}
    assert max(match, key=lambda lag: match[lag]) == 0
    assert max(match.values()) > 0.75  # 0.94 on shut lips, 0.87 on a smile that shows its teeth


def test_the_corners_of_the_picture_stay(lite: Lite, smiling: Portrait, speech: Speech) -> None:
    video = frames(lite, smiling, cut(speech, 3.0), dynamic_scale=2.0)
    for rows in (slice(0, 5), slice(-5, None)):
        for columns in (slice(0, 5), slice(-5, None)):
            assert (video[:, rows, columns] == smiling.pixels[rows, columns]).all()


def test_at_rest_closed_lips_are_the_portrait_itself(closed: Portrait) -> None:
    scene = prepare(closed.pixels, closed.mesh, torch.device("cpu"))
    still = np.concatenate(list(render(scene, np.zeros((2, len(COEFFICIENTS)), np.float32))))
    assert (still == closed.pixels).all()


def test_a_blink_changes_the_eyes_alone(closed: Portrait) -> None:
    coefficients = np.zeros((2, len(COEFFICIENTS)), np.float32)
    coefficients[1, COEFFICIENTS.index("blink")] = 1
    scene = prepare(closed.pixels, closed.mesh, torch.device("cpu"))
    before, after = np.concatenate(list(render(scene, coefficients))).astype(np.int16)
    rows, columns = np.nonzero(np.abs(after - before).max(-1) > 8)
    unit = np.linalg.norm(closed.mesh[EYE_LEFT] - closed.mesh[EYE_RIGHT])
    eyes = closed.mesh[[EYE_LEFT, EYE_RIGHT]].mean(0)
    assert len(rows) > 100
    assert np.abs(rows - eyes[1]).max() < 0.35 * unit
    assert np.abs(columns - eyes[0]).max() < 0.65 * unit


def test_each_step_is_reported(lite: Lite, closed: Portrait, speech: Speech) -> None:
    seen: list[tuple[int, int]] = []
    frames(lite, closed, cut(speech, 0.5), lambda k, n: seen.append((k, n)), inference_steps=7)
    assert seen == [(k, 7) for k in range(1, 8)]


def test_what_the_hook_raises_goes_through(lite: Lite, closed: Portrait, speech: Speech) -> None:
    def cancel(k: int, n: int) -> None:
        if k == 3:
            raise RequestError("cancelled", "asked to stop")

    with pytest.raises(RequestError, match="asked to stop"):
        next(iter(lite.generate(closed, cut(speech, 0.5), PLAIN, cancel)))


def test_motion_that_is_not_finite_is_an_error(closed: Portrait, speech: Speech) -> None:
    class Diverged:
        def motion(self, speech: Speech, parameters: Any, n_frames: int, on_step: Any) -> np.ndarray:
            return np.full((n_frames, len(COEFFICIENTS)), np.nan, np.float32)

    backend = Lite(Diverged())
    backend.load("cpu")
    with pytest.raises(RequestError) as error:
        list(backend.generate(closed, speech, PLAIN, nothing))
    assert error.value.type == "inference_diverged"


def test_a_read_only_portrait_is_enough(lite: Lite, closed: Portrait, speech: Speech) -> None:
    pixels = closed.pixels.copy()
    pixels.flags.writeable = False
    assert len(frames(lite, Portrait(pixels, closed.mesh, "read-only"), cut(speech, 0.5))) == 13


def test_only_the_last_portraits_are_kept(closed: Portrait, speech: Speech) -> None:
    backend = Lite()
    backend.load("cpu")
    for i in range(SCENES + 1):
        frames(backend, Portrait(closed.pixels, closed.mesh, str(i)), cut(speech, 0.1))
    assert len(backend._scenes) == SCENES


def test_generating_before_loading_is_a_mistake_of_the_program(closed: Portrait, speech: Speech) -> None:
    with pytest.raises(RuntimeError, match="before"):
        list(Lite().generate(closed, speech, PLAIN, nothing))
