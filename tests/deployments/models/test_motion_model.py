"""The trained motion model: repeatable, of any length without seams, shut in silence, cancellable, and free of training tools."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

from deployments.models import motion_ddim
from deployments.models.lite_render import COEFFICIENTS
from deployments.models.motion import WEIGHTS, LearnedMotion, load_net
from deployments.models.motion_ddim import draw_motion
from deployments.models.motion_features import log_mel
from deployments.models.motion_net import CHANNELS, RATE, MotionNet
from deployments.models.protocol import SAMPLE_RATE, Speech, frame_count
from telemetry.errors import RequestError

OPEN = COEFFICIENTS.index("open")
MOUTH = [COEFFICIENTS.index(name) for name in CHANNELS]
PLAIN: dict[str, Any] = {"inference_steps": 5, "dynamic_scale": 1.0, "fps": 25.0, "seed": 1}
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def learned() -> LearnedMotion:
    return LearnedMotion(CPU)


@pytest.fixture(scope="module")
def net() -> MotionNet:
    return load_net(WEIGHTS, CPU)


def motion(
    learned: LearnedMotion, speech: Speech, on_step: Callable[[int, int], None] = lambda k, n: None, **changed: Any
) -> np.ndarray:
    parameters = PLAIN | changed
    return learned.motion(speech, parameters, frame_count(speech.seconds, parameters["fps"]), on_step)


def repeated(speech: Speech, seconds: float) -> Speech:
    n = round(seconds * SAMPLE_RATE)
    return Speech(np.tile(speech.samples, n // len(speech.samples) + 1)[:n])


def test_a_seed_gives_the_same_bits_and_another_seed_another_mouth(learned: LearnedMotion, speech: Speech) -> None:
    one, again, other = motion(learned, speech), motion(learned, speech), motion(learned, speech, seed=2)
    assert np.array_equal(one, again)
    assert not np.array_equal(one[:, MOUTH], other[:, MOUTH])
    assert not np.array_equal(one[:, COEFFICIENTS.index("yaw")], other[:, COEFFICIENTS.index("yaw")])


@pytest.mark.parametrize("steps", [1, 7])
def test_each_step_is_reported_once(learned: LearnedMotion, speech: Speech, steps: int) -> None:
    seen: list[tuple[int, int]] = []
    motion(learned, speech, lambda k, n: seen.append((k, n)), inference_steps=steps)
    assert seen == [(k, steps) for k in range(1, steps + 1)]


def test_what_the_hook_raises_ends_the_work_at_that_step(learned: LearnedMotion, speech: Speech) -> None:
    seen: list[int] = []

    def cancel(k: int, n: int) -> None:
        seen.append(k)
        if k == 3:
            raise RequestError("cancelled", "asked to stop")

    with pytest.raises(RequestError, match="asked to stop"):
        motion(learned, speech, cancel)
    assert seen == [1, 2, 3]


@pytest.mark.parametrize(("seconds", "fps"), [(0.1, 25.0), (0.1, 60.0), (1.01, 10.0), (7.0, 29.97), (150.0, 25.0)])
def test_any_length_and_rate_gives_a_finite_row_for_each_frame(
    learned: LearnedMotion, speech: Speech, seconds: float, fps: float
) -> None:
    sound = repeated(speech, seconds)
    found = motion(learned, sound, fps=fps, inference_steps=2)
    assert found.shape == (frame_count(seconds, fps), len(COEFFICIENTS))
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert found[:, MOUTH].min() >= 0
    assert found[:, MOUTH].max() <= 1.4


@pytest.mark.parametrize("steps", [1, 5])
def test_windows_agree_with_the_whole(net: MotionNet, speech: Speech, monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    mel = log_mel(repeated(speech, 14.0).samples, CPU)

    def drawn() -> np.ndarray:
        with torch.inference_mode():
            return draw_motion(net, mel, 14 * RATE, steps=steps, seed=3, on_step=lambda k, n: None).numpy()

    whole = drawn()
    monkeypatch.setattr(motion_ddim, "WINDOW", 110)
    for batch in (1, 4):
        monkeypatch.setitem(motion_ddim.BATCH, "cpu", batch)
        assert np.abs(drawn() - whole).max() < 1e-3  # float32's rounding, not a seam


def test_too_little_overlap_would_show(net: MotionNet, speech: Speech, monkeypatch: pytest.MonkeyPatch) -> None:
    mel = log_mel(repeated(speech, 14.0).samples, CPU)
    with torch.inference_mode():
        whole = draw_motion(net, mel, 14 * RATE, steps=2, seed=3, on_step=lambda k, n: None)
        monkeypatch.setattr(motion_ddim, "WINDOW", 110)
        monkeypatch.setattr(motion_ddim, "STEP_REACH", 4)
        assert (draw_motion(net, mel, 14 * RATE, steps=2, seed=3, on_step=lambda k, n: None) - whole).abs().max() > 1e-2


@pytest.mark.parametrize("level", [0.0, 1e-4, 3e-3, 3e-2])
@pytest.mark.parametrize("steps", [1, 25])
def test_silence_and_noise_keep_the_mouth_shut(learned: LearnedMotion, level: float, steps: int) -> None:
    hush = Speech((level * np.random.default_rng(0).standard_normal(3 * SAMPLE_RATE)).astype(np.float32))
    assert motion(learned, hush, inference_steps=steps)[:, OPEN].max() < 0.03


def test_a_pause_in_speech_shuts_the_mouth(learned: LearnedMotion, speech: Speech) -> None:
    samples = speech.samples.copy()
    samples[2 * SAMPLE_RATE : 3 * SAMPLE_RATE] = 0
    opening = motion(learned, Speech(samples))[:, OPEN]
    assert opening[56:70].max() < 0.03
    assert opening.max() > 0.3


def test_dynamic_scale_strengthens_mouth_head_and_brows(learned: LearnedMotion, speech: Speech) -> None:
    weak, strong = motion(learned, speech, dynamic_scale=0.5), motion(learned, speech, dynamic_scale=2.0)
    for name in ("open", "wide", "round", "yaw", "brow"):
        i = COEFFICIENTS.index(name)
        assert strong[:, i].std() > 1.5 * weak[:, i].std(), name
    blink = COEFFICIENTS.index("blink")
    assert np.array_equal(weak[:, blink], strong[:, blink])


def test_the_mouth_opens_in_time_with_the_sound(learned: LearnedMotion) -> None:
    time = np.arange(3 * SAMPLE_RATE) / SAMPLE_RATE
    envelope = sum(np.exp(-(((time - at) / 0.07) ** 4)) for at in (0.6, 1.2, 1.8, 2.4))
    voice = sum(np.sin(2 * np.pi * 120 * k * time) * np.exp(-(((120 * k - 750) / 500) ** 2)) for k in range(1, 30))
    sound = 0.2 * envelope * voice / np.abs(voice).max()
    opening = motion(learned, Speech(sound.astype(np.float32)), fps=50.0, inference_steps=25)[:, OPEN]
    level = np.interp(np.arange(len(opening)) / 50, time, envelope)
    match = {lag: float(np.corrcoef(opening[10 + lag : 140 + lag], level[10:140])[0, 1]) for lag in range(-8, 9)}
    assert abs(max(match, key=lambda lag: match[lag])) <= 2  # 40 ms
    assert max(match.values()) > 0.6


@pytest.mark.parametrize("steps", [1, 5, 25])
@pytest.mark.parametrize(("dtype", "most"), [(torch.float16, 0.005), (torch.bfloat16, 0.03)])
def test_half_precision_draws_the_same_motion(speech: Speech, dtype: torch.dtype, most: float, steps: int) -> None:
    mel = log_mel(speech.samples, CPU)
    drawn = []
    for kind in (torch.float32, dtype):
        net = MotionNet()
        net.load_state_dict(load_net(WEIGHTS, CPU).state_dict())
        with torch.inference_mode():
            drawn.append(draw_motion(net.to(kind), mel, 350, steps=steps, seed=0, on_step=lambda k, n: None))
    off = (drawn[0] - drawn[1]).abs()
    print(f"{dtype} {steps} steps: largest {off.max():.4f}, mean {off.mean():.5f}")
    assert off.max() < most


def test_half_precision_has_room_for_loud_and_wild_input(net: MotionNet, speech: Speech) -> None:
    """Squares overflow half precision above 256; the largest value in front of a norm stays far below, so that none is needed."""
    largest = [0.0]

    def watch(_module: torch.nn.Module, given: tuple[torch.Tensor, ...], _out: torch.Tensor) -> None:
        largest[0] = max(largest[0], float(given[0].abs().max()))

    hooks = [block.register_forward_hook(watch) for block in (*net.listening, *net.denoising)]
    noise = np.random.default_rng(0).standard_normal(7 * SAMPLE_RATE).astype(np.float32)
    for samples in (speech.samples, np.sign(speech.samples), noise):
        mel = log_mel(samples.astype(np.float32), CPU)
        with torch.inference_mode():
            draw_motion(net, mel, 350, steps=5, seed=0, on_step=lambda k, n: None)
    for hook in hooks:
        hook.remove()
    print(f"largest {largest[0]:.1f}")
    assert 0 < largest[0] < 64


def test_weights_are_a_small_safetensors_file() -> None:
    with safe_open(WEIGHTS, "pt") as file:
        names = set(file.keys())
        assert file.metadata()["channels"] == ",".join(CHANNELS)
    net = MotionNet()
    assert names == set(net.state_dict())
    assert sum(parameter.numel() for parameter in net.parameters()) < 5_000_000


def test_nothing_of_the_training_is_imported_at_run_time() -> None:
    program = (
        "import sys, numpy as np\n"
        "from deployments.models.lite import Lite\n"
        "from deployments.models.motion import LearnedMotion\n"
        "from deployments.models.protocol import Speech\n"
        "import torch\n"
        "parameters = {'inference_steps': 1, 'dynamic_scale': 1.0, 'fps': 25.0, 'seed': 0}\n"
        "LearnedMotion(torch.device('cpu')).motion(Speech(np.zeros(16000, np.float32)), parameters, 25, lambda k, n: None)\n"
        "assert not [name for name in sys.modules if 'espeak' in name or 'models.training' in name]\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
