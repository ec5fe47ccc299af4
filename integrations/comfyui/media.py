"""Between ComfyUI's tensors and the files that the service takes."""

from __future__ import annotations

import io
import wave
from typing import Any

import numpy as np
from PIL import Image

from sonoscope.client import Blob


def pictures(images: Any) -> list[Blob]:
    """PNG files of an IMAGE: float tensor [batch, height, width, 3 or 4], 0 to 1. Raises ValueError for another shape."""
    if images.ndim != 4 or images.shape[-1] not in (3, 4):
        raise ValueError(f"An IMAGE is [batch, height, width, 3 or 4]; got {tuple(images.shape)}.")
    pixels = (images.detach().cpu().numpy().clip(0.0, 1.0) * 255.0).round().astype(np.uint8)
    blobs: list[Blob] = []
    for number, one in enumerate(pixels):
        file = io.BytesIO()
        Image.fromarray(one).save(file, "PNG")
        blobs.append(Blob(f"comfyui_{number}.png", file.getvalue()))
    return blobs


def speech(audio: Any) -> Blob:
    """A 16-bit WAV file of the first sound of an AUDIO: {"waveform": float tensor [batch, channels, samples], "sample_rate"}.

    Raises ValueError for another shape.
    """
    waveform = audio["waveform"]
    if waveform.ndim != 3 or not waveform.shape[0]:
        raise ValueError(f"The waveform of an AUDIO is [batch, channels, samples]; got {tuple(waveform.shape)}.")
    samples = (waveform[0].detach().cpu().numpy().clip(-1.0, 1.0) * 32767.0).round().astype("<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(samples.shape[0])
        sound.setsampwidth(2)
        sound.setframerate(int(audio["sample_rate"]))
        sound.writeframes(samples.T.tobytes())
    return Blob("comfyui.wav", file.getvalue())
