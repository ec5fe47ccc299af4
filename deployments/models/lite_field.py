"""How each motion coefficient moves the picture: displacement fields, computed once a portrait.

Thin-plate splines spread the vertices' displacements over the picture. The lips part, so the skin has two sheets that differ only
around the mouth: `upper` ignores the vertices below the lip line, `lower` those above it. All fields are inverse (where a target
pixel takes its colour from) and linear in the coefficients, so that a frame is one small matrix product.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy.interpolate import RBFInterpolator

from deployments.models.facemesh import LIPS_LOWER_INNER, LIPS_UPPER_INNER
from deployments.models.lite_face import FIELDS, HEAD, OVAL, FaceFrame, face_frame, lip_sides, smooth_step, vertex_fields
from deployments.models.lite_lines import Array, Lips, MouthFrame

LARGE = {"jaw": {"jaw": 0.6}, "jaw_round": {"jaw": 0.6, "round": 0.8}, "close": {"close": 0.95}}
"""Those whose way is not small beside the distances over which they change, and the coefficients at which their field is exact: a
usual vowel, a rounded one, and the shut mouth. Adding up `jaw` and `round` alone, an opening went on past the rounded corners and
ended in an upright edge."""

STEP = 8
"""Grid of the spline evaluation, px of a 512 px picture; the fields are smooth, bicubic interpolation fills in between."""

Box = tuple[int, int, int, int]
"""Left, top, right, bottom, px."""


@dataclass(frozen=True)
class Sheets:
    """Inverse displacement fields on a coarse grid (len(FIELDS), 2, rows, columns), px: the two sheets, and what both agree on
    outside the mouth."""

    upper: Array
    lower: Array
    base: Array
    height: int
    width: int

    def at(self, field: Array, box: Box) -> npt.NDArray[np.float32]:
        """One of the fields at every pixel of `box`: (len(FIELDS), 2, rows, columns).

        The grid's first and last points lie on the picture's first and last pixels.
        """
        left, top, right, bottom = box
        rows, columns = field.shape[-2:]
        x = np.arange(left, right, dtype=np.float32) * np.float32((columns - 1) / (self.width - 1))
        y = np.arange(top, bottom, dtype=np.float32) * np.float32((rows - 1) / (self.height - 1))
        at_x, at_y = np.meshgrid(x, y)
        flat = field.astype(np.float32).reshape(-1, rows, columns)
        big = [cv2.remap(part, at_x, at_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE) for part in flat]
        return np.stack(big).reshape(*field.shape[:-2], bottom - top, right - left).astype(np.float32, copy=False)


def sheets(mesh: npt.NDArray[np.float32], lips: Lips, height: int, width: int) -> Sheets:
    """Spreads the vertices' displacements over a picture of `height` x `width` px; zero at its edges."""
    frame, mouth = face_frame(mesh), lips.mouth
    motion = vertex_fields(frame, lips, mesh)
    flat = np.stack([frame.to_picture(field) for field in motion])
    along, below = mouth.split(mesh[:, :2].astype(np.float64))
    s = mouth.s(along)
    up, low = lip_sides(mesh)
    middle = np.abs(s) < 0.98
    skin = ~up & ~low & middle
    above = up | (skin & (below < 0) & (below > -0.30 * frame.unit))
    under = low | (skin & (below > 0) & (below < 0.42 * frame.unit))
    step = STEP * min(height, width) / 512
    grid_y = np.linspace(0, height - 1, max(2, round(height / step)))
    grid_x = np.linspace(0, width - 1, max(2, round(width / step)))
    grid = np.stack(np.meshgrid(grid_x, grid_y), -1)
    window = _window(grid, height, width)
    kinds = (~under, LIPS_UPPER_INNER[1:-1], (0.05, 0.13, 0.22, 0.31)), (~above, LIPS_LOWER_INNER[1:-1], (-0.04, -0.11, -0.20))
    fields = [_spread(mesh, frame, flat, keep, _beyond(mouth, frame, row, ways), grid, window) for keep, row, ways in kinds]
    grid_along, grid_below = mouth.split(grid)
    blend = smooth_step(grid_below / (0.24 * frame.unit) + 0.5)[None, None]
    part = smooth_step((1.06 - np.abs(mouth.s(grid_along))) / 0.18)[None, None]
    base = (1 - blend) * fields[0] + blend * fields[1]
    upper, lower = (base + part * (field - base) for field in fields)
    return Sheets(upper, lower, base, height, width)


