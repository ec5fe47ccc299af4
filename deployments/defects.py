"""What the faults of a drill do to a video while it is encoded: an empty tuple of faults changes nothing."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from deployments.faults import AnyFault, AudioLate, EncoderTimeout, FramesRelabelled, TailCut, TailFrozen

Frames = npt.NDArray[np.uint8]


class Reel:
    """Frames on their way to the encoder, and how they are to be written."""

    def __init__(self, faults: Iterable[AnyFault], *, frames: int, fps: float, timeout_s: float) -> None:
        """`frames` are drawn at `fps`; the encoder has `timeout_s` seconds for each bit of progress."""
        self.fps, self.timeout_s, self.sound_late_s = fps, timeout_s, 0.0
        cut = frozen = 0
        for fault in faults:
            match fault:
                case FramesRelabelled(encoded_fps=encoded_fps):
                    self.fps = encoded_fps
                case AudioLate(late_ms=late_ms):
                    self.sound_late_s = late_ms / 1000
                case TailCut(seconds=seconds):
                    cut = round(seconds * fps)
                case TailFrozen(seconds=seconds):
                    frozen = round(seconds * fps)
                case EncoderTimeout(timeout_s=short):
                    self.timeout_s = short
                case _:
                    pass
        self.frames = max(1, frames - cut)
        """Frames that are written."""
        self._moving = max(1, frames - frozen)
        self._seen = 0
        self._last: Frames | None = None

    def shape(self, pixels: Frames) -> Frames:
        """The chunk (n, h, w, 3) as it is written: cut, frozen, or untouched (the very same array)."""
        first, self._seen = self._seen, self._seen + len(pixels)
        if self._seen > self._moving:
            moving = max(0, self._moving - first)
            if moving:
                self._last = pixels[moving - 1]
            assert self._last is not None
            pixels = np.concatenate([pixels[:moving], np.repeat(self._last[None], len(pixels) - moving, axis=0)])
        return pixels[: max(0, self.frames - first)] if self._seen > self.frames else self._remember(pixels)

    def _remember(self, pixels: Frames) -> Frames:
        if len(pixels):
            self._last = pixels[-1]
        return pixels
