"""The motion model's network: a listener that hears the sound once, and a denoiser that runs at every step.

Both are stacks of dilated convolutions over time without any pooling over it, so that a frame depends on a limited
neighbourhood alone: a clip of any length can be computed in windows that overlap by its reach, and the result is that of the
whole. The denoiser predicts v (Salimans and Ho 2022, Progressive Distillation), which stays well scaled from pure noise to none.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from deployments.models.motion_features import MELS

CHANNELS = ("open", "lip_low", "lip_up", "wide", "round", "press")
"""The coefficients that are learned."""
RATE = 50
"""Motion frames a second inside the model: lips move at up to about 9 Hz and shut for as little as 60 ms."""
HEARING, WIDTH = 96, 64
"""Channels of the listener, which runs once, and of the denoiser, which runs at every step."""
LISTENING = (1, 2, 4, 8, 1, 2)
DENOISING = (1, 2, 4, 8, 2, 1)
"""Dilations of the blocks."""
LISTEN_REACH, STEP_REACH = sum(LISTENING) + 2, sum(DENOISING) + 2
"""Motion frames on each side that a frame can depend on through the listener and through one denoising step: 20 each, 0.4 s."""


def _norm(x: Tensor) -> Tensor:
    """Each frame's channels scaled to unit mean square (n, channels, frames): nothing is shared between frames."""
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-5)


def _within(x: Tensor, inside: Tensor | None) -> Tensor:
    """`x` with zeros past its end, which is what a convolution sees past the end of a whole input."""
    return x if inside is None else x * inside


class _Block(nn.Module):
    """A residual block: dilated convolution over three frames, gate by step and sound, mix of channels."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.along = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)
        self.across = nn.Conv1d(width, width, 1)
        nn.init.zeros_(self.across.weight)
        assert self.across.bias is not None
        nn.init.zeros_(self.across.bias)

    def forward(self, x: Tensor, scale: Tensor | float, shift: Tensor | float, inside: Tensor | None = None) -> Tensor:
        hidden = self.along(_within(_norm(x), inside)) * (1 + scale) + shift
        return x + self.across(nn.functional.silu(hidden))


class MotionNet(nn.Module):
    """Predicts the noise-free motion's v from noisy motion, the step and the sound."""

    mean: Tensor
    spread: Tensor
    """(CHANNELS, 1) of the training motion: the network works on motion of zero mean and unit spread."""

    def __init__(self) -> None:
        super().__init__()
        self.hear = nn.Conv1d(MELS, HEARING, 5, stride=2, padding=2)
        self.listening = nn.ModuleList(_Block(HEARING, d) for d in LISTENING)
        self.sound = nn.Conv1d(HEARING, WIDTH * (len(DENOISING) + 1), 1)
        self.time = nn.Sequential(nn.Linear(32, WIDTH), nn.SiLU(), nn.Linear(WIDTH, 2 * WIDTH * len(DENOISING)))
        self.enter = nn.Conv1d(len(CHANNELS), WIDTH, 3, padding=1)
        self.denoising = nn.ModuleList(_Block(WIDTH, d) for d in DENOISING)
        self.leave = nn.Conv1d(WIDTH, len(CHANNELS), 3, padding=1)
        self.register_buffer("mean", torch.zeros(len(CHANNELS), 1))
        self.register_buffer("spread", torch.ones(len(CHANNELS), 1))

    def listen(self, mel: Tensor, inside: Tensor | None = None) -> Tensor:
        """What each denoising block hears: (n, 7 WIDTH, frames) at RATE from spectrograms (n, MELS, 2 frames - 1 or 2 frames).

        `inside` (n, 1, frames) is 1 within each member and 0 past its end, where its spectrogram must be 0; None: all are whole.
        """
        x = self.hear(mel)
        for block in self.listening:
            x = block(x, 0.0, 0.0, inside)
        return self.sound(_norm(x))

    def forward(self, noisy: Tensor, heard: Tensor, level: Tensor, inside: Tensor | None = None) -> Tensor:
        """v (n, CHANNELS, frames) of `noisy` motion of unit spread, with `heard` by `listen`, at noise `level` (n,) from 0 to 1.

        `inside` as in `listen`; past the end `noisy` must be 0.
        """
        first, *hints = heard.split(WIDTH, 1)
        angles = level[:, None] * (torch.pi / 2) * 2.0 ** (torch.arange(-4, 12, device=level.device) / 2)
        steps = self.time(torch.cat([angles.sin(), angles.cos()], 1).to(noisy.dtype))[:, :, None].chunk(2 * len(DENOISING), 1)
        x = self.enter(noisy) + first
        for i, block in enumerate(self.denoising):
            x = block(x, steps[2 * i], steps[2 * i + 1] + hints[i], inside)
        return self.leave(_within(_norm(x), inside))
