"""Pictures of any common format as upright 8-bit RGB (and, from `crop`, the crop around a face)."""

from __future__ import annotations

import io
import struct
import threading
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from deployments.media.command import is_regular_file
from deployments.media.crop import CroppedPortrait, crop_portrait
from telemetry.errors import RequestError

__all__ = ["FORMATS", "CroppedPortrait", "DecodedPicture", "PictureLimits", "crop_portrait", "decode_picture"]

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
"""Formats that we open, found by content. Pillow's other readers are left out: some start programs (EPS), most are rarely read."""

BACKGROUND = 128
"""What lies behind a transparent picture: middle grey, so that neither white nor black hair vanishes into it."""

_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SRGB = ImageCms.createProfile("sRGB")

# What Pillow's readers raise on broken files, as their own tests and fuzzers found; DecompressionBombError is no OSError.
_BROKEN = (
    OSError, SyntaxError, ValueError, EOFError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RuntimeError,
    struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip

# Pillow warns of damaged EXIF, palettes and sizes. Python's warning filters are one for the process, so one decode at a time
# changes them; a 12 megapixel JPEG was measured at 0.45 s.
_quiet = threading.Lock()


@dataclass(frozen=True)
class PictureLimits:
    """Most pixels of the picture and most bytes of the file."""

    max_pixels: int = 40_000_000
    max_bytes: int = 25_000_000


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

    Raises RequestError (field "portrait"): image_undecodable, image_too_large (pixels), too_large (bytes).
    """
    limits = limits or PictureLimits()
    if not is_regular_file(path):
        raise _error("image_undecodable", "There is no such picture file.")
    if (size := path.stat().st_size) > limits.max_bytes:
        raise _error("too_large", f"The picture has {size} bytes; at most {limits.max_bytes} are allowed.")
    with _quiet, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(path, formats=FORMATS) as image:
                return _decode(image, limits)
        except Image.DecompressionBombError:
            raise _too_large("The picture's header", limits) from None
        except _BROKEN as error:
            raise _error("image_undecodable", _in_words(error)) from None


def _decode(image: Image.Image, limits: PictureLimits) -> DecodedPicture:
    """Checks the size on the header, before any pixel is decoded, then decodes."""
    if image.width * image.height > limits.max_pixels:
        raise _too_large(f"The picture of {image.width} x {image.height} px", limits)
    format, mode, tagged = image.format or "", image.mode, _orientation(image)
    image.load()
    # Pillow turns TIFF itself while it loads, and finds the EXIF of some PNG only then: what is tagged now is still to be done.
    orientation = _orientation(image)
    had_alpha = image.has_transparency_data
    profile, name = _profile(image.info.get("icc_profile"))
    picture = _to_rgb(image, profile)
    if orientation in _UPRIGHT:
        picture = picture.transpose(_UPRIGHT[orientation])
    return DecodedPicture(np.array(picture), format, mode, max(tagged, orientation), had_alpha, name)


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except _BROKEN:
        return 1
    return value if value in _UPRIGHT else 1


def _profile(icc: bytes | None) -> tuple[ImageCms.ImageCmsProfile | None, str]:
    """The profile to convert from and its name; no profile where it is sRGB already or cannot be read."""
    if not icc:
        return None, ""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        name = ImageCms.getProfileDescription(profile).strip()
    except (ImageCms.PyCMSError, *_BROKEN):
        return None, "unreadable"
    return (None if "sRGB" in name else profile), name


def _to_rgb(image: Image.Image, profile: ImageCms.ImageCmsProfile | None) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_eight_bits(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        picture = image.convert("RGBA")
        ground = Image.new("RGBA", picture.size, (BACKGROUND, BACKGROUND, BACKGROUND, 255))
        image = Image.alpha_composite(ground, picture).convert("RGB")
    elif image.mode not in ("RGB", "CMYK"):
        image = image.convert("RGB")
    if profile is not None:
        try:
            converted = ImageCms.profileToProfile(image, profile, _SRGB, outputMode="RGB")
            return converted if converted is not None else image.convert("RGB")
        except ImageCms.PyCMSError:  # a profile for other pixels than these: colours a little off beat no picture
            return image.convert("RGB")
    return image.convert("RGB")


def _eight_bits(values: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    """Wide grey values scaled to 0..255, never clipped.

    Pillow gives 16-bit files as uint16 or int32 and does not say what white is: the smallest of 1 (floats), 255, 2^16 - 1 and
    2^32 - 1 that covers the values is taken for it. uint16 is always taken for 16 bits.
    """
    wide = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    top = float(wide.max(initial=0.0))
    whites = (65535.0,) if values.dtype.itemsize == 2 else (1.0, 255.0, 65535.0, 2.0**32 - 1.0)
    white = next((white for white in whites if top <= white), max(top, 1.0))
    return np.round(np.clip(wide / white, 0.0, 1.0) * 255.0).astype(np.uint8)


def _in_words(error: Exception) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        return f"This is no picture of a known format ({', '.join(FORMATS)})."
    if isinstance(error, OSError) and error.filename is None and str(error):
        return f"The picture is damaged: {error}."
    return "The picture is damaged."


def _too_large(what: str, limits: PictureLimits) -> RequestError:
    return _error("image_too_large", f"{what} is too large; at most {limits.max_pixels} pixels are allowed.")


def _error(type: str, message: str) -> RequestError:
    return RequestError(type, message, field="portrait")
