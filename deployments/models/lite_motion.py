"""Motion without a trained model: the rival that the trained one (motion.py) is measured against. The service does not use it.

`SignalMotion` reads the sound at 100 frames a second: loudness opens the jaw, the balance of low and high formants spreads or
rounds the lips, hiss shows the teeth, short dips inside speech press the lips together. Every filter is centred, so the mouth is
neither early nor late. Blinks, brows and the head's sway come from the seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d
from scipy.signal import stft

from deployments.models.lite_render import COEFFICIENTS
from deployments.models.motion_manner import blinks, sway
from deployments.models.protocol import SAMPLE_RATE, Speech, StepHook

Array = npt.NDArray[np.float64]

RATE = 100
"""Analysis frames a second."""
WINDOW = 400
"""Samples of an analysis window: 25 ms, the usual length in speech work."""
MOUTH = ("open", "lip_low", "lip_up", "wide", "round", "press")
"""Coefficients that follow the sound; the others follow the seed."""
SILENCE_DB = -55.0
"""Speech-band level, dB of full scale, below which a recording's loudest tenth counts as silent."""
SPAN_DB = 30.0
"""Loudness below the recording's loud frames at which the mouth is shut. Measured on four recordings: at 30 each keeps its
pauses (2 to 6 longer than 100 ms); at 38 the one with hall echo has none left; at 22 it is shut for 43 % of the time."""
HISS_DB = 8.0
"""Hiss (s, sh) counts although it is weaker than vowels by about this."""
STEP_GAIN = 0.35
STEP_SIGMA_S = 0.06
"""One refinement step adds this share of the remaining error, smoothed by a Gaussian of this width."""
FRAME_REACH = 1.25
"""Limit of `open` at any dynamic_scale; the approach is smooth."""


class SignalMotion:
    """Motion without a trained model. Holds no state; any thread may call it."""

    def motion(self, speech: Speech, parameters: Mapping[str, Any], n_frames: int, on_step: StepHook) -> npt.NDArray[np.float32]:
        """See `MotionModel.motion`. The same input, parameters and seed give the same bits on one machine."""
        fps, scale = float(parameters["fps"]), float(parameters["dynamic_scale"])
        loud, target = listen(speech.samples)
        mouth = refine(target, int(parameters["inference_steps"]), on_step)
        # Smoothing leaks into pauses: there the mouth stays shut whatever the number of steps.
        heard = gaussian_filter1d((loud > 0.04).astype(np.float64), 0.02 * RATE)
        mouth = _scaled(mouth * heard[:, None], scale)
        times = np.arange(n_frames) / fps
        at = np.arange(len(loud)) / RATE
        rng = np.random.default_rng(parameters.get("seed") or 0)
        columns = {name: np.interp(times, at, mouth[:, i]) for i, name in enumerate(MOUTH)}
        columns |= blinks(times, rng) | sway(times, loud, scale, rng)
        return np.stack([columns[name] for name in COEFFICIENTS], 1).astype(np.float32)


def listen(samples: npt.NDArray[np.float32]) -> tuple[Array, Array]:
    """What the mouth should do, from the sound alone: loudness (frames,) 0 to 1, and targets (frames, len(MOUTH)) at RATE.

    `samples` is mono at SAMPLE_RATE. Frame i is centred on the time i / RATE.
    """
    if len(samples) < WINDOW:
        samples = np.pad(samples, (0, WINDOW - len(samples)))
    hop = SAMPLE_RATE // RATE
    frequency, _, spectrum = stft(samples.astype(np.float64), SAMPLE_RATE, nperseg=WINDOW, noverlap=WINDOW - hop, nfft=512)
    power = np.abs(spectrum.T) ** 2

    def level(low: float, high: float) -> Array:
        """dB of full scale in a band, smoothed over 20 ms."""
        band = power[:, (frequency >= low) & (frequency < high)].sum(1)
        return 10 * np.log10(gaussian_filter1d(band, 1.0) + 1e-10)

    speech, hiss = level(150, 3600), level(4000, 7600)
    peak = float(np.percentile(np.maximum(speech, hiss - 6), 90))
    if peak < SILENCE_DB:
        return np.zeros(len(speech)), np.zeros((len(speech), len(MOUTH)))
    loud = np.clip((speech - peak + SPAN_DB) / SPAN_DB, 0, 1)
    noisy = np.clip((hiss - peak + SPAN_DB + HISS_DB) / (SPAN_DB + HISS_DB), 0, 1) * np.clip((hiss - speech + 6) / 9, 0, 1)
    vowel = np.clip((level(500, 1000) - level(200, 450) + 7) / 13, 0, 1)  # first formant: high for open vowels
    front = np.clip((level(1700, 2800) - level(700, 1300) + 14) / 18, 0, 1)  # second formant: high for i and e, low for o and u
    around = gaussian_filter1d(loud, 0.09 * RATE)
    dip = np.clip((around - loud - 0.16) / 0.25, 0, 1) * np.clip((around - 0.25) / 0.2, 0, 1) * (1 - noisy)
    opening = loud**1.5 * (0.40 + 0.70 * vowel) * (1 - 0.8 * noisy) * (1 - 0.85 * dip)
    target = {
        "open": opening,
        "lip_low": 0.35 * opening + 0.65 * noisy,
        "lip_up": 0.30 * opening + 0.40 * noisy,
        "wide": loud * np.clip(front - 0.45, 0, 1) * 1.5 + 0.45 * noisy,
        "round": loud * np.clip(0.42 - front, 0, 1) * 2.1 * (1 - noisy),
        "press": dip,
    }
    stacked = np.stack([target[name] for name in MOUTH], 1)
    return loud, gaussian_filter1d(stacked, 0.018 * RATE, axis=0)  # lips weigh something: nothing above about 9 Hz


def refine(target: Array, steps: int, on_step: StepHook) -> Array:
    """Approaches `target` from the shut mouth in `steps` steps, slow movements first; calls `on_step` after each.

    Each step adds STEP_GAIN of the remaining error, smoothed by a Gaussian of STEP_SIGMA_S. A movement of f Hz has then reached
    1 - (1 - STEP_GAIN exp(-(2 pi f STEP_SIGMA_S)^2 / 2))^steps of its size: at the 4 Hz of syllables 11 % after 1 step, 45 % after
    5, 95 % after 25; at 8 Hz 9 % after 25 and 31 % after 100. Few steps mumble, more steps articulate; the limit is `target`
    itself.
    """
    reached = np.zeros_like(target)
    for k in range(1, steps + 1):
        reached += STEP_GAIN * gaussian_filter1d(target - reached, STEP_SIGMA_S * RATE, axis=0, mode="nearest")
        np.clip(reached, 0.0, 1.5, out=reached)
        on_step(k, steps)
    return reached


def _scaled(mouth: Array, scale: float) -> Array:
    """`mouth` stronger or weaker; `open` bends smoothly towards its limit."""
    out = mouth * scale
    out[:, 0] = FRAME_REACH * np.tanh(out[:, 0] / FRAME_REACH)
    out[:, 1:] = np.clip(out[:, 1:], 0, 1.4)
    return out
