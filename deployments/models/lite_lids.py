"""The eye as it shuts: for each step of a blink, where the eye's pixels take their colour from.

The upper lid comes down with its own row of lashes; the strip of skin between it and the brow is drawn out behind it, most of all
next to the lashes, where a shut eye unfolds. The lower lid rises a little. Painting a lid from colours of the skin was tried
first: the lashes stayed up and the lid looked like a coin on the eye.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from deployments.models.facemesh import Mesh, Pixels
from deployments.models.lite_lines import Array, Curve, smooth_curve

EYES = (
    ((33, 246, 161, 160, 159, 158, 157, 173, 133), (33, 7, 163, 144, 145, 153, 154, 155, 133), (46, 53, 52, 65, 55)),
    ((362, 398, 384, 385, 386, 387, 388, 466, 263), (362, 382, 381, 380, 374, 373, 390, 249, 263), (285, 295, 282, 283, 276)),
)
"""Upper lid, lower lid and lower edge of the brow of the right and the left eye, from image left to image right."""
LEVELS = 12
"""Steps of a blink: a lid goes about 15 px at 512 px, so one step is about a pixel."""
MEET = 0.97
"""Where the lids meet, as a share of the opening: the lower lid does a little of the way."""
STRIP = 0.17
"""Height of the skin that is drawn out above the eye, in outer eye distances, and at most three quarters of the way to the brow."""
LASHES = (0.010, 0.006)
"""Rows above and below the lid's line that move with it as they are, in outer eye distances."""
CLEAR = 0.05
"""Rows around the opening where lashes stand, which are not drawn out."""
MARGIN = 0.10
"""Way that head motion can take an eye, in outer eye distances: 3 degrees of yaw, pitch and roll and the shifts together."""


@dataclass(frozen=True)
class Lid:
    """One eye, ready to blink."""

    box: tuple[int, int, int, int]
    """Left, top, right, bottom of the pixels that a blink can change, wherever the head has gone."""
    source: tuple[int, int, int, int]
    """The same with a margin, of which there are colours."""
    shut: npt.NDArray[np.uint8]
    """(LEVELS, rows, columns, 3): the eye's source box at blink 1 / LEVELS to 1, oversampled."""


@dataclass(frozen=True)
class _Eye:
    """An eye's own coordinates, px: a along its axis from corner to corner, b below it."""

    start: Array
    along: Array
    down: Array
    length: float
    upper: Curve
    lower: Curve
    strip: float


def find_lids(pixels: Pixels, mesh: Mesh, unit: float, times: int) -> list[Lid]:
    """The eyes that lie inside the picture and are open in it; `unit` is the distance of the outer eye corners, px, `times` the
    oversampling of `shut`."""
    eyes = (_eye(mesh, *rows, unit) for rows in EYES)
    lids = (_lid(pixels, eye, unit, times) for eye in eyes if eye is not None)
    return [lid for lid in lids if lid is not None]


def _eye(mesh: Mesh, upper: tuple[int, ...], lower: tuple[int, ...], brow: tuple[int, ...], unit: float) -> _Eye | None:
    xy = mesh[:, :2].astype(np.float64)
    start, end = xy[upper[0]], xy[upper[-1]]
    length = float(np.linalg.norm(end - start))
    along = (end - start) / max(length, 1e-6)
    down = np.array([-along[1], along[0]])
    up, low = (smooth_curve((xy[list(row)] - start) @ along, (xy[list(row)] - start) @ down) for row in (upper, lower))
    across = np.linspace(0, length, 33)
    if length < 0.12 * unit or float((low(across) - up(across)).max()) < 0.02 * unit:
        return None  # seen from the side, or shut already
    over = xy[list(brow)] - start
    room = float(np.median(up(over @ along) - over @ down))
    return _Eye(start, along, down, length, up, low, max(0.08 * unit, min(STRIP * unit, 0.75 * room)))


