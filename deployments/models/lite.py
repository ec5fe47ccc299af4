"""The backend `lite`: ships with the project, runs on any CPU faster than real time, and on a GPU where there is one."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from threading import Lock
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from deployments.device import out_of_memory
from deployments.models.lite_render import Scene, prepare, render
from deployments.models.motion import LearnedMotion, MotionModel
from deployments.models.protocol import Portrait, Speech, StepHook, frame_count
from telemetry.errors import RequestError

SCENES = 2
"""Prepared portraits that are kept: one is 92 MB at 512 px; preparing again takes 1.7 s of CPU there and 2.1 s at 1024 px."""


class Lite:
    """A talking head from one picture: motion coefficients drawn for the sound, frames by warping the picture.

    `generate` may run in several threads at once; each has its own buffers. Torch's thread settings are the caller's. `compiled`
    (on or off) hands the motion model to torch.compile.
    """

    name = "lite"
    version = "2.0.0"
    """Counts up whenever the same request would give other frames."""
    parameters: Mapping[str, tuple[float, float]] = {}

    def __init__(self, motion: MotionModel | None = None, compiled: str = "off") -> None:
        if compiled not in ("on", "off"):
            raise ValueError(f"compiled is on or off, not {compiled!r}")
        self._given = motion
        self._compiled = compiled == "on"
        self._motion: MotionModel | None = None
        self._device: torch.device | None = None
        self._scenes: OrderedDict[tuple[str, tuple[int, ...]], Scene] = OrderedDict()
        self._lock = Lock()

    def load(self, device: str) -> None:
        """Makes `device` ("cpu", "cuda:0") the place of the work. Raises RuntimeError where torch has no such device."""
        self._device = torch.device(device)
        torch.empty(1, device=self._device)
        self._motion = self._given or LearnedMotion(self._device, compiled=self._compiled)
        with self._lock:
            self._scenes.clear()

    def generate(
        self, portrait: Portrait, speech: Speech, parameters: Mapping[str, Any], on_step: StepHook
    ) -> Iterator[npt.NDArray[np.uint8]]:
        """Yields chunks of up to 25 frames (n, h, w, 3) uint8 RGB, C-contiguous; frame_count(speech.seconds, fps) frames in all.

        Uses inference_steps, dynamic_scale, fps and seed (None counts as 0). All steps run before the first frame; what `on_step`
        raises goes through. Raises RequestError(inference_diverged) for motion that is not finite, RequestError(out_of_memory)
        where device or host are full (the prepared portraits are then let go), and RuntimeError before `load`.
        """
        if self._device is None or self._motion is None:
            raise RuntimeError("Lite.generate before Lite.load")
        n_frames = frame_count(speech.seconds, float(parameters["fps"]))
        try:
            coefficients = self._motion.motion(speech, parameters, n_frames, on_step)
            if not np.isfinite(coefficients).all():
                raise RequestError("inference_diverged", "The motion is not finite.", stage="run_inference")
            yield from render(self._scene(portrait, self._device), coefficients)
        except (RuntimeError, MemoryError, cv2.error) as error:
            if not out_of_memory(error):
                raise
            with self._lock:
                self._scenes.clear()
            raise RequestError("out_of_memory", f"{self._device} is full.", stage="run_inference") from error

    def _scene(self, portrait: Portrait, device: torch.device) -> Scene:
        key = (portrait.digest, portrait.pixels.shape)
        with self._lock:
            if key in self._scenes:
                self._scenes.move_to_end(key)
                return self._scenes[key]
        scene = prepare(portrait.pixels, portrait.mesh, device)
        with self._lock:
            self._scenes[key] = scene
            while len(self._scenes) > SCENES:
                self._scenes.popitem(last=False)
        return scene
