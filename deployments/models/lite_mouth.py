"""Where the lips part, and what is seen between them.

Lines are found in the picture itself (the mesh is off by a pixel or two, and a slip of the wrong lip is seen at once); the inside
of the mouth is painted from the face's own colours, so that a painting or a grey photograph keeps its palette.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from deployments.models.facemesh import LIPS_LOWER_INNER, LIPS_OUTER, LIPS_UPPER_INNER, Mesh, Pixels
from deployments.models.lite_face import MouthFrame

Array = npt.NDArray[np.float64]
Curve = Callable[[Array], Array]

OPEN_GAP = 0.05
"""Gap of the inner contours, in outer eye distances, above which the portrait shows its own mouth inside (teeth of a smile).
Measured on eleven portraits: lips shut or barely parted 0.004 to 0.039, smiles with teeth 0.114 to 0.195."""
CHEEKS = (50, 280, 205, 425)
TOOTH_EDGES = (0.0, 0.085, 0.152, 0.220, 0.275, 0.320)
"""Borders of the upper teeth from the middle, in outer eye distances (90 mm): incisors 8.5 and 6.5 mm wide, canine, premolars
foreshortened by the arch."""


@dataclass(frozen=True)
class Seam:
    """The line along which the lips part, in the mouth's own px."""

    curve: Curve
    gap: float
    """Opening of the portrait's own mouth, in outer eye distances; 0 where it counts as shut."""


def find_seam(pixels: Pixels, mesh: Mesh, mouth: MouthFrame, unit: float) -> Seam:
    """The lip line of a portrait: the darkest line between shut lips, or the lower edge of the teeth in an open smile."""
    xy = mesh[:, :2].astype(np.float64)
    a, upper = mouth.split(xy[list(LIPS_UPPER_INNER)])
    b, lower = mouth.split(xy[list(LIPS_LOWER_INNER)])
    gap = float(np.max(lower - np.interp(b, a, upper))) / unit
    is_open = gap > OPEN_GAP
    start = np.interp(b, a, upper)
    line = lower if is_open else (start + lower) / 2
    columns = np.arange(np.floor(b[0]), np.ceil(b[-1]) + 1)
    guess = smooth_curve(b, line)(columns)
    reach = max(2, round(0.028 * unit))
    offsets = np.arange(-reach, reach + 1)
    grey = cv2.GaussianBlur(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), (0, 0), 0.8).astype(np.float32)
    normal = np.array([-mouth.along[1], mouth.along[0]])
    at = mouth.centre + columns[:, None, None] * mouth.along + (guess[:, None] + offsets)[..., None] * normal
    band = sample(grey, at)
    cost = np.gradient(band, axis=1) if is_open else band
    cost = cost / max(4.0, float(np.percentile(cost, 95) - np.percentile(cost, 5)))
    # In a smile the lower lip's own highlight is a strong edge too: there the mesh is trusted more.
    moved = _cheapest_path(cost + (1.5 if is_open else 0.5) * (offsets / reach) ** 2)
    ends = np.clip(np.minimum(columns - columns[0], columns[-1] - columns) / (0.12 * len(columns)), 0, 1)
    line = gaussian_filter1d(guess + offsets[moved] * ends, max(1.0, 0.015 * unit), mode="nearest")
    return Seam(smooth_curve(columns, line), gap if is_open else 0.0)


def sample(image: npt.NDArray[np.uint8] | npt.NDArray[np.float32], at: Array) -> Array:
    """Values of `image` at positions (..., 2) px, between pixels by bilinear weights; the edge repeats outside."""
    x, y = at[..., 0].astype(np.float32), at[..., 1].astype(np.float32)
    return cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(np.float64)


def smooth_curve(x: Array, y: Array) -> Curve:
    """A smooth line through the points, level beyond its ends; equal x are merged, in any order."""
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    keep = np.concatenate([[True], np.diff(x) > 1e-3])
    inside = PchipInterpolator(x[keep], y[keep])
    low, high = float(x[0]), float(x[-1])
    return lambda at: inside(np.clip(at, low, high))


def _cheapest_path(cost: Array) -> npt.NDArray[np.int64]:
    """Row of the cheapest left-to-right path through (columns, rows), moving at most one row a column."""
    total = cost.copy()
    for i in range(1, len(cost)):
        before = np.pad(total[i - 1], 1, constant_values=np.inf)
        total[i] += np.minimum(np.minimum(before[:-2], before[2:]) + 0.15, before[1:-1])
    path = np.empty(len(cost), np.int64)
    path[-1] = int(np.argmin(total[-1]))
    for i in range(len(cost) - 2, -1, -1):
        low = max(0, path[i + 1] - 1)
        path[i] = low + int(np.argmin(total[i, low : path[i + 1] + 2]))
    return path


@dataclass(frozen=True)
class Inside:
    """What is behind the lips, at the renderer's oversampling: `floor` moves with the jaw, `teeth` (RGBA) with the skull."""

    floor: Pixels
    teeth: Pixels


