"""Correlation of what the mouth did with what the sound says it should do, by lag."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.fft import next_fast_len
from scipy.ndimage import gaussian_filter1d

from deployments.meter.hear import RATE
from deployments.meter.track import Track

Array = npt.NDArray[np.float64]

MAX_LAG = 100
"""Frames at RATE to each side: one second."""
LAGS = np.arange(-MAX_LAG, MAX_LAG + 1)
MIN_OVERLAP_S = 1.0
FAST_S, SLOW_S = 0.02, 0.5
"""Widths of the Gaussians whose difference lets syllables pass (about 0.5 to 8 Hz). Of 0.3, 0.5 and 0.8 s for the slow one, none
was the best on natural clips in every length of window."""


@dataclass(frozen=True)
class Pair:
    """A signal expected from the sound against one seen in the picture."""

    heard: int
    """Column of `expected_mouth`: open, wide, jaw."""
    seen: int
    """Column of `mouth.SIGNALS`."""
    weight: float
    zero: int
    """Frames at RATE by which this pair reads late on clips whose sound is right: lips move before their sound."""


PAIRS = (
    Pair(0, 0, 0.5, 3),
    Pair(0, 5, 0.5, 3),
    Pair(0, 2, 0.5, 3),
    Pair(1, 1, 1.0, -1),
    Pair(2, 4, 0.5, 0),
    Pair(2, 2, 0.5, 1),
)
"""open against inner lips, outer lips and lower lip; wide against the corners; jaw against chin and lower lip."""


@dataclass(frozen=True)
class Motion:
    """Signals at RATE, band-passed; `start` is the first frame's number on the container's clock."""

    start: int
    values: Array
    """(n, signals)"""
    valid: npt.NDArray[np.bool_]
    """(n,) False where nothing was seen."""


def seen_motion(track: Track, stretch: float = 1.0, until_s: float = np.inf) -> Motion:
    """The mouth's motion in `track` at RATE, as if its frames had been shown for `stretch` times as long.

    What comes after `until_s` (on the file's own clock), what lies further than 0.1 s from a frame with a face is
    not valid. The band-pass does not reach across cuts.
    """
    start_s = track.times[0]
    times = start_s + (track.times - start_s) * stretch
    first = int(np.ceil(start_s * RATE))
    grid = np.arange(first, int(np.floor(times[-1] * RATE)) + 1)
    seconds = grid / RATE
    values = np.zeros((len(grid), track.mouth.shape[1]))
    valid = np.zeros(len(grid), bool)
    for shot in np.unique(track.shots):
        frames = np.flatnonzero((track.shots == shot) & np.isfinite(track.mouth[:, 0]))
        if len(frames) < 2:
            continue
        inside = (seconds >= times[frames[0]]) & (seconds <= times[frames[-1]])
        at = seconds[inside]
        columns = [np.interp(at, times[frames], track.mouth[frames, i]) for i in range(track.mouth.shape[1])]
        values[inside] = syllables(np.stack(columns, 1))
        near = _distance(times[frames], at) < 0.1 * max(1.0, stretch)
        valid[inside] = near & (at <= start_s + (until_s - start_s) * stretch)
    return Motion(first, values, valid)


def _distance(points: Array, at: Array) -> Array:
    """How far each of `at` is from the nearest of the sorted `points`."""
    behind = np.clip(np.searchsorted(points, at), 0, len(points) - 1)
    return np.minimum(np.abs(points[behind] - at), np.abs(points[np.maximum(behind - 1, 0)] - at))


def syllables(values: Array) -> Array:
    """`values` (n, signals) at RATE without slow changes (pose, mood) and without the landmarks' jitter."""
    fast = gaussian_filter1d(values, FAST_S * RATE, axis=0, mode="nearest")
    return fast - gaussian_filter1d(values, SLOW_S * RATE, axis=0, mode="nearest")


def heard_motion(expected: npt.NDArray[np.float32], start_s: float) -> Motion:
    """`expected_mouth` of a soundtrack that starts at `start_s` on the container's clock."""
    values = syllables(expected.astype(np.float64))
    return Motion(round(start_s * RATE), values, np.ones(len(values), bool))


def correlations(heard: Motion, seen: Motion) -> Array:
    """(len(PAIRS), len(LAGS)) Pearson correlations; NaN where less than MIN_OVERLAP_S overlaps.

    A positive lag pairs the picture with sound that comes later in the file: the sound is late. Each pair's zero is taken out.
    """
    x, y, weight = heard.values, seen.values, seen.valid.astype(np.float64)[:, None]
    reach = MAX_LAG + max(abs(pair.zero) for pair in PAIRS)
    first = seen.start - heard.start - reach
    slide = _Slide(len(x), len(y), first, 2 * reach + 1)
    ones = np.ones((len(x), 1))
    total = slide(weight, ones)
    out = np.full((len(PAIRS), 2 * reach + 1), np.nan)
    enough = total[:, 0] >= MIN_OVERLAP_S * RATE
    heard_sum, heard_square = slide(weight, x), slide(weight, x * x)
    seen_sum, seen_square = slide(weight * y, ones), slide(weight * y * y, ones)
    for row, pair in zip(out, PAIRS, strict=True):
        cross = slide(weight * y[:, [pair.seen]], x[:, [pair.heard]])
        sums = [part[enough, i] for part, i in ((heard_sum, pair.heard), (seen_sum, pair.seen))]
        squares = [part[enough, i] for part, i in ((heard_square, pair.heard), (seen_square, pair.seen))]
        n = total[enough, 0]
        covariance = cross[enough, 0] - sums[0] * sums[1] / n
        spreads = [np.maximum(square - each**2 / n, 1e-9) for square, each in zip(squares, sums, strict=True)]
        row[enough] = covariance / np.sqrt(spreads[0] * spreads[1])
    middles = [reach + pair.zero for pair in PAIRS]
    return np.stack([row[m - MAX_LAG : m + MAX_LAG + 1] for row, m in zip(out, middles, strict=True)])


class _Slide:
    """Sums over frames of seen(j) times heard(j + shift), for `count` shifts from `first` on, by the Fourier transform.

    One sum a lag in a loop takes 0.2 s for 10 s of video and all frame rates, this 10 ms.
    """

    def __init__(self, heard: int, seen: int, first: int, count: int) -> None:
        self._size = next_fast_len(heard + seen, real=True)
        shifts = np.arange(first, first + count)
        self._meet = (shifts > -seen) & (shifts < heard)
        self._at = shifts[self._meet] % int(self._size or 1)

    def __call__(self, seen: Array, heard: Array) -> Array:
        """(count, columns); one of the two may have a single column, which then meets every column of the other."""
        product = np.conj(np.fft.rfft(seen, self._size, axis=0)) * np.fft.rfft(heard, self._size, axis=0)
        sums = np.fft.irfft(product, self._size, axis=0)
        out = np.zeros((len(self._meet), sums.shape[1]))
        out[self._meet] = sums[self._at]
        return out


def combined(by_pair: Array) -> Array:
    """(len(LAGS),) weighted mean of the pairs' correlations in Fisher's z, as a correlation again; NaN where a pair has none."""
    weights = np.array([pair.weight for pair in PAIRS])
    z = np.arctanh(np.clip(by_pair, -0.95, 0.95))
    return np.tanh(weights @ z / weights.sum())


def peak(curve: Array) -> tuple[float, float]:
    """Lag (frames at RATE, refined by a parabola through three points) and height of the highest point; (nan, nan) without."""
    if not np.isfinite(curve).any():
        return float("nan"), float("nan")
    k = int(np.nanargmax(curve))
    lag, height = float(LAGS[k]), float(curve[k])
    if 0 < k < len(curve) - 1:
        before, after = curve[k - 1], curve[k + 1]
        bend = before - 2 * height + after
        if np.isfinite(bend) and bend < 0:
            lag += 0.5 * (before - after) / bend
    return lag, height
