"""The mouth's own coordinates, and the lines at which the lips end, found in the picture.

The mesh is off by a pixel or two at the lips, in a smile by more, and a slip of the wrong lip or of a tooth on a moving lip is seen
at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter1d

from deployments.models.facemesh import EYE_LEFT, EYE_RIGHT, LIPS_LOWER_INNER, LIPS_OUTER, LIPS_UPPER_INNER, Mesh, Pixels

Array = npt.NDArray[np.float64]
Curve = Callable[[Array], Array]

OPEN_GAP = 0.05
"""Gap of the inner contours, in outer eye distances, above which the portrait shows its own mouth inside (teeth of a smile).
Measured on eleven portraits: lips shut or barely parted 0.004 to 0.039, smiles with teeth 0.114 to 0.195."""
CORNERS = ((78, 61), (308, 291))
"""Inner and outer corner of the mouth, the person's right and left."""
SMILE_CORNER = 0.65
"""Where an open smile ends on the way from the inner corner to the outer one. By eye on six smiles: 0.5 to 0.8; with 0 a dark
pocket stayed open beside shut lips."""
REACH = 0.05
"""How far from the mesh the edge of a lip in a smile is looked for, in outer eye distances; the mesh is off by up to 0.035."""
COLOURS = 3
"""Clusters of a region's colours: teeth, shadow and tongue inside; lit, plain and shaded lip outside."""


@dataclass(frozen=True)
class MouthFrame:
    """Mouth coordinates in the picture plane: s from -1 to 1 between the corners, t px below the line through them."""

    centre: Array
    along: Array
    right: float
    left: float
    """px from the middle to the two corners: they differ where the head is turned."""

    @property
    def down(self) -> Array:
        """Unit vector across the mouth, towards the chin."""
        return np.array([-self.along[1], self.along[0]])

    def split(self, xy: Array) -> tuple[Array, Array]:
        """(px along the mouth, px below its axis) of points (..., 2)."""
        delta = xy - self.centre
        return delta @ self.along, delta @ self.down

    def s(self, along: Array) -> Array:
        """`along` px as a share of the half width on its side."""
        return np.where(along < 0, along / self.right, along / self.left)


@dataclass(frozen=True)
class Lips:
    """Where the lips end, in the mouth's own px: between the two lines the portrait shows its mouth inside."""

    mouth: MouthFrame
    upper: Curve
    lower: Curve
    """The same curve as `upper` where the lips are shut."""
    gap: float
    """Opening of the portrait's own mouth, in outer eye distances; 0 where it counts as shut."""


def find_lips(pixels: Pixels, mesh: Mesh) -> Lips:
    """The lips' lines of a portrait (h, w, 3) with its mesh (468, 3)."""
    unit = float(np.linalg.norm(mesh[EYE_LEFT] - mesh[EYE_RIGHT]))
    shut = _mouth_frame(mesh, 0.0)
    (a, upper), (b, lower) = (shut.split(mesh[list(row), :2].astype(np.float64)) for row in (LIPS_UPPER_INNER, LIPS_LOWER_INNER))
    gap = float(np.max(lower - np.interp(b, a, upper))) / unit
    if gap > OPEN_GAP:
        return _open_lips(pixels, mesh, _mouth_frame(mesh, SMILE_CORNER), unit, gap)
    columns = np.arange(np.floor(b[0]), np.ceil(b[-1]) + 1)
    guess = smooth_curve(b, (np.interp(b, a, upper) + lower) / 2)(columns)
    reach = max(2, round(0.028 * unit))
    grey = cv2.GaussianBlur(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), (0, 0), 0.8).astype(np.float32)
    band = _band(grey, shut, columns, guess, reach)
    cost = band / max(4.0, float(np.percentile(band, 95) - np.percentile(band, 5)))  # the darkest line between shut lips
    seam = _settled(columns, guess, cost + 0.5 * _far(reach), unit)
    return Lips(shut, seam, seam, 0.0)


def _mouth_frame(mesh: Mesh, outwards: float) -> MouthFrame:
    """The mouth's coordinates; never narrower on one side than a third of the other, so that profiles stay usable."""
    xy = mesh[:, :2].astype(np.float64)
    right, left = ((1 - outwards) * xy[inner] + outwards * xy[outer] for inner, outer in CORNERS)
    along = (left - right) / max(1e-6, float(np.linalg.norm(left - right)))
    middle = (xy[13] + xy[14]) / 2
    a, b = float((middle - right) @ along), float((left - middle) @ along)
    whole = a + b
    a = min(max(a, whole / 4), whole * 3 / 4)
    centre = right + along * a
    return MouthFrame(centre, along, a, whole - a)


