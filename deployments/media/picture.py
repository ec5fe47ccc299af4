"""Pictures of any common format as upright 8-bit RGB (and, from `crop`, the crop around a face).

The decoding itself (`pixels`) runs in a bounded child process; what is here asks for it and says in words how it went.
"""

from __future__ import annotations

import mmap
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deployments.media.command import is_regular_file
from deployments.media.crop import CroppedPortrait, crop_portrait
from deployments.media.sandbox import Bounds, Ending, shared
from telemetry.errors import RequestError

__all__ = ["BACKGROUND", "CroppedPortrait", "DecodedPicture", "PictureLimits", "crop_portrait", "decode_picture"]

BACKGROUND = 128
"""What lies behind a transparent picture: middle grey, so that neither white nor black hair vanishes into it."""

_BYTES_A_PIXEL = 24
"""Memory that a decode may take for each allowed pixel."""
_BYTES_AT_LEAST = 128 * 2**20


@dataclass(frozen=True)
class PictureLimits:
    """Most pixels of the picture, most bytes of the file, and the wall-clock seconds that decoding may take."""

    max_pixels: int = 40_000_000
    max_bytes: int = 25_000_000
    timeout_s: float = 20.0


@dataclass(frozen=True)
class DecodedPicture:
    """A picture, and facts of the file it came from."""

    pixels: npt.NDArray[np.uint8]
    """(h, w, 3) RGB, upright."""
    format: str
    """Pillow's name of the format ("MPO" is a telephone's JPEG with several pictures in it)."""
    mode: str
    """Pillow's name of the pixels in the file: RGB, L, P, CMYK, I;16 and so on."""
    orientation: int
    """EXIF orientation that was applied, 1 to 8 (1: none)."""
    had_alpha: bool
    """True where transparency was laid over BACKGROUND."""
    icc: str
    """Name of the embedded colour profile, empty where there is none."""


def decode_picture(path: Path, limits: PictureLimits | None = None) -> DecodedPicture:
    """The (first) picture in `path`, whatever its name says.

    Raises RequestError (field "portrait"): image_undecodable, image_too_large (pixels, or the memory that they need), too_large
    (bytes); and where no child can be had, out_of_memory and internal.
    """
    limits = limits or PictureLimits()
    if not is_regular_file(path):
        raise _error("image_undecodable", "There is no such picture file.")
    if (size := path.stat().st_size) > limits.max_bytes:
        raise _error("too_large", f"The picture has {size} bytes; at most {limits.max_bytes} are allowed.")
    bounds = Bounds(
        seconds=limits.timeout_s,
        cpu_s=limits.timeout_s,
        memory_bytes=_BYTES_AT_LEAST + _BYTES_A_PIXEL * limits.max_pixels,
        file_bytes=3 * limits.max_pixels,
    )
    with path.open("rb") as file, os.fdopen(os.memfd_create("picture"), "w+b") as shared_pixels:
        arguments = {"max_pixels": limits.max_pixels, "background": BACKGROUND}
        ending = shared().decode("picture", arguments, (file.fileno(), shared_pixels.fileno()), bounds)
        answer = _answer(ending, limits)
        return _picture(answer, shared_pixels.fileno())


def _answer(ending: Ending, limits: PictureLimits) -> dict[str, Any]:
    if ending.out_of_memory:
        raise _error("image_too_large", "The picture needs more memory than one may take.")
    if ending.error is not None:
        raise _error(*ending.error)
    if ending.timed_out or ending.status == -int(signal.SIGXCPU):
        raise _error("image_undecodable", f"Decoding the picture took longer than {limits.timeout_s:g} s.")
    if ending.answer is None:
        raise _error("image_undecodable", "The picture is damaged: its decoder broke down.")
    return ending.answer


def _picture(answer: dict[str, Any], file: int) -> DecodedPicture:
    """The picture whose pixels a child has left in `file`; they are mapped, not copied."""
    height, width = int(answer["height"]), int(answer["width"])
    if min(height, width) < 1 or os.fstat(file).st_size != height * width * 3:
        raise _error("image_undecodable", "The picture is damaged: it has no pixels.")
    memory = mmap.mmap(file, height * width * 3, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    pixels = np.frombuffer(memory, np.uint8).reshape(height, width, 3)
    facts = {name: answer[name] for name in ("format", "mode", "orientation", "had_alpha", "icc")}
    return DecodedPicture(pixels, **facts)


def _error(type: str, message: str) -> RequestError:
    return RequestError(type, message, field="portrait")
