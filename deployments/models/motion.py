"""The motion model of `lite`: the mouth by a trained diffusion model, blinks and the head's sway by rule and seed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file

from deployments.models.lite_render import COEFFICIENTS
from deployments.models.motion_batch import Together
from deployments.models.motion_ddim import BATCH, draw_motion
from deployments.models.motion_features import log_mel, loudness
from deployments.models.motion_manner import blinks, sway
from deployments.models.motion_net import CHANNELS, RATE, MotionNet
from deployments.models.protocol import Speech, StepHook

WEIGHTS = Path(__file__).parent / "weights" / "motion.safetensors"
REACH = 1.25
"""Factor on `open`. On five real voices the model's open vowels reach 0.2 to 0.4 where the targets reach 0.5: where it is less sure
than on the synthetic voices it was trained on, it opens less. Shut lips (at or below 0) stay shut."""
WIDEST = 1.25
"""Limit of `open` at any dynamic_scale; the approach is smooth."""


class MotionModel(Protocol):
    """What turns speech into motion."""

    def motion(self, speech: Speech, parameters: Mapping[str, Any], n_frames: int, on_step: StepHook) -> npt.NDArray[np.float32]:
        """Coefficients (n_frames, len(COEFFICIENTS)); frame i stands for the time i / fps, its presentation time in the file.

        `parameters`: inference_steps, dynamic_scale, fps, seed. Calls `on_step(k, n)` after each step; what it raises goes through.
        """
        ...


class LearnedMotion:
    """Motion drawn by the trained network. Any thread may call it; those at work at a time share batches on a GPU.

    inference_steps is the number of denoising steps, dynamic_scale the factor on all coefficients but blinks, seed the noise that
    the mouth starts from and the blinks and sway; docs/motion_model.md says what each was measured to change.
    """

    def __init__(self, device: torch.device, weights: Path = WEIGHTS, *, compiled: bool = False) -> None:
        self._device = device
        self.together = Together(load_net(weights, device), BATCH[device.type], compiled=compiled)

    def motion(self, speech: Speech, parameters: Mapping[str, Any], n_frames: int, on_step: StepHook) -> npt.NDArray[np.float32]:
        """See `MotionModel.motion`. The same input, parameters and seed give the same bits on one device."""
        fps, scale, seed = float(parameters["fps"]), float(parameters["dynamic_scale"]), parameters.get("seed") or 0
        frames = int(np.ceil(speech.seconds * RATE)) + 1
        with torch.inference_mode():
            mel = log_mel(speech.samples, self._device)
            drawn = draw_motion(self.together, mel, frames, steps=int(parameters["inference_steps"]), seed=seed, on_step=on_step)
            heard, mouth = loudness(mel), drawn.double().cpu().numpy()
        times = np.arange(n_frames) / fps
        at = np.arange(frames) / RATE
        columns = {name: np.interp(times, at, mouth[i]) for i, name in enumerate(CHANNELS)}
        columns = {name: _sized(name, column, scale) for name, column in columns.items()}
        rng = np.random.default_rng(seed)
        columns |= blinks(times, rng) | sway(times, heard, scale, rng)
        return np.stack([columns[name] for name in COEFFICIENTS], 1).astype(np.float32)


def _sized(name: str, column: npt.NDArray[np.float64], scale: float) -> npt.NDArray[np.float64]:
    """A coefficient of the mouth, `scale` times as strong; `open` bends smoothly towards its limit and ends where lips meet."""
    strong = np.maximum(column * scale, 0)
    return WIDEST * np.tanh(strong * REACH / WIDEST) if name == "open" else np.minimum(strong, 1.4)


@lru_cache(maxsize=4)
def load_net(weights: Path, device: torch.device) -> MotionNet:
    """The network with `weights` (safetensors) on `device`, in half precision on a GPU; read-only.

    Raises FileNotFoundError where there is no such file, RuntimeError where it belongs to another network.
    """
    net = MotionNet()
    net.load_state_dict(load_file(weights))
    net.requires_grad_(False).eval().to(device)
    return net.half() if device.type == "cuda" else net
