"""From the sound to what the mouth should do: log-mel bands and a small convolutional regressor, in numpy."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from deployments.media.audio import SAMPLE_RATE, Samples
from deployments.models.facemesh import ChecksumError

Array = npt.NDArray[np.float64]
Layers = list[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]

RATE = 100
"""Frames a second."""
WINDOW = 400
"""Samples of an analysis window: 25 ms, the usual length in speech work."""
BANDS = 32
"""Bands of the spectrum, evenly spaced in mel."""
LOWEST_HZ, HIGHEST_HZ = 80.0, 7000.0
FLOOR_DB = 60.0
"""Depth below a recording's loud frames at which a band counts as empty: what lies lower is the room."""
WEIGHTS = "hear.safetensors"
WEIGHTS_SHA256 = "c9a3cda35463a76b9c8aaba5e05718e0aea48b7b0b9e944c92bbaba670465f6e"
_PIECE = 4096

Features = npt.NDArray[np.float32]


def log_mel(samples: Samples) -> Features:
    """(frames, BANDS): level in mel bands at RATE: 1 at the recording's loud frames (95th percentile), 0 FLOOR_DB below them.

    `samples` is mono at SAMPLE_RATE. Frame i is centred on the time i / RATE.
    """
    hop = SAMPLE_RATE // RATE
    padded = np.pad(samples.astype(np.float32), WINDOW // 2)
    if len(padded) < WINDOW + hop:
        padded = np.pad(padded, (0, WINDOW + hop - len(padded)))
    pieces = sliding_window_view(padded, WINDOW)[::hop] * np.hanning(WINDOW).astype(np.float32)
    power = np.abs(np.fft.rfft(pieces, 512, axis=1)) ** 2
    level = 10.0 * np.log10(power @ _mel_filters().T + 1e-10)
    top = np.percentile(level.max(1), 95)
    return np.clip(1.0 + (level - top) / FLOOR_DB, 0.0, 1.0).astype(np.float32)


@cache
def _mel_filters() -> Array:
    """(BANDS, 257) triangles, evenly spaced on O'Shaughnessy's mel scale (2595 log10(1 + f / 700))."""
    frequency = np.fft.rfftfreq(512, 1 / SAMPLE_RATE)
    low, high = (2595 * np.log10(1 + hz / 700) for hz in (LOWEST_HZ, HIGHEST_HZ))
    edges = 700 * (10 ** (np.linspace(low, high, BANDS + 2) / 2595) - 1)
    rising = (frequency - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - frequency) / (edges[2:] - edges[1:-1])[:, None]
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    return triangles / np.maximum(triangles.sum(1, keepdims=True), 1e-9)


@cache
def regressor() -> Layers:
    """The convolutions (weights (out, in, width), bias) of `weights/hear.safetensors`. Raises ChecksumError for a changed file."""
    from safetensors.numpy import load

    data = files("deployments.meter").joinpath("weights", WEIGHTS).read_bytes()
    if hashlib.sha256(data).hexdigest() != WEIGHTS_SHA256:
        raise ChecksumError(f"{WEIGHTS} is not the file that was tested; install the package again")
    tensors = load(data)
    return [(tensors[f"{i}.weight"], tensors[f"{i}.bias"]) for i in range(len(tensors) // 2)]


def expected_mouth(samples: Samples, layers: Layers | None = None) -> Features:
    """(frames, 3) at RATE: how open the lips, how wide the mouth, how low the jaw should be, each in its own standard deviations.

    Costs 6 ms a second of sound. Frame i stands for the time i / RATE.
    """
    layers = layers or regressor()
    value = log_mel(samples)
    return np.concatenate([_convolve(value, start, layers) for start in range(0, len(value), _PIECE)])


def _convolve(value: Features, start: int, layers: Layers) -> Features:
    """The output for frames start to start + _PIECE: in pieces, because the windows of ten minutes would take a gigabyte."""
    reach = sum(weight.shape[2] // 2 for weight, _ in layers)
    low, high = max(0, start - reach), min(len(value), start + _PIECE + reach)
    out = value[low:high].T
    for i, (weight, bias) in enumerate(layers):
        width = weight.shape[2]
        windows = sliding_window_view(np.pad(out, ((0, 0), (width // 2, width // 2))), width, axis=1)
        out = np.tensordot(weight, windows, axes=((1, 2), (0, 2))) + bias[:, None]
        if i < len(layers) - 1:
            out = np.maximum(out, 0.0)
    return out.T[start - low : start - low + _PIECE]
