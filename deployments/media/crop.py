"""The crop around a face that a talking-head model is given."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

HAIR_SHARE = 0.25
"""How far the head goes on above the mesh, as a share of the mesh's height. The topmost of the 468 points lies on the forehead at
about the hairline; on an adult's head the crown and its hair add a fifth to a quarter of the face's height (proportions of
drawing, not measured)."""

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class CroppedPortrait:
    """A crop and where it came from."""

    pixels: Pixels
    """(h, w, 3) RGB, both sides even, the shorter is min_resolution."""
    mesh: npt.NDArray[np.float32]
    """(468, 3) the landmarks in px of `pixels`."""
    x: int
    """Left edge of the crop in the picture, px."""
    y: int
    """Upper edge of the crop in the picture, px."""
    roi_width: int
    """Width of the crop in the picture, px."""
    roi_height: int
    """Height of the crop in the picture, px."""
    scale: float
    """Pixels of the crop for one pixel of the picture."""


def crop_portrait(pixels: Pixels, mesh: npt.NDArray[np.floating], *, expand_ratio: float, min_resolution: int) -> CroppedPortrait:
    """The head in `pixels` ((h, w, 3) RGB) with its margin, resized so that the shorter side is `min_resolution` (even).

    `mesh` is (468, 3) in px of `pixels`, where pixel i reaches from i to i + 1; it moves along, its depth by the same scale.
    `expand_ratio` is the margin on each side as a share of the head's box, which is then made square by widening its shorter
    side, as Sonic's own cropping does. The box is moved into the picture where it fits and cut off where it does not: only then
    the result is not square.
    """
    height, width = pixels.shape[:2]
    left, top, right, bottom = _head_box(mesh, expand_ratio)
    x, roi_width = _fit(left, right, width)
    y, roi_height = _fit(top, bottom, height)
    scale = min_resolution / min(roi_width, roi_height)
    size = (_even(roi_width * scale), _even(roi_height * scale))
    crop = pixels[y : y + roi_height, x : x + roi_width]
    resized = cv2.resize(crop, size, interpolation=cv2.INTER_AREA if scale < 1.0 else cv2.INTER_CUBIC)
    stretch = np.array([size[0] / roi_width, size[1] / roi_height, scale])
    moved = (np.asarray(mesh, np.float64) - (x, y, 0.0)) * stretch
    return CroppedPortrait(np.ascontiguousarray(resized, np.uint8), moved.astype(np.float32), x, y, roi_width, roi_height, scale)


def outside_share(mesh: npt.NDArray[np.floating], shape: tuple[int, ...]) -> float:
    """Share (0 to 1) of the landmarks `mesh` ((468, 3) px) that lie outside a picture of this shape (height, width, ...)."""
    x, y = mesh[:, 0], mesh[:, 1]
    return float(np.mean((x < 0) | (y < 0) | (x > shape[1]) | (y > shape[0])))


def _head_box(mesh: npt.NDArray[np.floating], expand_ratio: float) -> tuple[float, float, float, float]:
    """The square around the head with its margin: left, top, right, bottom in px, still outside the picture perhaps."""
    left, top = (float(value) for value in mesh[:, :2].min(axis=0))
    right, bottom = (float(value) for value in mesh[:, :2].max(axis=0))
    top -= HAIR_SHARE * (bottom - top)
    side = max(right - left, bottom - top) * (1.0 + 2.0 * expand_ratio)
    middle_x, middle_y = (left + right) / 2.0, (top + bottom) / 2.0
    return middle_x - side / 2.0, middle_y - side / 2.0, middle_x + side / 2.0, middle_y + side / 2.0


def _fit(low: float, high: float, limit: int) -> tuple[int, int]:
    """Start and length in whole px of the interval, moved into 0..limit, or all of it where the interval is longer."""
    length = min(max(2, math.ceil(high - low)), limit)
    return min(max(0, round((low + high - length) / 2.0)), limit - length), length


def _even(value: float) -> int:
    return max(2, 2 * round(value / 2.0))
