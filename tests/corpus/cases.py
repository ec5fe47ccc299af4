"""What a case is, and the two harmless inputs that stand beside the one that bites."""

from __future__ import annotations

import io
import subprocess
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from deployments.media.command import ffmpeg_binary

MEDIA = Path(__file__).parents[2] / "sonoscope" / "media"
VIDEO = "video"
"""Expected where a right video must come; anything else is a type of `telemetry.errors`."""


@dataclass(frozen=True)
class Case:
    """One request. `expected` holds every right answer: more than one only where damage is random or a face is borderline."""

    name: str
    expected: frozenset[str]
    portrait: bytes
    audio: bytes
    parameters: dict[str, str] = field(default_factory=dict)
    advice: frozenset[str] = frozenset()
    """Codes that the answer must hold."""
    portrait_name: bytes = b"portrait.png"
    audio_name: bytes = b"audio.wav"
    body: bytes | None = None
    """A body of JSON that is sent instead of the form."""


def case(
    name: str,
    *expected: str,
    portrait: bytes | None = None,
    audio: bytes | None = None,
    parameters: dict[str, str] | None = None,
    advice: tuple[str, ...] = (),
    **more: bytes,
) -> Case:
    """A case whose other input is harmless."""
    picture, sound = portrait if portrait is not None else good_portrait(), audio if audio is not None else good_speech()
    return Case(name, frozenset(expected), picture, sound, parameters or {}, frozenset(advice), **more)


@cache
def portrait() -> Image.Image:
    """A face in the middle of 256 x 256 px."""
    with Image.open(MEDIA / "portrait_astronaut.png") as image:
        return image.convert("RGB").crop((98, 10, 354, 266))


@cache
def good_portrait() -> bytes:
    """It as PNG."""
    return saved(portrait(), "PNG")


@cache
def good_speech() -> bytes:
    """0.7 s of English, 16 kHz mono, 16-bit WAV."""
    return sound("wav", "-c:a", "pcm_s16le")


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    """The picture as bytes of a format of Pillow."""
    buffer = io.BytesIO()
    if "append_images" in options:
        options["append_images"] = [other.copy() for other in options["append_images"]]
    image.copy().save(buffer, format, **options)  # copies: saving leaves settings of the format on a picture
    return buffer.getvalue()


def sound(ending: str, *arguments: object, source: tuple[object, ...] = (), before: tuple[object, ...] = ()) -> bytes:
    """What ffmpeg makes of 0.7 s of speech (or of `source`, input arguments), written as a file with this ending.

    `before` are inputs before it.
    """
    inputs = source or ("-ss", 1.0, "-t", 0.7, "-i", MEDIA / "speech_en.wav")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / f"made.{ending}"
        command = [
            ffmpeg_binary(),
            "-nostdin",
            "-loglevel",
            "error",
            "-y",
            *before,
            *inputs,
            *arguments,
            "-fflags",
            "+bitexact",
            target,
        ]
        subprocess.run([str(word) for word in command], check=True, capture_output=True, timeout=60)
        return target.read_bytes()


def wrecked(whole: bytes, random: np.random.Generator, changes: int = 8) -> bytes:
    """The file with a few bytes changed behind its first eight."""
    wreck = bytearray(whole)
    for position in random.integers(8, len(wreck), changes):
        wreck[position] = int(random.integers(0, 256))
    return bytes(wreck)
