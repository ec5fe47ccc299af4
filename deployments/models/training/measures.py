"""How good motion is: against its targets, and by what any believable mouth must do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from deployments.models.lite_render import COEFFICIENTS
from deployments.models.protocol import SAMPLE_RATE

Array = npt.NDArray[np.floating]

OPEN = COEFFICIENTS.index("open")
SHUT = 0.03
"""`open` below this looks shut: 0.5 mm on an adult's face."""
SLACK_S = 0.02
"""Half a frame at 25 frames a second: a closure counts if a frame that near to it is shut."""


def shut_in(opening: Array, fps: float, spans: Sequence[tuple[float, float]], slack_s: float = SLACK_S) -> list[bool]:
    """For each of `spans` (start s, end s) whether a frame of `opening` (n,) is shut in it; spans without a frame are left out."""
    parts = [opening[max(0, int(np.ceil((a - slack_s) * fps))) : int((b + slack_s) * fps) + 1] for a, b in spans]
    return [bool(part.min() < SHUT) for part in parts if len(part)]


def widest_in(opening: Array, fps: float, spans: Sequence[tuple[float, float]]) -> list[float]:
    """The widest of `opening` (n,) in each of `spans` (start s, end s); spans without a frame are left out."""
    parts = [opening[max(0, round(start * fps)) : round(end * fps) + 1] for start, end in spans]
    return [float(part.max()) for part in parts if len(part)]


def jitter(opening: Array, fps: float) -> float:
    """Share of the power of `opening` (n,) above 9 Hz, faster than lips move; 0 for a motionless mouth."""
    power = np.abs(np.fft.rfft((opening - opening.mean()) * np.hanning(len(opening)))) ** 2
    frequency = np.fft.rfftfreq(len(opening), 1 / fps)
    return float(power[frequency > 9].sum() / power.sum()) if power.sum() > 0 else 0.0


def silent_frames(samples: npt.NDArray[np.float32], fps: float, n_frames: int, below_db: float = 25.0) -> npt.NDArray[np.bool_]:
    """(n_frames,) whether the sound within 120 ms of a frame stays `below_db` under the recording's loud tenth."""
    square = np.concatenate([[0.0], np.cumsum(samples.astype(np.float64) ** 2)])

    def level(half_s: float, at: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        low, high = (np.clip(((at + sign * half_s) * SAMPLE_RATE).astype(int), 0, len(samples)) for sign in (-1, 1))
        return 10 * np.log10((square[high] - square[low]) / np.maximum(high - low, 1) + 1e-10)

    fine = np.arange(0, len(samples) / SAMPLE_RATE, 0.01)
    levels = level(0.0125, fine)
    quiet = levels < np.percentile(levels, 90) - below_db
    times = np.arange(n_frames) / fps
    return np.array([bool(quiet[np.abs(fine - time) <= 0.12].all()) for time in times])
