"""Finds how late the sound is, whether that grows along the file, and how sure that is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from deployments.meter.hear import RATE
from deployments.meter.lags import LAGS, MAX_LAG, Motion, combined, correlations, peak, seen_motion
from deployments.meter.track import Track

Array = npt.NDArray[np.float64]

STRETCHES = (24 / 25, 25 / 24, 24 / 30, 30 / 24, 25 / 30, 30 / 25, 0.5, 2.0, 0.98, 0.99, 1.01, 1.02)
"""Frames relabelled at another rate (24, 25, 30, doubled, halved), and clocks that run apart by 1 or 2 %."""
STRETCH_GAIN, STRETCH_GAIN_S = 0.12, 0.5
"""Another rate is believed where it raises the correlation by the first, and the second divided by the seconds: in 5 s chance gains
0.2 (one natural clip of 6.6 s gained 0.16 by a wrong rate)."""
SAME_PLACE_GAIN, SAME_PLACE_MS = 0.06, 200.0
"""Where the offset in the middle stays within so many ms, it is the same match made sharper, and this gain is enough."""
STRETCH_SECONDS = 4.0
"""Shorter files are taken at their own rate: with two seconds, some rate always fits better."""
ZERO_MS = -8.0
"""What the method reads where the sound is right: the median of eleven natural clips of one studio was -7 ms, while the eleven lip
releases marked in them by eye against the bursts in the sound say +1 ms (bench/sync_closures.json)."""
FAR, NEAR = 15, 8
"""Frames at RATE from the highest peak: beyond the first another peak is a rival; up to the second (80 ms) it is the same one."""
FEATURES = ("height", "lead", "agreement", "stretched")
"""What the confidence is computed from, see `evidence`."""


@dataclass(frozen=True)
class Offset:
    """Where the sound fits the picture best. Offsets are ms, positive where the sound is late."""

    start_ms: float
    end_ms: float
    confidence: float
    """Probability of being within 80 ms, 0 to 1."""
    match: float
    """Correlation at the best lag, 0 to 1."""
    stretch: float
    """How much longer each frame should be shown: 1 where the frame rate is right."""
    by_lag: Array
    """(len(LAGS),) correlation at the frame rate that fits best."""

    @property
    def middle_ms(self) -> float:
        """The offset in the middle of the video."""
        return 0.5 * (self.start_ms + self.end_ms)


@dataclass(frozen=True)
class Fit:
    """The correlation by lag at one frame rate; `lag` in frames at RATE."""

    stretch: float
    seen: Motion
    curve: Array
    lag: float
    height: float


def find(track: Track, heard: Motion, until_s: float = np.inf) -> Offset | None:
    """The best offset within a second, or None where too little of sound and picture overlap (less than a second)."""
    best = best_fit(track, heard, until_s)
    if best is None:
        return None
    start_ms, end_ms = ends_ms(best, track)
    match = float(np.clip(best.height, 0.0, 1.0))
    return Offset(start_ms, end_ms, confidence(evidence(best, heard)), match, best.stretch, best.curve)


def best_fit(track: Track, heard: Motion, until_s: float = np.inf) -> Fit | None:
    """The frame rate and lag at which mouth and sound correlate most; another rate than the file's must be clearly better."""
    own = _fit(track, heard, 1.0, until_s)
    if not np.isfinite(own.height):
        return None
    shown = track.times[-1] - track.times[0]
    if shown < STRETCH_SECONDS:
        return own
    middle = sum(ends_ms(own, track)) / 2

    def price(fit: Fit) -> float:
        apart = abs(sum(ends_ms(fit, track)) / 2 - middle)
        return SAME_PLACE_GAIN if apart <= SAME_PLACE_MS else STRETCH_GAIN + STRETCH_GAIN_S / shown

    others = [_fit(track, heard, stretch, until_s) for stretch in STRETCHES]
    gains = [np.nan_to_num(fit.height - price(fit) - own.height, nan=-1.0) for fit in others]
    best = int(np.argmax(gains))
    return others[best] if gains[best] > 0 else own


def ends_ms(fit: Fit, track: Track) -> tuple[float, float]:
    """Offset at the first and at the last frame."""
    start_ms = fit.lag * 1000.0 / RATE - ZERO_MS
    return start_ms, start_ms + (fit.stretch - 1.0) * (track.times[-1] - track.times[0]) * 1000.0


def _fit(track: Track, heard: Motion, stretch: float, until_s: float) -> Fit:
    seen = seen_motion(track, stretch, until_s)
    curve = combined(correlations(heard, seen))
    lag, height = peak(curve)
    return Fit(stretch, seen, curve, lag, height)


def evidence(fit: Fit, heard: Motion) -> Array:
    """What speaks for a peak, (len(FEATURES),).

    height     mean of both halves' correlations at the lag (within 40 ms), times the root of the seconds: chance falls with it
    lead       how much higher the peak is than its highest rival, times the root of the seconds
    agreement  share of the two halves whose own highest peak lies within 80 ms of the whole's
    stretched  1 where another frame rate had to be assumed
    """
    rivals = fit.curve[(np.abs(LAGS - fit.lag) > FAR) & np.isfinite(fit.curve)]
    rival = float(rivals.max()) if len(rivals) else 0.0
    halves = [combined(correlations(heard, half)) for half in _halves(fit.seen)]
    k = int(np.clip(round(fit.lag) + MAX_LAG, 0, 2 * MAX_LAG))
    here = [_highest(curve[max(0, k - NEAR // 2) : k + NEAR // 2 + 1]) for curve in halves]
    agree = [abs(peak(curve)[0] - fit.lag) <= NEAR for curve in halves]
    root = float(np.sqrt(fit.seen.valid.sum() / RATE))
    return np.array([np.mean(here) * root, (fit.height - rival) * root, np.mean(agree), float(fit.stretch != 1.0)])


def _halves(seen: Motion) -> tuple[Motion, Motion]:
    middle = len(seen.values) // 2
    first = Motion(seen.start, seen.values[:middle], seen.valid[:middle])
    return first, Motion(seen.start + middle, seen.values[middle:], seen.valid[middle:])


def _highest(curve: Array) -> float:
    return float(np.nanmax(curve)) if np.isfinite(curve).any() else 0.0


@cache
def _calibration() -> tuple[Array, float]:
    data = json.loads(files("deployments.meter").joinpath("weights", "confidence.json").read_text())
    return np.array([data["weights"][name] for name in FEATURES]), float(data["bias"])


def confidence(values: Array) -> float:
    """Probability, 0 to 1, of being within 80 ms: a logistic curve over `evidence`, fitted by bench/sync_calibration.py."""
    weights, bias = _calibration()
    return float(1.0 / (1.0 + np.exp(-(values @ weights + bias))))
