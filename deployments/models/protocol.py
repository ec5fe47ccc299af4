"""What a talking-head backend is given, what it gives back, and how it is found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from telemetry.errors import RequestError

SAMPLE_RATE = 16_000
"""Samples a second of `Speech`."""

StepHook = Callable[[int, int], None]
"""`on_step(k, n)` after step k of n: progress, cancellation (it raises) and metrics live here. A backend whose steps are long
calls it between them too, with the steps done so far (0 before the first), so that a cancel need not wait."""


@dataclass(frozen=True)
class Portrait:
    """A cropped, upright, scaled picture and the face in it."""

    pixels: npt.NDArray[np.uint8]
    """(h, w, 3) RGB; h and w even, the shorter is min_resolution."""
    mesh: npt.NDArray[np.float32]
    """(468, 3) landmark positions in px of `pixels` (x, y) and depth in the same scale."""
    digest: str
    """Identity of these pixels, for caches."""


@dataclass(frozen=True)
class Speech:
    """Decoded speech."""

    samples: npt.NDArray[np.float32]
    """(n,) mono at SAMPLE_RATE, -1 to 1."""

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self.samples) / SAMPLE_RATE


class TalkingHead(Protocol):
    """A backend: loads once, then makes frames. Frames come in chunks of any size, in order, ceil(seconds x fps) in all."""

    name: str
    version: str
    parameters: Mapping[str, tuple[float, float]]
    """Where the backend narrows the allowed range of a parameter."""

    def load(self, device: str) -> None:
        """Loads weights on `device` ("cpu", "cuda:0")."""
        ...

    def generate(
        self, portrait: Portrait, speech: Speech, parameters: Mapping[str, Any], on_step: StepHook
    ) -> Iterator[npt.NDArray[np.uint8]]:
        """Yields uint8 RGB frames (n, h, w, 3) of the size of `portrait.pixels`."""
        ...


def frame_count(seconds: float, fps: float) -> int:
    """Frames that cover `seconds` of sound: the last one may reach past its end, so that no syllable is cut."""
    return max(1, int(np.ceil(round(seconds * fps, 6))))


def load_backend(name: str, options: Mapping[str, str] | None = None) -> TalkingHead:
    """The backend that is installed under `name` (entry point group `sonoscope.talking_heads`), not yet loaded.

    `options` are its constructor's. Raises RequestError(invalid_parameter) where there is none of that name, TypeError for an
    option that it does not have.
    """
    found = {entry.name: entry for entry in entry_points(group="sonoscope.talking_heads")}
    if name not in found:
        installed = ", ".join(sorted(found)) or "none"
        raise RequestError("invalid_parameter", f"model_name {name} is not installed (installed: {installed}).", field="model_name")
    return found[name].load()(**(options or {}))