def _open_lips(pixels: Pixels, mesh: Mesh, mouth: MouthFrame, unit: float, gap: float) -> Lips:
    """Both lips' edges: the lines that part colours of the mouth inside from colours of lips best, near those of the mesh."""
    columns = np.arange(np.floor(-mouth.right), np.ceil(mouth.left) + 1)
    ends = (-mouth.right, mouth.left)
    rows = [mouth.split(mesh[list(row[1:-1]), :2].astype(np.float64)) for row in (LIPS_UPPER_INNER, LIPS_LOWER_INNER)]
    guesses = [smooth_curve(np.array([ends[0], *x, ends[1]]), np.array([0.0, *y, 0.0]))(columns) for x, y in rows]
    lab = np.asarray(cv2.cvtColor(cv2.GaussianBlur(pixels, (0, 0), 0.7), cv2.COLOR_RGB2LAB), np.uint8)
    inside = _colours(lab, mouth, columns, guesses[0] + 0.12 * unit * gap, guesses[1] - 0.35 * unit * gap)
    x, y = mouth.split(mesh[list(LIPS_OUTER), :2].astype(np.float64))
    top, bottom = np.interp(columns, x[:11], y[:11]), np.interp(columns, x[10:][::-1], y[10:][::-1])
    over = _colours(lab, mouth, columns, np.minimum(top, guesses[0] - 0.03 * unit), guesses[0] - 0.01 * unit)
    under = _colours(lab, mouth, columns, guesses[1] + 0.035 * unit, np.maximum(bottom, guesses[1] + 0.05 * unit))
    lips = np.concatenate([over, under])
    dark = np.array([[0.3 * lips[:, 0].min(), 128.0, 128.0]])  # the pockets beside the row of teeth
    inside = np.concatenate([inside, dark])
    reach = max(2, round(REACH * unit))
    found = []
    for guess, sign in zip(guesses, (-1.0, 1.0), strict=True):
        band = _band(lab.astype(np.float32), mouth, columns, guess, reach)
        ratio = np.clip((_distance(band, lips) - _distance(band, inside)) / 12.0, -1, 1)  # above 0 where it looks like the inside
        # All that looks like the inside on the lip's side of the line costs, and all that looks like lip on the other.
        wrong = sign * np.cumsum(ratio, 1)
        wrong = (wrong.max(1, keepdims=True) - wrong) / reach
        found.append(_settled(columns, guess, wrong + 0.8 * _far(reach), unit, share=0.06, smooth=0.03, bend=0.5))
    upper, lower = found
    return Lips(mouth, upper, lambda at: np.maximum(lower(at), upper(at)), gap)


def _colours(image: npt.NDArray[np.uint8], mouth: MouthFrame, columns: Array, top: Array, bottom: Array) -> Array:
    """Centres of the COLOURS clusters of the colours between two lines: (COLOURS, 3)."""
    share = np.linspace(0, 1, 24)
    rows = top[:, None] + share * (bottom - top)[:, None]
    at = mouth.centre + columns[:, None, None] * mouth.along + rows[..., None] * mouth.down
    middle = np.abs(mouth.s(columns)) < 0.75
    colours = sample(image, at)[middle].reshape(-1, 3)
    order = np.argsort(colours[:, 0], kind="stable")
    centres = np.stack([part.mean(0) for part in np.array_split(colours[order], COLOURS)])
    for _ in range(8):  # Lloyd's iteration from brightness terciles: the same result each time, which k-means++ does not promise
        nearest = np.linalg.norm(colours[:, None] - centres, axis=2).argmin(1)
        centres = np.stack([colours[nearest == i].mean(0) if (nearest == i).any() else centres[i] for i in range(COLOURS)])
    return centres


def _distance(band: Array, centres: Array) -> Array:
    """Distance of colours (..., 3) to the nearest centre."""
    return np.linalg.norm(band[..., None, :] - centres, axis=-1).min(-1)


def _band(
    image: npt.NDArray[np.uint8] | npt.NDArray[np.float32], mouth: MouthFrame, columns: Array, guess: Array, reach: int
) -> Array:
    """Values of `image` around a line: (columns, 2 reach + 1) or with a channel more."""
    rows = guess[:, None] + np.arange(-reach, reach + 1)
    return sample(image, mouth.centre + columns[:, None, None] * mouth.along + rows[..., None] * mouth.down)


def _far(reach: int) -> Array:
    """Growing cost of leaving the mesh: 0 on it, 1 at `reach`."""
    return (np.arange(-reach, reach + 1) / reach) ** 2


def _settled(
    columns: Array, guess: Array, cost: Array, unit: float, share: float = 0.12, smooth: float = 0.015, bend: float = 0.15
) -> Curve:
    """The cheapest line through `cost` around `guess`, smoothed over `smooth` eye distances; it keeps to `guess` at both ends,
    `share` of the length each. A row up or down against `guess` costs `bend`."""
    offsets = _cheapest_path(cost, bend) - cost.shape[1] // 2
    ends = np.clip(np.minimum(columns - columns[0], columns[-1] - columns) / (share * len(columns)), 0, 1)
    return smooth_curve(columns, gaussian_filter1d(guess + offsets * ends, max(1.0, smooth * unit), mode="nearest"))


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


def _cheapest_path(cost: Array, bend: float) -> npt.NDArray[np.int64]:
    """Row of the cheapest left-to-right path through (columns, rows), moving at most one row a column."""
    total = cost.copy()
    for i in range(1, len(cost)):
        before = np.pad(total[i - 1], 1, constant_values=np.inf)
        total[i] += np.minimum(np.minimum(before[:-2], before[2:]) + bend, before[1:-1])
    path = np.empty(len(cost), np.int64)
    path[-1] = int(np.argmin(total[-1]))
    for i in range(len(cost) - 2, -1, -1):
        low, here = max(0, path[i + 1] - 1), path[i + 1]
        step = bend * np.abs(np.arange(low, min(here + 2, cost.shape[1])) - here)
        path[i] = low + int(np.argmin(total[i, low : here + 2] + step))
    return path
