"""What the motion model hears: a log-mel spectrogram, levelled over the whole clip."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
import torch

from deployments.models.protocol import SAMPLE_RATE

MELS = 64
"""Bands of the spectrogram; 80 and 40 are usual in speech work."""
HOP = 160
"""Samples between frames: 100 frames a second."""
WINDOW, FFT = 400, 512
LOW_HZ, HIGH_HZ = 60.0, 7600.0
SPAN_DB = 60.0
"""Levels this far below the clip's loud frames, and lower, count as silence."""
QUIETEST_DB = -50.0
"""Loud frames below this level (dB of full scale) are not raised: a silent recording's hiss must not become speech."""


@cache
def _filters() -> torch.Tensor:
    """Triangular mel bands (FFT bins, MELS), on O'Shaughnessy's scale, 2595 log10(1 + f / 700), each of unit sum."""
    edges = np.linspace(2595 * np.log10(1 + LOW_HZ / 700), 2595 * np.log10(1 + HIGH_HZ / 700), MELS + 2)
    hertz = 700 * (10 ** (edges / 2595) - 1)
    bins = np.arange(FFT // 2 + 1) * SAMPLE_RATE / FFT
    low, middle, high = hertz[:-2], hertz[1:-1], hertz[2:]
    rising = (bins[:, None] - low) / (middle - low)
    falling = (high - bins[:, None]) / (high - middle)
    weights = np.maximum(0, np.minimum(rising, falling))
    return torch.from_numpy((weights / np.maximum(weights.sum(0), 1e-9)).astype(np.float32))


def log_mel(samples: npt.NDArray[np.float32], device: torch.device) -> torch.Tensor:
    """Spectrogram (MELS, 1 + len(samples) // HOP) on `device`, float32, about -1 (silent) to 1 (loud).

    `samples` (n,) is mono at SAMPLE_RATE. Frame i is centred on the time i * HOP / SAMPLE_RATE.
    """
    sound = torch.from_numpy(np.ascontiguousarray(samples)).to(device)
    window = torch.hann_window(WINDOW, device=device)
    spectrum = torch.stft(sound, FFT, HOP, WINDOW, window, center=True, pad_mode="constant", return_complex=True)
    power = spectrum.abs().square() / window.sum().square() * 4  # 1 for a sine of full scale
    level = 10 * torch.log10(power.sum(0) + 1e-10)
    top = torch.quantile(level[:: max(1, len(level) // 100_000)], 0.95).clamp(min=QUIETEST_DB)
    mel = 10 * torch.log10(_filters().to(device).T @ power + 1e-12)
    return ((mel - top) / SPAN_DB + 1.5).clamp(0, 2) - 1


def loudness(mel: torch.Tensor) -> npt.NDArray[np.float64]:
    """Loudness (frames,) from 0 to about 1 of a spectrogram by `log_mel`: the mean of its speech bands."""
    return (mel[4:44].mean(0) / 2 + 0.5).double().cpu().numpy()
