"""What accompanies speech and follows no sound closely: blinks, the head's sway, brows. By rule and seed, not learned.

The head nods and the brows rise with the stress of phrases, which is read from the loudness.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d

Array = npt.NDArray[np.float64]

HEARD_RATE = 100
"""Frames a second of the loudness."""


def blinks(times: Array, rng: np.random.Generator) -> dict[str, Array]:
    """Blinks 1.6 to 6 s apart (20 a minute or so), shut within 80 ms, open again after another 190."""
    shut = np.zeros_like(times)
    at = rng.uniform(0.8, 2.5)
    while at < times[-1]:
        after = times - at
        shut = np.maximum(shut, np.interp(after, [0.0, 0.08, 0.12, 0.27], [0.0, 1.0, 1.0, 0.0]))
        at += 1.6 + min(4.4, rng.exponential(1.6))
    return {"blink": shut}


def sway(times: Array, loud: Array, scale: float, rng: np.random.Generator) -> dict[str, Array]:
    """Slow wander of the head with nods and brows on stressed words; starts from the portrait's own pose within a second.

    `times` are those of the frames, s; `loud` is the loudness at HEARD_RATE, 0 to about 1; `scale` the strength.
    """
    stress = np.interp(times, np.arange(len(loud)) / HEARD_RATE, _stress(loud))
    start = 1 - np.exp(-times / 0.6)
    wander = {name: _wander(times, rng) for name in ("yaw", "pitch", "roll", "shift_x", "shift_y", "brow")}
    size = {"yaw": 0.55, "pitch": 0.30, "roll": 0.30, "shift_x": 0.40, "shift_y": 0.25, "brow": 0.12}
    out = {name: start * scale * size[name] * wander[name] for name in wander}
    out["pitch"] = np.clip(out["pitch"] + scale * start * 0.35 * stress, -1.2, 1.2)
    out["brow"] = np.clip(out["brow"] + scale * start * 0.45 * np.maximum(stress, 0), -0.4, 1.2)
    return out


def _stress(loud: Array) -> Array:
    """Stress of phrases, about -1 to 1: loudness over 250 ms against loudness over a second."""
    return 2.5 * (gaussian_filter1d(loud, 0.12 * HEARD_RATE) - gaussian_filter1d(loud, 0.5 * HEARD_RATE))


def _wander(times: Array, rng: np.random.Generator) -> Array:
    """A smooth random curve of about unit size: five sines between 0.07 and 0.6 Hz, the slower the larger."""
    frequency = np.exp(rng.uniform(np.log(0.07), np.log(0.6), 5))
    phase = rng.uniform(0, 2 * np.pi, 5)
    weight = (0.15 / frequency) ** 0.5
    waves = np.sin(2 * np.pi * frequency * times[:, None] + phase)
    return waves @ (weight / np.linalg.norm(weight))
