"""What the lips do for each sound: targets and their pull, by the International Phonetic Alphabet as eSpeak NG writes it.

The order and the relative sizes follow what phonetics says of lips and jaw (bilabials shut, labiodentals and sibilants a narrow
jaw, open vowels a low one, rounding for u, o, w, spreading for i); the sizes themselves were set by looking at drawn frames, there
is no measured face behind them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

REST = (-0.08, 0.0, 0.0, 0.0, 0.0, 0.0)
"""A mouth at rest: lightly shut."""


@dataclass(frozen=True)
class Sound:
    """One sound's targets in the order of motion_net.CHANNELS, and how strongly and how far in time it pulls each channel.

    `open` below 0 is a lip pushed against the other one: a virtual target behind the contact, as measured for bilabial stops
    (Löfqvist and Gracco 1997, J. Acoust. Soc. Am. 102, 877), so that the lips are shut and not nearly shut.
    """

    targets: tuple[float, ...]
    pull: tuple[float, ...]
    """Dominance at the sound itself, one a channel; a vowel's is 1."""
    fade: tuple[float, ...]
    """Decay of the dominance, 1/ms, one a channel."""
    share: float
    """Relative length inside a symbol of several sounds."""


def _vowel(*targets: float) -> Sound:
    rounded = 0.9 + 0.8 * targets[4]  # rounding starts early and yields to little
    return Sound(targets, (1.0, 1.0, 1.0, 1.0, rounded, 0.5), (0.018, 0.018, 0.018, 0.016, 0.011, 0.03), 1.0)


def _consonant(*targets: float, pull: tuple[float, ...], fade: float = 0.030) -> Sound:
    return Sound(targets, pull, (fade, fade, fade, 0.022, 0.013 if targets[4] else 0.022, 0.08), 0.7)


LIPS = (6.0, 4.0, 4.0, 0.35, 0.30, 4.0)
"""Lips shut or nearly: pull hard on everything but spreading and rounding, which they leave to the vowels around."""
TEETH = (2.0, 2.2, 2.2, 1.0, 0.8, 0.5)
"""Sibilants: the jaw must be nearly shut."""
TONGUE = (0.55, 0.45, 0.45, 0.35, 0.25, 0.5)
"""Made with the tongue: the lips are free."""
THROAT = (0.25, 0.2, 0.2, 0.2, 0.15, 0.5)
ROUND = (1.6, 1.2, 1.2, 1.2, 2.0, 0.5)

_A, _OPEN_E, _MID_E, _I, _U, _O = (
    _vowel(0.68, 0.24, 0.14, 0.10, 0.0, 0.0),
    _vowel(0.46, 0.30, 0.18, 0.30, 0.0, 0.0),
    _vowel(0.36, 0.28, 0.18, 0.38, 0.0, 0.0),
    _vowel(0.20, 0.28, 0.18, 0.52, 0.0, 0.0),
    _vowel(0.16, 0.06, 0.05, 0.0, 0.90, 0.0),
    _vowel(0.36, 0.12, 0.08, 0.0, 0.62, 0.0),
)
_BILABIAL = _consonant(-0.28, 0.0, 0.0, 0.0, 0.0, 0.55, pull=LIPS, fade=0.085)
_LABIODENTAL = _consonant(0.07, 0.05, 0.34, 0.10, 0.0, 0.0, pull=(4.0, 3.0, 3.0, 0.6, 0.4, 1.0), fade=0.045)
_HISS = _consonant(0.11, 0.42, 0.24, 0.28, 0.0, 0.0, pull=TEETH)
_RETROFLEX = _consonant(0.14, 0.42, 0.30, 0.0, 0.28, 0.0, pull=TEETH)
_HUSH = _consonant(0.15, 0.45, 0.34, 0.0, 0.50, 0.0, pull=TEETH)
_PALATAL_HUSH = _consonant(0.14, 0.42, 0.28, 0.32, 0.0, 0.0, pull=TEETH)
_ALVEOLAR = _consonant(0.18, 0.22, 0.12, 0.12, 0.0, 0.0, pull=TONGUE)
_LATERAL = _consonant(0.28, 0.26, 0.12, 0.12, 0.0, 0.0, pull=TONGUE)
_DENTAL = _consonant(0.17, 0.30, 0.15, 0.15, 0.0, 0.0, pull=(0.9, 0.8, 0.8, 0.5, 0.3, 0.5))
_VELAR = _consonant(0.24, 0.15, 0.10, 0.10, 0.0, 0.0, pull=TONGUE)
_GLOTTAL = _consonant(0.26, 0.12, 0.08, 0.05, 0.0, 0.0, pull=THROAT)
_RHOTIC = _consonant(0.20, 0.22, 0.12, 0.0, 0.40, 0.0, pull=(0.9, 0.8, 0.8, 0.6, 1.0, 0.5))
_GLIDE_W = _consonant(0.10, 0.04, 0.03, 0.0, 0.98, 0.0, pull=ROUND)
_GLIDE_J = _consonant(0.17, 0.25, 0.16, 0.48, 0.0, 0.0, pull=(1.0, 0.8, 0.8, 1.2, 0.4, 0.5))
_NEUTRAL = _vowel(0.30, 0.18, 0.10, 0.06, 0.0, 0.0)


