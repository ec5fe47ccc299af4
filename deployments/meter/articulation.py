"""What lips and jaw do for each sound: the targets that the meter's regressor is trained on. Never imported at run time.

The values are read from phonetics, not from a recording and not from this project's own video model: degree of jaw and lip opening
by vowel height, lip spreading and rounding by the vowel chart, complete closure for bilabials, lower lip against the teeth for
labiodentals, a nearly shut jaw for sibilants (Ladefoged and Johnson, A Course in Phonetics; Keating, Lindblom, Lubker and Kreiman,
Variability in jaw height for segments in English and Swedish VCVs, 1994). Neighbouring sounds blend by dominance: a sound that
insists on its shape (p, f, sh) wins over one that does not care (t, k, h) (Cohen and Massaro, Modeling coarticulation in synthetic
visual speech, 1993).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d

RATE = 100
"""Target frames a second."""
TARGETS = ("open", "wide", "jaw")
"""open: inner lips apart, 0 to 1; wide: mouth's corners, -1 rounded to 1 spread; jaw: lowered, 0 to 1."""
BLEND_S = 0.045
"""Width of the Gaussian in which neighbouring sounds blend: lips reach a target within about 100 ms."""


@dataclass(frozen=True)
class Shape:
    """Targets of a sound, and how much it insists on each."""

    open: float
    wide: float
    jaw: float
    insists: tuple[float, float, float] = (1.0, 1.0, 1.0)


def _vowel(open: float, wide: float, jaw: float) -> Shape:
    return Shape(open, wide, jaw, (1.0, 1.0, 1.0))


_PAUSE = Shape(0.05, 0.0, 0.10, (0.6, 0.4, 0.6))
_BILABIAL = Shape(0.0, 0.0, 0.25, (4.0, 0.5, 0.7))
_LABIODENTAL = Shape(0.10, 0.15, 0.15, (2.5, 0.5, 1.5))
_SIBILANT = Shape(0.30, 0.30, 0.05, (0.8, 0.6, 3.0))
_POSTALVEOLAR = Shape(0.32, -0.55, 0.05, (1.0, 1.5, 3.0))
_ALVEOLAR = Shape(0.33, 0.15, 0.22, (0.4, 0.2, 0.6))
_DENTAL = Shape(0.32, 0.15, 0.25, (0.8, 0.3, 0.8))
_VELAR = Shape(0.40, 0.05, 0.35, (0.25, 0.1, 0.3))
_NEUTRAL = Shape(0.40, 0.0, 0.40, (0.1, 0.1, 0.1))

SHAPES: dict[str, Shape] = {
    "": _PAUSE,
    **dict.fromkeys("pbm", _BILABIAL),
    **dict.fromkeys("fvɱ", _LABIODENTAL),
    **dict.fromkeys("sz", _SIBILANT),
    **dict.fromkeys("ɕʑ", Shape(0.30, 0.35, 0.05, (0.9, 0.8, 3.0))),
    **dict.fromkeys("ʃʒ", _POSTALVEOLAR),
    **dict.fromkeys("ʂʐ", Shape(0.33, -0.35, 0.08, (0.9, 1.0, 2.5))),
    **dict.fromkeys("tdnɾ", _ALVEOLAR),
    "l": Shape(0.42, 0.1, 0.35, (0.5, 0.2, 0.5)),
    **dict.fromkeys("θð", _DENTAL),
    **dict.fromkeys("kɡgŋxχ", _VELAR),
    **dict.fromkeys("hʔɦ", _NEUTRAL),
    "ɹ": Shape(0.28, -0.50, 0.25, (0.9, 1.2, 0.6)),
    "w": Shape(0.15, -1.0, 0.25, (2.0, 2.5, 0.6)),
    "j": Shape(0.28, 0.6, 0.18, (0.8, 0.8, 0.8)),
    "i": _vowel(0.30, 0.85, 0.20), "ɪ": _vowel(0.40, 0.50, 0.32), "ᵻ": _vowel(0.38, 0.35, 0.32),
    "e": _vowel(0.48, 0.65, 0.40), "ɛ": _vowel(0.62, 0.50, 0.58), "æ": _vowel(0.85, 0.45, 0.88),
    "a": _vowel(1.00, 0.20, 1.00), "ɑ": _vowel(0.95, -0.05, 1.00), "ɐ": _vowel(0.75, 0.10, 0.75), "ʌ": _vowel(0.70, 0.05, 0.70),
    "ɒ": _vowel(0.78, -0.45, 0.85), "ɔ": _vowel(0.60, -0.65, 0.65), "o": _vowel(0.42, -0.80, 0.45), "ʊ": _vowel(0.32, -0.65, 0.32),
    "u": _vowel(0.20, -0.95, 0.22), "y": _vowel(0.20, -0.85, 0.20), "ɜ": _vowel(0.48, -0.20, 0.42),
    "ə": Shape(0.42, 0.0, 0.42, (0.5, 0.5, 0.5)), "ɚ": Shape(0.38, -0.30, 0.36, (0.7, 0.8, 0.7)),
}  # fmt: skip
"""By the first letter of eSpeak NG's IPA; the Mandarin retroflexes s. and ts. are rewritten to it first."""

