"""Where each sound of a recording is, from its text: the text is spoken by eSpeak NG and warped onto the recording.

Dynamic time warping (Sakoe and Chiba 1978) of cepstra. Good to some 30 ms where the recording is clean; used for figures only.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from scipy.fft import dct

from deployments.models.motion_features import HOP, log_mel
from deployments.models.protocol import SAMPLE_RATE
from deployments.models.training.speech import Phone, speak

Array = npt.NDArray[np.float64]

FRAME_S = HOP / SAMPLE_RATE
CEPSTRA = 14


def align(samples: npt.NDArray[np.float32], text: str, voice: str) -> tuple[Phone, ...]:
    """The phones of `text` with their times in the recording `samples` (mono at SAMPLE_RATE); `voice` as in speak()."""
    spoken = speak(text, voice=voice, rate=160)
    path = _warp(_cepstra(spoken.samples), _cepstra(samples))
    spoken_s, recording_s = path[:, 0] * FRAME_S, path[:, 1] * FRAME_S
    # Several recording frames may belong to one spoken frame: a boundary lies in their middle.
    times = np.unique(spoken_s)
    middle = np.array([recording_s[spoken_s == time].mean() for time in times])
    return tuple(
        Phone(phone.symbol, float(np.interp(phone.start_s, times, middle)), float(np.interp(phone.end_s, times, middle)))
        for phone in spoken.phones
    )


def _cepstra(samples: npt.NDArray[np.float32]) -> Array:
    """(frames, 2 CEPSTRA): cepstra and their slopes, each of unit spread over the clip, so that voices compare."""
    mel = log_mel(samples, torch.device("cpu")).numpy().T.astype(np.float64)
    cepstra = np.asarray(dct(mel, axis=1, norm="ortho"))[:, :CEPSTRA]
    both = np.concatenate([cepstra, 2 * np.gradient(cepstra, axis=0)], 1)
    return (both - both.mean(0)) / (both.std(0) + 1e-6)


def _warp(a: Array, b: Array) -> npt.NDArray[np.int64]:
    """The cheapest path (k, 2) through frames of `a` and `b`, from both beginnings to both ends."""
    cost = np.sqrt(np.maximum((a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T, 0))
    total = np.full((len(a) + 1, len(b) + 1), np.inf)
    total[0, 0] = 0
    for i in range(len(a)):
        across = np.minimum(total[i, :-1], total[i, 1:])
        best = np.inf
        row = cost[i]
        for j in range(len(b)):
            best = row[j] + min(across[j], best)
            total[i + 1, j + 1] = best
    i, j = len(a), len(b)
    path = []
    while i > 0 and j > 0:
        path.append((i - 1, j - 1))
        ways = (total[i - 1, j - 1], total[i - 1, j], total[i, j - 1])
        choice = int(np.argmin(ways))
        i, j = (i - (choice != 2), j - (choice != 1))
    return np.array(path[::-1])
