"""From timed sounds to the mouth's motion: coarticulation by dominance functions.

Cohen and Massaro 1993 ("Modeling coarticulation in synthetic visual speech", in Models and Techniques in Computer Animation,
Springer): each sound s pulls each channel towards its target T with a dominance D = pull * exp(-fade * |t|), t from the sound's
own time, and the channel is the mean of the targets weighted by D. Here t counts from the edges of the sound's core instead of
its centre, so that long vowels hold their shape; a stop's core ends at its release.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d

from deployments.models.motion_net import CHANNELS
from deployments.models.training.sounds import REST, Sound, is_bilabial, sounds
from deployments.models.training.speech import Phone

Array = npt.NDArray[np.float64]

RATE = 100
"""Target frames a second."""
RELEASE = {"m": 0.92, "b": 0.72, "p": 0.55}
"""Where in a bilabial the lips part, as a share of its length (closure, then burst); read from eSpeak's level over time."""
LOUD_PAUSE_S = 0.25
"""A pause of this length pulls as strongly as a vowel does; shorter ones less, so that short breaks do not shut the mouth."""
INERTIA_S = 0.012
"""Width of the Gaussian over the finished curves: lips weigh something."""


@dataclass(frozen=True)
class Style:
    """How somebody speaks; none of it can be heard, which is what the diffusion model's seed then chooses."""

    strength: float = 1.0
    """Size of all movements."""
    lively: float = 1.0
    """Speed: the factor on every fade."""
    rounding: float = 1.0
    teeth: float = 1.0
    wobble: float = 0.0
    """Standard deviation of each sound's own factor."""


def draw_style(rng: np.random.Generator) -> Style:
    """A random speaker."""
    strength, lively, rounding, teeth = np.exp(rng.normal(0, (0.12, 0.12, 0.12, 0.18)))
    return Style(float(strength), float(lively), float(rounding), float(teeth), 0.08)


def motion_targets(phones: Sequence[Phone], seconds: float, style: Style, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """The mouth for `phones`: (round(seconds x RATE) + 1, len(CHANNELS)); row i stands for the time i / RATE.

    Units are those of the motion coefficients; `open` may be negative (see sounds.Sound). `rng` draws what `style.wobble`
    leaves open.
    """
    pieces = [piece for phone in phones for piece in _pieces(phone)]
    start, end = (np.array([piece[i] for piece in pieces]) for i in (0, 1))
    table = [piece[2] for piece in pieces]
    targets, pull, fade = (np.array([getattr(sound, name) for sound in table]) for name in ("targets", "pull", "fade"))
    factor = np.array([style.strength, style.teeth, style.teeth, style.strength, style.rounding, 1.0])
    own = np.exp(rng.normal(0, style.wobble, targets.shape)) if style.wobble else 1.0
    targets = np.where(targets > 0, targets * factor * own, targets)
    stress = np.array([piece[3] for piece in pieces])
    targets[:, 0] = np.where(targets[:, 0] > 0, targets[:, 0] * stress, targets[:, 0])
    times = np.arange(round(seconds * RATE) + 1)[:, None] / RATE
    away = 1000 * np.maximum(np.maximum(start - times, times - end), 0)  # ms, (frames, pieces)
    out = np.empty((len(times), len(CHANNELS)))
    for i in range(len(CHANNELS)):
        dominance = pull[:, i] * np.exp(-style.lively * fade[:, i] * away) + 1e-12
        out[:, i] = (dominance @ targets[:, i]) / dominance.sum(1)
    return gaussian_filter1d(out, INERTIA_S * RATE, axis=0, mode="nearest").astype(np.float32)


def _pieces(phone: Phone) -> list[tuple[float, float, Sound, float]]:
    """(start s, end s, sound, stress factor) of a phone's sounds, each core its middle seven tenths (bilabials: to the release)."""
    length = phone.end_s - phone.start_s
    if not phone.symbol:
        pull = min(1.0, (length / LOUD_PAUSE_S) ** 2) * 2
        rest = Sound(REST, (pull,) * len(CHANNELS), (0.016,) * len(CHANNELS), 1.0)
        return [(phone.start_s, phone.end_s, rest, 1.0)]
    if is_bilabial(phone.symbol):
        release = RELEASE[phone.symbol[0]] if len(phone.symbol) == 1 else 0.45
        (sound,) = sounds(phone.symbol)
        return [(phone.start_s, phone.start_s + release * length, sound, 1.0)]
    stress = 1.08 if "ˈ" in phone.symbol else 0.92
    found = sounds(phone.symbol)
    shares = np.cumsum([0.0, *(sound.share for sound in found)])
    edges = phone.start_s + length * shares / shares[-1]
    margins = 0.15 * np.diff(edges)
    return [(edges[i] + margins[i], edges[i + 1] - margins[i], sound, stress) for i, sound in enumerate(found)]


def closures(phones: Sequence[Phone]) -> list[tuple[float, float]]:
    """(start s, end s) of every stretch in which the lips must be shut: the bilabials up to their release."""
    return [(piece[0], piece[1]) for phone in phones if is_bilabial(phone.symbol) for piece in _pieces(phone)]
