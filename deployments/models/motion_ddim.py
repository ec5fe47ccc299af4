"""Draws motion from the network: DDIM steps over a clip of any length, in windows that agree with the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from deployments.models.motion_batch import Together
from deployments.models.motion_net import CHANNELS, LISTEN_REACH, STEP_REACH, MotionNet
from deployments.models.protocol import StepHook

WINDOW = 1000
"""Motion frames of a window (20 s), without its overlaps."""
BATCH = {"cpu": 1, "cuda": 32}
"""Windows computed at once, of one request or of several. On the CPU one after the other: more at a time only leave the cache."""


def draw_motion(net: MotionNet | Together, mel: Tensor, frames: int, *, steps: int, seed: int, on_step: StepHook) -> Tensor:
    """Motion (CHANNELS, frames) at motion_net.RATE in the units of the coefficients, on the device of `net`, float32.

    Through one `Together`, several threads share batches.

    `mel` is (MELS, 2 frames) or longer by features.log_mel. Song, Meng and Ermon 2021 (Denoising Diffusion Implicit Models)
    without added noise, on the cosine schedule, in `steps` equal steps of its angle: the first noise, by `seed`, decides all.
    It is drawn on the CPU, so that every device starts from the same. Calls `on_step(k, steps)` after each step.
    """
    together = net if isinstance(net, Together) else Together(net, BATCH[net.mean.device.type])
    net = together.net
    device, dtype = net.mean.device, net.enter.weight.dtype
    motion = torch.randn((frames, len(CHANNELS)), generator=torch.Generator().manual_seed(seed)).T.to(device)
    mel = torch.nn.functional.pad(mel, (0, max(0, 2 * frames - mel.shape[1])), value=-1.0)[:, : 2 * frames].to(dtype)
    heard = _windowed(together.listen, mel, frames, LISTEN_REACH, per_frame=2)
    for k in range(steps):
        angle, next_angle = (torch.tensor((1 - i / steps) * torch.pi / 2) for i in (k, k + 1))
        level = angle / (torch.pi / 2)
        both = torch.cat([motion.to(dtype), heard])
        v = _windowed(lambda some, level=level: together.step(some, level), both, frames, STEP_REACH).float()
        clean, noise = angle.cos() * motion - angle.sin() * v, angle.sin() * motion + angle.cos() * v
        motion = next_angle.cos() * clean + next_angle.sin() * noise
        on_step(k + 1, steps)
    return motion * net.spread.float() + net.mean.float()


def _windowed(
    work: Callable[[Sequence[Tensor]], list[Tensor]], whole: Tensor, frames: int, reach: int, per_frame: int = 1
) -> Tensor:
    """`work`, which makes (channels, frames) of each (channels, per_frame x frames), applied to `whole` in windows that overlap by
    `reach` on both sides; what the overlaps say is dropped, since they lack their surroundings."""
    length = WINDOW + 2 * reach
    if frames <= length:
        return work([whole])[0]
    places = list(_places(frames, length, reach))
    parts = work([whole[:, per_frame * start : per_frame * (start + length)] for start, _, _ in places])
    out = parts[0].new_empty(parts[0].shape[0], frames)
    for part, (start, keep_from, keep_to) in zip(parts, places, strict=True):
        out[:, keep_from:keep_to] = part[:, keep_from - start : keep_to - start]
    return out


def _places(frames: int, length: int, reach: int) -> Iterator[tuple[int, int, int]]:
    """(first frame, first and last kept frame) of windows of equal `length` that cover `frames`."""
    kept = 0
    while kept < frames:
        start = min(max(0, kept - reach), frames - length)
        end = frames if start + length == frames else start + length - reach
        yield start, kept, end
        kept = end
