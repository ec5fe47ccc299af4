"""Makes clean synthetic speech sound recorded: speed, room, equalisation, noise, codec, level."""

from __future__ import annotations

from typing import cast

import numpy as np
import numpy.typing as npt
from scipy.fft import irfft, next_fast_len, rfft
from scipy.signal import fftconvolve, resample_poly

from deployments.models.protocol import SAMPLE_RATE

Sound = npt.NDArray[np.float32]


def faster(samples: Sound, percent: int) -> Sound:
    """The sound played at `percent` of its speed: pitch, formants and times change together."""
    return resample_poly(samples, 100, percent).astype(np.float32)


def roughen(samples: Sound, rng: np.random.Generator) -> Sound:
    """One random recording of `samples`, of the same length and in time with it; at most of full scale."""
    out = samples * _swing(len(samples), rng)
    if rng.random() < 0.5:
        out = _room(out, rng)
    out = _equalise(out, rng)
    if rng.random() < 0.85:
        out = out + noise(len(out), rng) * _rms(out) * 10 ** (-rng.uniform(3, 45) / 20)
    if rng.random() < 0.2:
        out = _codec(out, rng)
    peak = np.abs(out).max() + 1e-9
    return (out / peak * 10 ** (-rng.uniform(0, 30) / 20)).astype(np.float32)


def _swing(n: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """(n,) a gain that wanders by some decibels within a second or two: nobody speaks as evenly as a synthesiser."""
    knots = np.arange(0, n + SAMPLE_RATE, SAMPLE_RATE // 2)
    return 10 ** (np.interp(np.arange(n), knots, rng.normal(0, rng.uniform(0, 5), len(knots))) / 20)


def breath(n: int, rng: np.random.Generator) -> Sound:
    """(n,) an intake of breath that fills a pause, some 30 dB below speech."""
    envelope = np.hanning(n) * 10 ** (-rng.uniform(24, 50) / 20)
    return (noise(n, rng) * envelope).astype(np.float32)


def _rms(x: npt.NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(x**2)) + 1e-9)


def noise(n: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """(n,) noise of unit power: a random slope between white and brown, sometimes with hum, sometimes swelling."""
    size = cast("int", next_fast_len(n, real=True))
    spectrum = np.asarray(rfft(rng.standard_normal(size)))
    frequency = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    spectrum *= (np.maximum(frequency, 30) / 1000) ** -rng.uniform(0, 1.5) * _curve(frequency, rng, 6.0)
    out = np.asarray(irfft(spectrum, size))[:n]
    if rng.random() < 0.2:
        time = np.arange(n) / SAMPLE_RATE
        hum = rng.choice([50.0, 60.0, rng.uniform(80, 400)])
        tone = sum(np.sin(2 * np.pi * hum * k * time + rng.uniform(0, 6.3)) / k for k in range(1, rng.integers(2, 8)))
        out = out / _rms(out) + tone * rng.uniform(0.2, 1.5)
    if rng.random() < 0.3:
        swell = np.interp(np.arange(n), 8000 * np.arange(n // 8000 + 2), rng.uniform(0.2, 1.5, n // 8000 + 2))
        out = out * swell
    return out / _rms(out)


def _curve(frequency: npt.NDArray[np.floating], rng: np.random.Generator, decibels: float) -> npt.NDArray[np.float64]:
    """A smooth random gain over log frequency."""
    knots = np.log(np.array([30, 100, 250, 600, 1200, 2500, 4500, 8000.0]))
    gain = rng.normal(0, decibels, len(knots))
    return 10 ** (np.interp(np.log(np.maximum(frequency, 30)), knots, gain) / 20)


def _equalise(x: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    size = cast("int", next_fast_len(len(x), real=True))
    spectrum = np.asarray(rfft(x, size))
    frequency = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    gain = _curve(frequency, rng, 5.0)
    if rng.random() < 0.3:
        gain = gain / (1 + (frequency / rng.uniform(2800, 7000)) ** 6)
    if rng.random() < 0.3:
        gain = gain / (1 + (rng.uniform(80, 350) / np.maximum(frequency, 1)) ** 4)
    return np.asarray(irfft(spectrum * gain, size))[: len(x)]


def _room(x: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Exponentially decaying noise after the direct sound (Moorer 1979), which stays first: no delay."""
    seconds = rng.uniform(0.12, 0.8)
    n = int(seconds * SAMPLE_RATE)
    time = np.arange(n) / SAMPLE_RATE
    tail = rng.standard_normal(n) * 10 ** (-3 * time / seconds)
    tail[: int(rng.uniform(0.001, 0.012) * SAMPLE_RATE)] = 0
    tail *= 10 ** (-rng.uniform(-3, 15) / 20) / (np.sqrt((tail**2).sum()) + 1e-9)
    tail[0] = 1.0
    return np.asarray(fftconvolve(x, tail))[: len(x)]


def _codec(x: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Telephone: 8-bit mu-law (G.711) at 8 kHz; or mu-law at the full rate."""
    peak = np.abs(x).max() + 1e-9
    narrow = rng.random() < 0.6
    y = resample_poly(x, 1, 2) if narrow else x
    y = np.clip(y / peak, -1, 1)
    coded = np.round(np.sign(y) * np.log1p(255 * np.abs(y)) / np.log(256) * 127) / 127
    y = np.sign(coded) * (256 ** np.abs(coded) - 1) / 255 * peak
    return resample_poly(y, 2, 1)[: len(x)] if narrow else y