def paint_inside(pixels: Pixels, mesh: Mesh, mouth: MouthFrame, seam: Seam, unit: float, grid: Array) -> Inside:
    """Paints cavity, tongue and teeth on `grid` (rows, columns, 2: picture positions, px). No teeth where the portrait shows its
    own."""
    along, below = mouth.split(grid)
    # Teeth and tongue do not follow each bend of the lips: their line is the parabola nearest to the seam.
    across = np.linspace(-mouth.right, mouth.left, 41)
    line = np.polynomial.Polynomial.fit(across, seam.curve(across), 2)
    s, x, t = mouth.s(along), along / unit, (below - line(along)) / unit
    lips, skin = _colour(pixels, mesh, LIPS_OUTER), _colour(pixels, mesh, CHEEKS)
    fine = unit * float(grid.shape[1] - 1) / max(1e-6, float(np.abs(grid[0, -1] - grid[0, 0]).max()))  # texture px of one unit
    return Inside(_floor(s, t, lips, skin, fine, own_teeth=seam.gap > 0), _teeth(s, x, t, skin, fine, shown=seam.gap == 0))


def _floor(s: Array, t: Array, lips: Array, skin: Array, fine: float, own_teeth: bool) -> Pixels:
    flesh = 0.6 * lips + 0.25 * skin
    colour = np.broadcast_to(flesh * 0.17, (*s.shape, 3)).copy()
    dome = -0.125 * np.clip(1 - (s / 0.80) ** 2, 0, 1) + 0.02  # the tongue's back, seen over the lower lip
    depth = np.clip((t - dome) / 0.085, 0, 1)
    light = np.clip(1 - (s / 0.9) ** 2, 0, 1)
    tongue = flesh * np.array([0.86, 0.66, 0.66]) * (0.35 + 0.65 * light)[..., None]
    # A grey picture must stay grey: the tongue's tint is taken back as far as the lips have no colour.
    tint = min(1.0, float(np.ptp(lips)) / 30)
    tongue = tint * tongue + (1 - tint) * tongue.mean(-1, keepdims=True)
    colour += (tongue - colour) * (0.75 * depth * depth * (3 - 2 * depth))[..., None]
    if not own_teeth:
        edge = -0.026 * np.clip(1 - (s / 0.66) ** 2, 0, 1) ** 0.5
        row = np.clip((t - edge) / 0.006 + 0.5, 0, 1) * np.clip((0.62 - np.abs(s)) / 0.25, 0, 1)
        colour += (_ivory(skin) * 0.62 - colour) * (0.85 * row)[..., None]
    return _eight_bit(gaussian_filter(colour, (0.006 * fine, 0.006 * fine, 0)))


def _teeth(s: Array, x: Array, t: Array, skin: Array, fine: float, shown: bool) -> Pixels:
    edges = np.array(TOOTH_EDGES)
    which = np.clip(np.searchsorted(edges, np.abs(x), side="right") - 1, 0, len(edges) - 2)
    left, right = edges[which], edges[which + 1]
    u = (np.abs(x) - left) / (right - left) * 2 - 1  # -1 to 1 across one tooth
    length = np.array([0.050, 0.043, 0.047, 0.038, 0.032])[which]
    bottom = length - 0.007 * np.abs(u) ** 3 - 0.012 * np.clip(s, -1, 1) ** 2
    shape = np.clip((bottom - t) / 0.006 + 0.5, 0, 1)
    corridor = np.clip(1 - np.abs(s / 0.92) ** 2.6, 0, 1)  # the cheeks' shadow at both ends of the row
    lip_shadow = 0.50 + 0.50 * np.clip((t + 0.012) / 0.045, 0, 1)
    gaps = 1 - 0.30 * np.exp(-(((1 - np.abs(u)) / 0.10) ** 2)) * np.clip((t + 0.01) / 0.04, 0.25, 1)
    shade = corridor**0.8 * lip_shadow * gaps * (1 - 0.10 * u**2)
    rgb = _ivory(skin) * shade[..., None]
    alpha = 255 * shape * (corridor > 0) * float(shown)
    both = np.concatenate([rgb, alpha[..., None]], -1)
    return _eight_bit(gaussian_filter(both, (0.0045 * fine, 0.0045 * fine, 0)))


def _ivory(skin: Array) -> Array:
    """Teeth under this portrait's light: as bright as lit skin (brighter where skin is dark), with half of its tint."""
    grey = float(skin @ (0.299, 0.587, 0.114))
    return np.clip((0.62 * grey + 72) * (0.5 + 0.5 * skin / max(grey, 1.0)), 0, 235)


def _colour(pixels: Pixels, mesh: Mesh, vertices: tuple[int, ...]) -> Array:
    """Median colour of small patches at the vertices."""
    height, width = pixels.shape[:2]
    x = np.clip(mesh[list(vertices), 0].round().astype(int), 1, width - 2)
    y = np.clip(mesh[list(vertices), 1].round().astype(int), 1, height - 2)
    near = [pixels[y + dy, x + dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    return np.median(np.concatenate(near).astype(np.float64), axis=0)


def _eight_bit(colour: Array) -> Pixels:
    return np.clip(colour + 0.5, 0, 255).astype(np.uint8)
