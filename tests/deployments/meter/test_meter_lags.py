"""Correlation by lag on made-up motion: signs, sub-frame peaks, gaps, cuts and frame rates."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from deployments.meter.hear import RATE
from deployments.meter.lags import LAGS, PAIRS, Motion, combined, correlations, heard_motion, peak, seen_motion
from deployments.meter.mouth import SIGNALS
from deployments.meter.offset import best_fit, ends_ms
from deployments.meter.track import Track

SECONDS = 8.0


def speech_like(seed: int, seconds: float = SECONDS) -> npt.NDArray[np.float64]:
    """(frames, 3) smooth random curves at RATE."""
    noise = np.random.default_rng(seed).normal(size=(int(seconds * RATE), 3))
    width = np.hanning(13)[:, None]
    return np.apply_along_axis(lambda column: np.convolve(column, width[:, 0] / width.sum(), "same"), 0, noise)


def filmed(motion: npt.NDArray[np.float64], late_s: float = 0.0, fps: float = 25.0, shown_fps: float | None = None) -> Track:
    """A mouth that does what `motion` says `late_s` after it, filmed at `fps` and shown at `shown_fps`."""
    real = np.arange(int((len(motion) / RATE - 0.5) * fps)) / fps
    at = np.arange(len(motion)) / RATE
    mouth = np.zeros((len(real), len(SIGNALS)))
    for pair in PAIRS:
        mouth[:, pair.seen] = np.interp(real - late_s + pair.zero / RATE, at, motion[:, pair.heard])
    return Track(real * fps / (shown_fps or fps), mouth, np.zeros(len(real), np.int64), False)


def lag_ms(track: Track, heard: Motion) -> float:
    return peak(combined(correlations(heard, seen_motion(track))))[0] * 1000 / RATE


@pytest.mark.parametrize("late_ms", [-333, -40, 0, 52, 400])
def test_a_mouth_that_moves_early_means_late_sound_well_below_a_frame(late_ms: int) -> None:
    motion = speech_like(1)
    track = filmed(motion, late_s=-late_ms / 1000)
    assert lag_ms(track, heard_motion(motion.astype(np.float32), 0.0)) == pytest.approx(late_ms, abs=8)


def test_the_start_of_the_soundtrack_counts() -> None:
    motion = speech_like(2)
    heard = heard_motion(motion.astype(np.float32), 0.23)
    assert lag_ms(filmed(motion), heard) == pytest.approx(230, abs=8)


def test_frames_without_a_face_and_cuts_do_not_move_the_answer() -> None:
    motion = speech_like(3)
    track = filmed(motion, late_s=-0.12)
    mouth, shots = track.mouth.copy(), np.zeros(len(track.times), np.int64)
    mouth[40:60] = np.nan
    shots[100:] = 1
    mouth[100:] += 5.0  # another pose after the cut
    broken = Track(track.times, mouth, shots, False)
    seen = seen_motion(broken)
    assert not seen.valid[170:230].any()
    assert np.abs(seen.values).max() < 3.0
    assert lag_ms(broken, heard_motion(motion.astype(np.float32), 0.0)) == pytest.approx(120, abs=8)


def test_too_little_overlap_has_no_correlation_instead_of_a_chance_one() -> None:
    motion = speech_like(4)
    heard = heard_motion(motion[:140].astype(np.float32), 0.0)
    curve = combined(correlations(heard, seen_motion(filmed(motion))))
    assert np.isnan(curve[LAGS > 45]).all()
    assert np.isfinite(curve[LAGS == 0]).all()


@pytest.mark.parametrize(("shown_fps", "stretch"), [(25.0, 1.0), (24.0, 24 / 25), (30.0, 30 / 25), (50.0, 2.0)])
def test_the_rate_that_the_frames_were_made_for_is_found(shown_fps: float, stretch: float) -> None:
    motion = speech_like(5, 12.0)
    track = filmed(motion, shown_fps=shown_fps)
    fit = best_fit(track, heard_motion(motion.astype(np.float32), 0.0))
    assert fit is not None
    assert fit.stretch == pytest.approx(stretch)
    start_ms, end_ms = ends_ms(fit, track)
    assert start_ms == pytest.approx(8, abs=8)
    assert end_ms - start_ms == pytest.approx((stretch - 1) * track.times[-1] * 1000)


def test_what_comes_after_the_end_that_was_named_is_not_looked_at() -> None:
    seen = seen_motion(filmed(speech_like(6)), until_s=4.0)
    assert seen.valid[:400].all()
    assert not seen.valid[402:].any()