def _beyond(
    mouth: MouthFrame, frame: FaceFrame, row: tuple[int, ...], ways: tuple[float, ...]
) -> tuple[npt.NDArray[np.int64], Array]:
    """Vertices of a lip's edge and px vectors to copies of them beyond the edge.

    A sheet goes on behind the other lip with the displacement of its own edge. Without these copies the upper sheet took the
    cheeks' motion there and hung into the open mouth like a curtain (seen at open = 1).
    """
    normal = mouth.down * frame.unit
    return np.tile(np.array(row), len(ways)), np.repeat(np.array(ways), len(row))[:, None] * normal


def _window(grid: Array, height: int, width: int) -> Array:
    """1 inside, 0 on the picture's outer fiftieth, so that nothing is drawn in from outside."""
    short = min(height, width)
    sides = np.minimum(grid, np.array([width - 1, height - 1]) - grid) / short
    return smooth_step((sides - 0.02) / 0.10).prod(-1)


def _spread(
    mesh: npt.NDArray[np.float32],
    frame: FaceFrame,
    flat: Array,
    keep: npt.NDArray[np.bool_],
    beyond: tuple[npt.NDArray[np.int64], Array],
    grid: Array,
    window: Array,
) -> Array:
    """Splines through the kept vertices; expressions end at a ring around the face, head motion at a wider one.

    The fields are asked at target positions, so for the LARGE ones each vertex stands where the motion has taken it: with vertices
    at rest, the corners of the mouth sank by 26 px instead of 11 at open = 1.
    """
    xy = mesh[:, :2].astype(np.float64)
    oval, centre = xy[list(OVAL)], xy[list(OVAL)].mean(0)
    edge, way = beyond
    # Rings of zeros: 1.45 times the face's outline for expressions, 2.2 times for the head, whose hair moves along (1.3 times).
    near, far = (centre + (oval[::2] - centre) * scale for scale in (1.45, 2.2))
    hair = centre + (oval[::3] - centre) * 1.3
    out = np.empty((len(FIELDS), 2, *grid.shape[:2]))
    small = [i for i, name in enumerate(FIELDS) if name not in (*HEAD, *LARGE)]
    for rows in (*([FIELDS.index(name)] for name in LARGE), small):
        at = {} if rows is small else LARGE[FIELDS[rows[0]]]
        moved = xy + sum((share * flat[FIELDS.index(name)] for name, share in at.items()), np.zeros_like(xy))
        points = np.concatenate([moved[keep], moved[edge] + way, near])
        known = np.concatenate([flat[rows][:, keep], flat[rows][:, edge], np.zeros((len(rows), len(near), 2))], 1)
        out[rows] = _spline(points, known, grid, frame)
    jaw, both = FIELDS.index("jaw"), FIELDS.index("jaw_round")
    out[both] = (out[both] - out[jaw]) / LARGE["jaw_round"]["round"]
    head = [i for i, name in enumerate(FIELDS) if name in HEAD]
    carried = [flat[head], flat[head][:, OVAL[::3]] * 0.9, np.zeros((len(head), len(far), 2))]
    out[head] = _spline(np.concatenate([xy, hair, far]), np.concatenate(carried, 1), grid, frame)
    return -out * window


def _spline(points: Array, known: Array, grid: Array, frame: FaceFrame) -> Array:
    """Thin-plate splines through `known` (fields, points, 2) at `points`, asked at the grid: (fields, 2, rows, columns)."""
    # Smoothing in px: vertices at the lids lie closer than the mesh is accurate, exact splines would ripple there.
    values = known.transpose(1, 0, 2).reshape(len(points), -1)
    spline = RBFInterpolator(points, values, kernel="thin_plate_spline", smoothing=frame.unit * 0.05)
    return spline(grid.reshape(-1, 2)).reshape(*grid.shape[:2], len(known), 2).transpose(2, 3, 0, 1)
