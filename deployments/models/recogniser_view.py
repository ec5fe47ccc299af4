"""What a classifier sees of a picture: the square from its middle, and how much of the picture that leaves out."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from deployments.models.recogniser_protocol import Frame, Pixels

DROPPED_SHARE = 0.5
"""Share of the picture outside the square above which the answer warns. A square picture loses 23 %, 4:3 43 %, 3:2 49 %,
16:9 57 %."""

BLANK_RANGE = 2
"""Levels (of 255) between the darkest and the brightest pixel, in every channel, up to which a picture shows nothing: a JPEG of one
colour has up to 2."""


@dataclass(frozen=True)
class View:
    """The network's input and the facts of it."""

    pixels: Pixels
    """(side, side, 3) RGB."""
    dropped_share: float
    """Share of the picture's area outside the square, 0 to 1."""
    scale: float
    """Pixels of the input for one pixel of the picture."""
    blank: bool
    """True where the input is one colour."""
    brightness: float
    """Mean of the input, 0 (black) to 1 (white)."""


def view(picture: Pixels, frame: Frame) -> View:
    """The view of a picture (h, w, 3)."""
    height, width = picture.shape[:2]
    side = max(1, round(min(height, width) * frame.share))
    top, left = (height - side) // 2, (width - side) // 2
    square = picture[top : top + side, left : left + side]
    scale = frame.side / side
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    pixels = np.ascontiguousarray(cv2.resize(square, (frame.side, frame.side), interpolation=way), np.uint8)
    flat = pixels.reshape(-1, 3)
    blank = bool((flat.max(axis=0).astype(int) - flat.min(axis=0)).max() <= BLANK_RANGE)
    return View(pixels, 1.0 - side * side / (height * width), scale, blank, float(pixels.mean()) / 255.0)
