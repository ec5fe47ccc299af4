"""Draws motion from the network: DDIM steps over a clip of any length, in windows that agree with the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from deployments.models.motion_net import CHANNELS, LISTEN_REACH, STEP_REACH, MotionNet
from deployments.models.protocol import StepHook

WINDOW = 1000
"""Motion frames of a window (20 s), without its overlaps."""
BATCH = {"cpu": 1, "cuda": 32}
"""Windows computed at once."""


def draw_motion(net: MotionNet, mel: Tensor, frames: int, *, steps: int, seed: int, on_step: StepHook) -> Tensor:
    """Motion (CHANNELS, frames) at motion_net.RATE in the units of the coefficients, on the device of `net`, float32.

    `mel` is (MELS, 2 frames) or longer by features.log_mel. Song, Meng and Ermon 2021 (Denoising Diffusion Implicit Models)
    without added noise, on the cosine schedule, in `steps` equal steps of its angle: the first noise, by `seed`, decides all.
    It is drawn on the CPU, so that every device starts from the same. Calls `on_step(k, steps)` after each step.
    """
    device, dtype = net.mean.device, net.enter.weight.dtype
    motion = torch.randn((frames, len(CHANNELS)), generator=torch.Generator().manual_seed(seed)).T.to(device)
    mel = torch.nn.functional.pad(mel, (0, max(0, 2 * frames - mel.shape[1])), value=-1.0)[:, : 2 * frames].to(dtype)
    heard = _windowed(lambda x: net.listen(x), mel, frames, LISTEN_REACH, per_frame=2)
    for k in range(steps):
        angle, next_angle = (torch.tensor((1 - i / steps) * torch.pi / 2) for i in (k, k + 1))
        level = angle.to(device)[None] / (torch.pi / 2)
        both = torch.cat([motion.to(dtype), heard])
        v = _windowed(
            lambda x, level=level: net(x[:, : len(CHANNELS)], x[:, len(CHANNELS) :], level.expand(len(x))),
            both,
            frames,
            STEP_REACH,
        ).float()
        clean, noise = angle.cos() * motion - angle.sin() * v, angle.sin() * motion + angle.cos() * v
        motion = next_angle.cos() * clean + next_angle.sin() * noise
        on_step(k + 1, steps)
    return motion * net.spread.float() + net.mean.float()


def _windowed(work: Callable[[Tensor], Tensor], whole: Tensor, frames: int, reach: int, per_frame: int = 1) -> Tensor:
    """`work` (n, channels, per_frame x frames) -> (n, channels, frames), applied to `whole` (channels, per_frame x frames) in
    windows that overlap by `reach` on both sides; what the overlaps say is dropped, since they lack their surroundings."""
    length = WINDOW + 2 * reach
    if frames <= length:
        return work(whole[None])[0]
    out: Tensor | None = None
    places = list(_places(frames, length, reach))
    batch = BATCH[whole.device.type]
    for first in range(0, len(places), batch):
        some = places[first : first + batch]
        parts = work(torch.stack([whole[:, per_frame * start : per_frame * (start + length)] for start, _, _ in some]))
        if out is None:
            out = parts.new_empty(parts.shape[1], frames)
        for part, (start, keep_from, keep_to) in zip(parts, some, strict=True):
            out[:, keep_from:keep_to] = part[:, keep_from - start : keep_to - start]
    assert out is not None
    return out


def _places(frames: int, length: int, reach: int) -> Iterator[tuple[int, int, int]]:
    """(first frame, first and last kept frame) of windows of equal `length` that cover `frames`."""
    kept = 0
    while kept < frames:
        start = min(max(0, kept - reach), frames - length)
        end = frames if start + length == frames else start + length - reach
        yield start, kept, end
        kept = end
