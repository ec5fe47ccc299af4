"""The plain motion model: in time, repeatable, and honest about its parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from deployments.models.lite_motion import RATE, SignalMotion, listen, refine
from deployments.models.lite_render import COEFFICIENTS
from deployments.models.protocol import SAMPLE_RATE, Speech

OPEN = COEFFICIENTS.index("open")
PLAIN: dict[str, Any] = {"inference_steps": 25, "dynamic_scale": 1.0, "fps": 25.0, "seed": 1}


def motion(speech: Speech, **changed: Any) -> np.ndarray:
    parameters = PLAIN | changed
    return SignalMotion().motion(speech, parameters, round(speech.seconds * parameters["fps"]), lambda k, n: None)


def test_the_seed_moves_the_head_and_not_the_mouth(speech: Speech) -> None:
    one, again, other = motion(speech), motion(speech), motion(speech, seed=2)
    assert np.array_equal(one, again)
    assert np.array_equal(one[:, OPEN], other[:, OPEN])
    assert not np.allclose(one[:, COEFFICIENTS.index("yaw")], other[:, COEFFICIENTS.index("yaw")])


def test_dynamic_scale_strengthens_all_motion(speech: Speech) -> None:
    weak, strong = motion(speech, dynamic_scale=0.5), motion(speech, dynamic_scale=2.0)
    for name in ("open", "wide", "yaw", "brow"):
        i = COEFFICIENTS.index(name)
        assert strong[:, i].std() > 1.5 * weak[:, i].std(), name


@pytest.mark.parametrize("level", [0.0, 1e-4])
def test_silence_keeps_the_mouth_shut(level: float) -> None:
    hush = Speech((level * np.random.default_rng(0).standard_normal(2 * SAMPLE_RATE)).astype(np.float32))
    assert np.abs(motion(hush)[:, : OPEN + 6]).max() == 0


def test_a_pause_shuts_the_mouth(speech: Speech) -> None:
    samples = speech.samples.copy()
    samples[2 * SAMPLE_RATE : 3 * SAMPLE_RATE] = 0
    opening = motion(Speech(samples))[:, OPEN]
    assert opening[53:72].max() < 0.02
    assert opening.max() > 0.4


@pytest.mark.parametrize("fps", [25.0, 30.0, 50.0])
def test_a_burst_opens_the_mouth_at_its_own_time(fps: float) -> None:
    time = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    envelope = np.exp(-(((time - 1.0) / 0.08) ** 2))
    voice = sum(np.sin(2 * np.pi * 120 * k * time) / k for k in range(1, 20))
    opening = motion(Speech((0.3 * envelope * voice).astype(np.float32)), fps=fps)[:, OPEN]
    centre = (opening * np.arange(len(opening))).sum() / opening.sum() / fps
    assert centre == pytest.approx(1.0, abs=0.01)


def test_more_steps_come_nearer_to_the_target(speech: Speech) -> None:
    _, target = listen(speech.samples)
    errors = [np.abs(refine(target, steps, lambda k, n: None) - target).mean() for steps in (1, 5, 25, 100)]
    assert errors == sorted(errors, reverse=True)
    assert errors[2] < 0.35 * errors[0]


def test_a_syllable_is_reached_as_far_as_the_docstring_says() -> None:
    time = np.arange(10 * RATE) / RATE
    target = (0.5 + 0.3 * np.sin(2 * np.pi * 4 * time))[:, None]
    for steps, share in ((5, 0.45), (25, 0.95)):
        reached = refine(target, steps, lambda k, n: None)[200:800]
        assert (reached.max() - reached.min()) / 0.6 == pytest.approx(share, abs=0.04)


def test_clips_shorter_than_a_window_are_heard() -> None:
    loud, target = listen(np.zeros(10, np.float32))
    assert len(loud) == len(target) > 0