def _lid(pixels: Pixels, eye: _Eye, unit: float, times: int) -> Lid | None:
    across = np.linspace(0, eye.length, 33)
    high, low = eye.upper(across).min() - eye.strip, eye.lower(across).max() + 0.12 * unit
    corners = [eye.start + a * eye.along + b * eye.down for a in (0.0, eye.length) for b in (high, low)]
    reach = np.stack(corners)
    box = _inside(reach.min(0) - MARGIN * unit, reach.max(0) + MARGIN * unit, pixels)
    source = _inside(reach.min(0) - 2 * MARGIN * unit, reach.max(0) + 2 * MARGIN * unit, pixels)
    if box[2] - box[0] < 8 or box[3] - box[1] < 8:
        return None
    left, top, right, bottom = source
    # The rest works on the source's crop: its pixel 0 is the crop's corner.
    crop = np.ascontiguousarray(pixels[top:bottom, left:right])
    here = replace(eye, start=eye.start - (left, top))
    own = np.stack(np.meshgrid(np.arange(right - left), np.arange(bottom - top)), -1).astype(np.float64)
    soft, dark = _skin_alone(crop, here, own, unit)
    # Drawn at half the oversampling and enlarged: all of it took 70 % of the time of preparing a portrait.
    fine = max(1, times // 2)
    x, y = (np.arange(n * fine) / fine for n in (right - left, bottom - top))
    at = np.stack(np.meshgrid(x, y), -1)
    shrink = np.array([[fine / times, 0, 0], [0, fine / times, 0]])
    size = ((right - left) * times, (bottom - top) * times)
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    levels = [
        cv2.warpAffine(
            _level(crop, soft, dark, here, at, k / LEVELS, unit), shrink, size, flags=flags, borderMode=cv2.BORDER_REPLICATE
        ).astype(np.uint8)
        for k in range(1, LEVELS + 1)
    ]
    return Lid(box, source, np.stack(levels))


def _inside(low: Array, high: Array, pixels: Pixels) -> tuple[int, int, int, int]:
    left, top = np.maximum(np.floor(low), 0).astype(int).tolist()
    right, bottom = np.minimum(np.ceil(high), pixels.shape[1::-1]).astype(int).tolist()
    return left, top, right, bottom


def _level(pixels: Pixels, soft: Pixels, dark: tuple[float, ...], eye: _Eye, at: Array, shut: float, unit: float) -> Pixels:
    """The picture at positions `at` (rows, columns, 2) with the eye shut to the share `shut`."""
    delta = at - eye.start
    a, b = delta @ eye.along, delta @ eye.down
    up, low = eye.upper(a), eye.lower(a)
    gap = np.where((a > 0) & (a < eye.length), np.maximum(low - up, 0), 0.0)
    way = MEET * gap * shut
    above, below = (share * unit for share in LASHES)
    # Skin: from `high`, which stays, to the lashes, which go down by `way`. Where it is drawn out it comes from a softened picture
    # without eye and lashes: single hairs became stripes, and their shadow made the lid dark.
    high, reach = up - eye.strip, eye.strip - above
    u = np.clip((b - high) / (reach + way), 0, 1)
    skin = _remap(pixels, eye, a, high + reach * u)
    share = np.minimum(1, way / (0.07 * unit)) * np.clip(3.5 * u - 0.5, 0, 1)
    skin += (_remap(soft, eye, a, high + reach * u) * (1 - 0.10 * u**4)[..., None] - skin) * share[..., None]
    edge = up + way
    lashes = _remap(pixels, eye, a, b - way)
    skin += (lashes - skin) * np.clip((b - edge + above) / above + 0.5, 0, 1)[..., None]
    skin = np.where((b < high)[..., None], _remap(pixels, eye, a, b), skin)
    rising = (1 - MEET) * gap * shut
    lower_lid = b + (rising + 0.012 * unit * shut) * np.exp(-((np.maximum(b - low, 0) / (0.07 * unit)) ** 2))
    eyeball = _remap(pixels, eye, a, np.where((b > low - rising) & (gap > 0), np.maximum(lower_lid, low), b))
    under = np.maximum(b - edge - below, 0) / unit
    eyeball *= 1 - 0.35 * (np.minimum(1, way / (0.05 * unit)) * np.exp(-((under / 0.03) ** 2)))[..., None]
    lid = np.clip(0.5 - (b - edge - below) * 75 / unit, 0, 1)[..., None] * (gap > 0)[..., None]
    out = eyeball + (skin - eyeball) * lid
    line = 0.75 * shut * np.minimum(1, gap / (0.04 * unit)) * np.exp(-(((b - edge - below) / (0.011 * unit)) ** 2))
    out += (np.array(dark) - out) * line[..., None]
    return np.clip(out + 0.5, 0, 255).astype(np.uint8)


def _skin_alone(pixels: Pixels, eye: _Eye, at: Array, unit: float) -> tuple[Pixels, tuple[float, ...]]:
    """The picture, softened, without the opening and its lashes; and the darkest tenth of the opening: lashes, pupil.

    `at` are the positions of the picture's own pixels.
    """
    delta = at - eye.start
    a, b = delta @ eye.along, delta @ eye.down
    near = (a > -0.1 * eye.length) & (a < 1.1 * eye.length)
    hole = near & (b > eye.upper(a) - CLEAR * unit) & (b < eye.lower(a) + CLEAR * unit)
    weight = (~hole).astype(np.float32)
    sigma = max(0.8, 0.035 * unit)
    blurred = cv2.GaussianBlur(pixels.astype(np.float32) * weight[..., None], (0, 0), sigma)
    share = cv2.GaussianBlur(weight, (0, 0), sigma)[..., None]
    soft = np.clip(blurred / np.maximum(share, 1e-4) + 0.5, 0, 255).astype(np.uint8)
    opening = pixels[hole & (b > eye.upper(a)) & (b < eye.lower(a))].astype(np.float64)
    grey = opening @ (0.299, 0.587, 0.114)
    return soft, tuple(opening[grey <= np.percentile(grey, 10)].mean(0).tolist())


def _remap(pixels: Pixels, eye: _Eye, a: Array, b: Array) -> Array:
    at = (eye.start + a[..., None] * eye.along + b[..., None] * eye.down).astype(np.float32)
    picked = cv2.remap(pixels, at[..., 0], at[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return picked.astype(np.float64)
