"""The shut eye: skin painted over the opening, a line of lashes, and when a closing lid reaches each pixel.

Pulling the skin above the eye down over it was tried first: where the brow is near, brow and glasses came along. So the lid is
painted from the skin around the eye, and a blink uncovers the painted picture from top to bottom.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from deployments.models.facemesh import Mesh, Pixels
from deployments.models.lite_mouth import sample, smooth_curve

Array = npt.NDArray[np.float64]

EYES = (
    ((33, 246, 161, 160, 159, 158, 157, 173, 133), (33, 7, 163, 144, 145, 153, 154, 155, 133)),
    ((362, 398, 384, 385, 386, 387, 388, 466, 263), (362, 382, 381, 380, 374, 373, 390, 249, 263)),
)
"""Upper and lower lid of the right and the left eye, from image left to image right."""


@dataclass(frozen=True)
class Lid:
    """One eye, ready to blink."""

    box: tuple[int, int, int, int]
    """Left, top, right, bottom of the pixels that a blink can change."""
    shut: Pixels
    """(rows, columns, 3) of the box with the eye shut, without its lashes."""
    reached: npt.NDArray[np.float32]
    """(rows, columns): the blink coefficient at which the lid's edge reaches a pixel; below 0 on the lid, above 1 past the lower
    lid."""
    way: float
    """px that the lid's edge goes."""
    lashes: tuple[float, float, float]
    """Colour of the line along the edge."""


def find_lids(pixels: Pixels, mesh: Mesh, unit: float) -> list[Lid]:
    """The eyes that lie inside the picture and are open in it; `unit` is the distance of the outer eye corners, px."""
    return [lid for upper, lower in EYES if (lid := _lid(pixels, mesh, upper, lower, unit)) is not None]


def _lid(pixels: Pixels, mesh: Mesh, upper: tuple[int, ...], lower: tuple[int, ...], unit: float) -> Lid | None:
    xy = mesh[:, :2].astype(np.float64)
    start, end = xy[upper[0]], xy[upper[-1]]
    length = float(np.linalg.norm(end - start))
    along = (end - start) / max(length, 1e-6)
    normal = np.array([-along[1], along[0]])
    up, low = (smooth_curve((xy[list(row)] - start) @ along, (xy[list(row)] - start) @ normal) for row in (upper, lower))
    across = np.linspace(0, length, 33)
    way = float((low(across) - up(across)).max())
    if length < 0.12 * unit or way < 0.02 * unit:
        return None  # seen from the side, or shut already
    corners = start + np.array([[-0.25], [1.25]]) * length * along
    reach = np.concatenate(
        [corners + (up(across).min() - 0.3 * length) * normal, corners + (low(across).max() + 0.3 * length) * normal]
    )
    left, top = np.maximum(np.floor(reach.min(0)), 0).astype(int).tolist()
    right, bottom = np.minimum(np.ceil(reach.max(0)), pixels.shape[1::-1]).astype(int).tolist()
    if right - left < 8 or bottom - top < 8:
        return None
    y, x = np.mgrid[top:bottom, left:right].astype(np.float64)
    delta = np.stack([x, y], -1) - start
    a, b = delta @ along, delta @ normal
    gap = np.maximum(low(a) - up(a), 0.15 * way)
    inside = (a > -0.02 * length) & (a < 1.02 * length)
    reached = np.where(inside, (b - up(a)) / gap, 9.0)
    crop = np.ascontiguousarray(pixels[top:bottom, left:right])
    rim = 0.022 * unit  # lashes and make-up stand about so far around the opening
    hole = inside & (b > up(a) - 1.5 * rim) & (b < low(a) + 0.6 * rim)
    corner = start - (left, top)
    rows = [corner + a[..., None] * along + line[..., None] * normal for line in (up(a) - 2.8 * rim, low(a) + 2.8 * rim)]
    share = np.clip((b - up(a) + 2.8 * rim) / np.maximum(low(a) - up(a) + 5.6 * rim, 1e-6), 0, 1)
    shut = _shut(crop, hole, rows, share, unit)
    return Lid((left, top, right, bottom), shut, reached.astype(np.float32), way, _lashes(crop, hole))


def _shut(crop: Pixels, hole: npt.NDArray[np.bool_], rows: list[Array], share: Array, unit: float) -> Pixels:
    """Skin over the opening, from the colours of a row above it to those of a row below; darker near the edge, where it turns down.

    Inpainting (Telea) was tried first: it drew the dark rim of lashes into the lid.
    """
    soft = cv2.GaussianBlur(crop, (0, 0), max(0.5, 0.014 * unit)).astype(np.uint8)
    above, below = (sample(soft, row) for row in rows)
    mix = share[..., None]
    skin = (above * (1 - mix) + below * mix) * (1 - 0.16 * mix**2)
    feather = gaussian_filter(hole.astype(np.float64), 0.008 * unit)[..., None]
    return np.clip(crop + (skin - crop) * feather + 0.5, 0, 255).astype(np.uint8)


def _lashes(crop: Pixels, hole: npt.NDArray[np.bool_]) -> tuple[float, float, float]:
    """The darkest tenth of the eye: lashes, pupil."""
    colours = crop[hole].astype(np.float64)
    grey = colours @ (0.299, 0.587, 0.114)
    red, green, blue = colours[grey <= np.percentile(grey, 10)].mean(0).tolist()
    return red, green, blue