def _same(symbols: Iterable[str], sound: Sound) -> dict[str, Sound]:
    return dict.fromkeys(symbols, sound)


SOUNDS: dict[str, Sound] = (
    _same(("m", "b", "p", "ph", "pʰ"), _BILABIAL)
    | _same(("f", "v", "ʋ"), _LABIODENTAL)
    | _same(("s", "z", "ts", "tsh", "dz"), _HISS)
    | _same(("s.", "ts.", "ts.h", "ʂ", "tʂ"), _RETROFLEX)
    | _same(("ʃ", "ʒ", "tʃ", "dʒ"), _HUSH)
    | _same(("ɕ", "tɕ", "tɕh", "ç"), _PALATAL_HUSH)
    | _same(("t", "th", "d", "n", "ɾ", "ɲ"), _ALVEOLAR)
    | _same(("l", "ɫ"), _LATERAL)
    | _same(("θ", "ð"), _DENTAL)
    | _same(("k", "kh", "g", "ɡ", "ŋ", "χ", "x", "c"), _VELAR)
    | _same(("h", "ʔ", "ɦ"), _GLOTTAL)
    | _same(("ɹ", "r", "ʐ", "ɻ"), _RHOTIC)
    | _same(("w", "ʍ", "ɥ"), _GLIDE_W)
    | _same(("j",), _GLIDE_J)
    | _same(("ɑ", "a", "ɐ̃"), _A)
    | _same(("æ",), _vowel(0.60, 0.34, 0.22, 0.34, 0.0, 0.0))
    | _same(("ʌ", "ɐ"), _vowel(0.46, 0.22, 0.12, 0.08, 0.0, 0.0))
    | _same(("ə",), _NEUTRAL)
    | _same(("ɛ",), _OPEN_E)
    | _same(("e",), _MID_E)
    | _same(("ɪ",), _vowel(0.26, 0.24, 0.15, 0.32, 0.0, 0.0))
    | _same(("i", "ᵻ"), _I)
    | _same(("ɔ",), _vowel(0.52, 0.15, 0.10, 0.0, 0.45, 0.0))
    | _same(("ɒ",), _vowel(0.58, 0.18, 0.12, 0.0, 0.25, 0.0))
    | _same(("o",), _O)
    | _same(("ʊ",), _vowel(0.24, 0.10, 0.06, 0.0, 0.58, 0.0))
    | _same(("u", "ʉ"), _U)
    | _same(("y",), _vowel(0.15, 0.12, 0.10, 0.0, 0.80, 0.0))
    | _same(("ɜ", "ɚ", "ɝ"), _vowel(0.28, 0.15, 0.10, 0.0, 0.28, 0.0))
    | _same(("o-", "ɤ"), _vowel(0.36, 0.18, 0.10, 0.14, 0.0, 0.0))
    | _same(("i.", "i̪"), _vowel(0.14, 0.36, 0.24, 0.28, 0.0, 0.0))
)
BILABIALS = ("m", "b", "p", "ph", "pʰ")
_TOKEN = re.compile("|".join(re.escape(key) for key in sorted(SOUNDS, key=len, reverse=True)))
_MARKS = re.compile("[ˈˌː̩̃ʲʰ]")


@cache
def sounds(symbol: str) -> tuple[Sound, ...]:
    """The sounds that one of eSpeak's symbols stands for, in order: ˈaɪ is two; an unknown letter counts as a neutral vowel."""
    return tuple(SOUNDS[token] for token in _TOKEN.findall(_MARKS.sub("", symbol))) or (_NEUTRAL,)


def is_bilabial(symbol: str) -> bool:
    """Whether the lips must shut for this symbol."""
    return _MARKS.sub("", symbol) in BILABIALS