ARPABET = {
    "AA": "ɑ", "AE": "æ", "AH": "ʌ", "AO": "ɔ", "AW": "aʊ", "AY": "aɪ", "B": "b", "CH": "tʃ", "D": "d", "DH": "ð", "EH": "ɛ",
    "ER": "ɜ", "EY": "eɪ", "F": "f", "G": "g", "HH": "h", "IH": "ɪ", "IY": "i", "JH": "dʒ", "K": "k", "L": "l", "M": "m", "N": "n",
    "NG": "ŋ", "OW": "oʊ", "OY": "ɔɪ", "P": "p", "R": "ɹ", "S": "s", "SH": "ʃ", "T": "t", "TH": "θ", "UH": "ʊ", "UW": "u", "V": "v",
    "W": "w", "Y": "j", "Z": "z", "ZH": "ʒ", "SIL": "",
}  # fmt: skip
"""CMU's names of English phones, which recordings are aligned with, as IPA."""

_REWRITTEN = (("ts.", "ʂ"), ("s.", "ʂ"), ("tʃ", "ʃ"), ("dʒ", "ʒ"), ("tɕ", "ɕ"), ("ts", "s"))


def shapes_of(symbol: str) -> list[Shape]:
    """The shapes that one symbol goes through: one for most sounds, two or three for diphthongs. Unknown letters are skipped."""
    plain = symbol.lstrip("ˈˌ")
    for old, new in _REWRITTEN:
        if plain.startswith(old):
            plain = new + plain[len(old) :]
    first = plain[:1]
    if first in "pbmfvszɕʃʒʂtdnlθðkɡgχx" and first:
        return [SHAPES[first]]  # the rest are aspiration and length
    return [SHAPES[letter] for letter in plain if letter in SHAPES] or [SHAPES[""] if not plain else _NEUTRAL]


def targets(phones: Iterable[tuple[str, float, float]], seconds: float) -> npt.NDArray[np.float64]:
    """(frames, len(TARGETS)) at RATE; frame i stands for the time i / RATE. `phones`: symbol, start and end in seconds."""
    n = int(seconds * RATE) + 1
    value, weight = np.zeros((n, len(TARGETS))), np.full((n, len(TARGETS)), 1e-3)
    value += 1e-3 * np.array([_PAUSE.open, _PAUSE.wide, _PAUSE.jaw])
    for symbol, start, end in phones:
        shapes = shapes_of(symbol)
        edges = np.linspace(start, end, len(shapes) + 1) * RATE
        for shape, low, high in zip(shapes, edges[:-1], edges[1:], strict=True):
            covered = _coverage(low, high, n)[:, None] * np.array(shape.insists)
            value += covered * (shape.open, shape.wide, shape.jaw)
            weight += covered
    width = BLEND_S * RATE
    return gaussian_filter1d(value, width, axis=0) / gaussian_filter1d(weight, width, axis=0)


def _coverage(low: float, high: float, n: int) -> npt.NDArray[np.float64]:
    """How much of each frame (its middle +- half a frame) lies between `low` and `high`, 0 to 1."""
    frames = np.arange(n)
    return np.clip(np.minimum(frames + 0.5, high) - np.maximum(frames - 0.5, low), 0.0, 1.0)
