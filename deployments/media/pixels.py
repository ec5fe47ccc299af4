"""Decodes a picture with Pillow: the part that runs in a bounded child (`keeper`), where nothing more can be opened.

All of Pillow's plug-ins are therefore loaded here: `Image.open` would do it at the first file that it does not know.
"""

from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from telemetry.errors import RequestError

Image.init()

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
"""Formats that we open, found by content. Pillow's other readers are left out: some start programs (EPS), most are rarely read."""

MAX_SIDE = 32_766
"""Longest side: OpenCV, which finds the face, counts the pixels of a row or column in 16 bits."""

_WORDS = 200
"""Characters of what a file makes Pillow say, at most: the answer must fit into one message."""

_STRIP = 16
"""Rows that are written at a time."""

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


def run(arguments: dict[str, Any], files: list[int]) -> dict[str, Any]:
    """Decodes the open file `files[0]` and writes its pixels, (height, width, 3) RGB bytes, to `files[1]`.

    Returns width, height and the facts of `DecodedPicture`. Raises RequestError: image_undecodable, image_too_large; MemoryError.
    """
    max_pixels = int(arguments["max_pixels"])
    # Pillow warns of damaged EXIF, palettes and sizes: what matters of it is an error below.
    warnings.simplefilter("ignore")
    try:
        with os.fdopen(files[0], "rb") as file, Image.open(file, formats=FORMATS) as image:
            picture, facts = _decode(image, max_pixels, int(arguments["background"]))
    except Image.DecompressionBombError:
        raise _too_large("The picture's header", max_pixels) from None
    except _BROKEN as error:
        raise RequestError("image_undecodable", _in_words(error)) from None
    with os.fdopen(files[1], "wb", buffering=0) as out:
        # By strips: one large copy is memory that the system must hand out first (4 ms for 1024 x 1024).
        for top in range(0, picture.height, _STRIP):
            out.write(picture.crop((0, top, picture.width, min(top + _STRIP, picture.height))).tobytes())
    return facts | {"width": picture.width, "height": picture.height}


def _decode(image: Image.Image, max_pixels: int, background: int) -> tuple[Image.Image, dict[str, Any]]:
    """Checks the size on the header, before any pixel is decoded, then decodes: upright RGB and the facts of the file."""
    if image.width * image.height > max_pixels:
        raise _too_large(f"The picture of {image.width} x {image.height} px", max_pixels)
    if max(image.size) > MAX_SIDE:
        message = f"The picture of {image.width} x {image.height} px is too long; a side may have at most {MAX_SIDE} px."
        raise RequestError("image_too_large", message)
    format, mode, tagged = image.format or "", image.mode, _orientation(image)
    image.load()
    # Pillow turns TIFF itself while it loads, and finds the EXIF of some PNG only then: what is tagged now is still to be done.
    orientation = _orientation(image)
    had_alpha = image.has_transparency_data
    profile, name = _profile(image.info.get("icc_profile"))
    picture = _to_rgb(image, profile, background)
    if orientation in _UPRIGHT:
        picture = picture.transpose(_UPRIGHT[orientation])
    facts = {"format": format, "mode": mode, "orientation": max(tagged, orientation), "had_alpha": had_alpha, "icc": name}
    return picture, facts


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
        name = ImageCms.getProfileDescription(profile).strip()[:_WORDS]
    except (ImageCms.PyCMSError, *_BROKEN):
        return None, "unreadable"
    return (None if "sRGB" in name else profile), name


def _to_rgb(image: Image.Image, profile: ImageCms.ImageCmsProfile | None, background: int) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_eight_bits(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        picture = image.convert("RGBA")
        ground = Image.new("RGBA", picture.size, (background, background, background, 255))
        image = Image.alpha_composite(ground, picture).convert("RGB")
    elif image.mode not in ("RGB", "CMYK"):
        image = image.convert("RGB")
    if profile is not None:
        try:
            converted = ImageCms.profileToProfile(image, profile, _SRGB, outputMode="RGB")
            return converted if converted is not None else image.convert("RGB")
        except ImageCms.PyCMSError:  # a profile for other pixels than these: colours a little off beat no picture
            return image.convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


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
        return f"The picture is damaged: {str(error)[:_WORDS]}."
    return "The picture is damaged."


def _too_large(what: str, max_pixels: int) -> RequestError:
    return RequestError("image_too_large", f"{what} is too large; at most {max_pixels} pixels are allowed.")
