"""Windows of several requests in one batch: each gets what it gets alone, and the error of one stays its own."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from deployments.models.motion import WEIGHTS, LearnedMotion, load_net
from deployments.models.motion_batch import Together, _Window  # a batch's own member
from deployments.models.motion_ddim import draw_motion
from deployments.models.motion_features import MELS, log_mel
from deployments.models.motion_net import CHANNELS, RATE, WIDTH, MotionNet
from deployments.models.protocol import SAMPLE_RATE, Speech, frame_count

CPU = torch.device("cpu")
CLOSE = 1e-3
"""float32's rounding: a convolution over a batch adds up in another order."""


@pytest.fixture(scope="module")
def net() -> MotionNet:
    return load_net(WEIGHTS, CPU)


def windows(lengths: tuple[int, ...], channels: int, per_frame: int = 1) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn((channels, per_frame * n), generator=generator) for n in lengths]


@torch.inference_mode()
@pytest.mark.parametrize("lengths", [(60, 60, 60), (1, 60, 7, 33), (400, 2)])
def test_a_window_in_a_batch_is_what_it_is_alone(net: MotionNet, lengths: tuple[int, ...]) -> None:
    mels, noisy = windows(lengths, MELS, 2), windows(lengths, len(CHANNELS) + 7 * WIDTH)
    level = torch.tensor(0.3)
    many, alone = Together(net, 32), Together(net, 1)
    for one, other in zip(many.listen(mels), alone.listen(mels), strict=True):
        assert (one - other).abs().max() < CLOSE
    for one, other in zip(many.step(noisy, level), alone.step(noisy, level), strict=True):
        assert (one - other).abs().max() < CLOSE
    assert (many.batches, many.windows) == (2, 2 * len(lengths))
    assert alone.batches == 2 * len(lengths)


@torch.inference_mode()
def test_without_the_ends_a_shorter_window_would_see_past_its_own(net: MotionNet, monkeypatch: pytest.MonkeyPatch) -> None:
    mels = windows((30, 60), MELS, 2)
    monkeypatch.setattr("deployments.models.motion_net._within", lambda x, inside: x)
    (short, _), (alone, _) = Together(net, 32).listen(mels), Together(net, 1).listen(mels)
    assert (short - alone).abs().max() > 10 * CLOSE


def test_requests_at_a_time_share_batches_and_get_their_own_motion(net: MotionNet, speech: Speech) -> None:
    """Eight requests of other lengths and numbers of steps, from eight threads that start together."""
    asked = [(1.0 + 0.7 * k, 2 + k % 3, k) for k in range(8)]
    start = threading.Barrier(len(asked))

    def draw(one: tuple[float, int, int], by: Together | MotionNet, wait: bool) -> torch.Tensor:
        seconds, steps, seed = one
        mel = log_mel(speech.samples[: round(seconds * SAMPLE_RATE)], CPU)
        if wait:
            start.wait()
        with torch.inference_mode():
            return draw_motion(by, mel, round(seconds * RATE), steps=steps, seed=seed, on_step=lambda k, n: None)

    alone = [draw(one, net, False) for one in asked]
    together = Together(net, 32)
    with ThreadPoolExecutor(len(asked)) as pool:
        shared = list(pool.map(lambda one: draw(one, together, True), asked))
    for one, other in zip(alone, shared, strict=True):
        assert one.shape == other.shape
        assert (one - other).abs().max() < CLOSE
    assert together.windows == sum(1 + steps for _, steps, _ in asked)
    assert together.batches < together.windows  # some batch held more than one


def test_a_batch_without_memory_is_tried_in_halves_and_only_what_never_fits_fails(net: MotionNet) -> None:
    sizes: list[int] = []

    class Small(Together):
        def _run(self, batch: list[_Window]) -> list[torch.Tensor]:
            sizes.append(len(batch))
            if len(batch) > 2 or any(one.x.shape[-1] == 2 * 99 for one in batch):
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super()._run(batch)

    with torch.inference_mode():
        found = Small(net, 32).listen(windows((5, 6, 7, 8, 9), MELS, 2))
        assert [one.shape[-1] for one in found] == [5, 6, 7, 8, 9]
        assert sizes == [5, 2, 3, 1, 2]
        with pytest.raises(torch.OutOfMemoryError):
            Small(net, 32).listen(windows((5, 99), MELS, 2))


def test_another_error_is_not_tried_again(net: MotionNet) -> None:
    calls: list[int] = []

    class Broken(Together):
        def _run(self, batch: list[_Window]) -> list[torch.Tensor]:
            calls.append(len(batch))
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        Broken(net, 32).listen(windows((5, 6), MELS, 2))
    assert calls == [2]


def test_the_whole_model_draws_alike_in_batches(speech: Speech) -> None:
    parameters = {"inference_steps": 3, "dynamic_scale": 1.0, "fps": 25.0, "seed": 1}
    n = frame_count(speech.seconds, 25.0)
    found = []
    for most in (1, 32):
        model = LearnedMotion(CPU)
        model.together = Together(load_net(WEIGHTS, CPU), most)
        found.append(model.motion(Speech(np.tile(speech.samples, 8)), parameters, n, lambda k, of: None))
    assert np.abs(found[0] - found[1]).max() < CLOSE


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can use")
def test_on_a_gpu_half_precision_in_batches_is_near_to_the_cpu(net: MotionNet, speech: Speech) -> None:
    cuda = torch.device("cuda:0")
    mel = log_mel(speech.samples, CPU)
    with torch.inference_mode():
        here = draw_motion(net, mel, 350, steps=5, seed=0, on_step=lambda k, n: None)
        there = draw_motion(load_net(WEIGHTS, cuda), mel.to(cuda), 350, steps=5, seed=0, on_step=lambda k, n: None)
    assert (here - there.cpu()).abs().max() < 0.02
