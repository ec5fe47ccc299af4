"""How each motion coefficient moves the picture: displacement fields, computed once a portrait.

The 468 vertices get a displacement for each coefficient in the face's own 3-D frame (so a turned head moves along its own axes);
thin-plate splines spread it over the picture. The lips part, so the skin has two sheets that differ only around the mouth: `upper`
ignores the vertices below the lip line, `lower` those above it. All fields are inverse: where a target pixel takes its colour from,
linear in the coefficients, so that a frame is one small matrix product.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy.interpolate import RBFInterpolator

from deployments.models.facemesh import EYE_LEFT, EYE_RIGHT, LIPS_LOWER_INNER, LIPS_OUTER, LIPS_UPPER_INNER

Array = npt.NDArray[np.float64]

FIELDS = ("jaw", "close", "lip_low", "lip_up", "wide", "round", "press", "brow", "yaw", "pitch", "roll", "shift_x", "shift_y")
"""Displacements that the renderer adds up; `close` shuts the mouth of a portrait that was taken with an open one."""
HEAD = ("yaw", "pitch", "roll", "shift_x", "shift_y")
"""Those that move skull and teeth too."""
LARGE = ("jaw", "close")
"""Those whose way is not small beside the distances over which they change."""

JAW_DROP = 0.19
"""Way of the lower lip's middle at jaw = 1, in outer eye distances (about 90 mm in adults, so 17 mm: a wide open vowel)."""
HEAD_TURN = np.deg2rad(3.0)
"""Angle at yaw, pitch or roll = 1. At 5 degrees hair and collar visibly stretched on the seven portraits looked at; at 3 not."""
STEP = 8
"""Grid of the spline evaluation, px of a 512 px picture; the fields are smooth, bicubic interpolation fills in between."""

OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
"""Outline of the face in the mesh, clockwise from the forehead."""
BROWS = (70, 63, 105, 66, 107, 46, 53, 52, 65, 55, 336, 296, 334, 293, 300, 285, 295, 282, 283, 276)
NOSE_BASE, CHIN, FOREHEAD, EAR_RIGHT, EAR_LEFT = 2, 152, 10, 234, 454
CORNER_RIGHT, CORNER_LEFT = 78, 308


@dataclass(frozen=True)
class FaceFrame:
    """The face's own axes: x to the person's left, y down, z away from the camera; unit = distance of the outer eye corners."""

    origin: Array
    axes: Array
    """(3, 3): rows x, y, z in picture space."""
    unit: float
    """px of one unit."""
    points: Array
    """(468, 3) mesh in this frame."""

    def to_picture(self, vectors: Array) -> Array:
        """Vectors (n, 3) of this frame as px (n, 2)."""
        return vectors @ self.axes[:, :2] * self.unit


def face_frame(mesh: npt.NDArray[np.float32]) -> FaceFrame:
    """Axes and scale of a (468, 3) mesh."""
    points = mesh.astype(np.float64)
    origin = (points[EYE_RIGHT] + points[EYE_LEFT]) / 2
    x = points[EYE_LEFT] - points[EYE_RIGHT]
    unit = float(np.linalg.norm(x))
    x = x / unit
    y = points[CHIN] - points[FOREHEAD]
    y = y - x * (y @ x)
    y = y / np.linalg.norm(y)
    axes = np.stack([x, y, np.cross(x, y)])
    return FaceFrame(origin, axes, unit, (points - origin) @ axes.T / unit)


@dataclass(frozen=True)
class MouthFrame:
    """Mouth coordinates in the picture plane: s from -1 to 1 between the inner corners, t px below the line through them."""

    centre: Array
    along: Array
    right: float
    left: float
    """px from the middle to the two inner corners: they differ where the head is turned."""

    def split(self, xy: Array) -> tuple[Array, Array]:
        """(px along the mouth, px below its axis) of points (..., 2)."""
        delta = xy - self.centre
        return delta @ self.along, delta @ np.array([-self.along[1], self.along[0]])

    def s(self, along: Array) -> Array:
        """`along` px as a share of the half width on its side."""
        return np.where(along < 0, along / self.right, along / self.left)


def mouth_frame(mesh: npt.NDArray[np.float32]) -> MouthFrame:
    """The mouth's coordinates; never narrower on one side than a third of the other, so that profiles stay usable."""
    xy = mesh[:, :2].astype(np.float64)
    right, left = xy[CORNER_RIGHT], xy[CORNER_LEFT]
    along = (left - right) / max(1e-6, float(np.linalg.norm(left - right)))
    middle = (xy[13] + xy[14]) / 2
    a, b = float((middle - right) @ along), float((left - middle) @ along)
    whole = a + b
    a = min(max(a, whole / 4), whole * 3 / 4)
    centre = right + along * a
    return MouthFrame(centre, along, a, whole - a)


def vertex_fields(frame: FaceFrame, mouth: MouthFrame, mesh: npt.NDArray[np.float32]) -> Array:
    """Displacements of the vertices at coefficient 1: (len(FIELDS), 468, 3) in the face's frame.

    The `upper` and the `lower` lip have their own rows of the same array; which vertices a sheet uses is `sheets`' matter.
    """
    q = frame.points
    along, below = mouth.split(mesh[:, :2].astype(np.float64))
    s, t = mouth.s(along), below / frame.unit
    ellipse = np.exp(-((s / 1.5) ** 2) - (t / 0.28) ** 2)  # reach of the lips' own motion into the skin around them
    bell = np.clip(1 - s**2, 0, 1)
    upper, lower = _lip_sides(mesh)
    side = np.where(upper, -1.0, np.where(lower, 1.0, np.sign(t)))
    zero = np.zeros_like(s)
    rows = {
        "jaw": _jaw(frame, s, t, upper, lower),
        "close": _close(mesh, frame, s, t, side),
        "lip_low": np.stack([zero, 0.055 * bell * (side > 0) * np.exp(-((np.maximum(t, 0) / 0.17) ** 2)), zero], 1),
        "lip_up": np.stack([zero, -0.030 * np.sqrt(bell) * (side < 0) * np.exp(-((np.minimum(t, 0) / 0.16) ** 2)), zero], 1),
        "wide": np.stack([0.060 * np.clip(s, -1.3, 1.3) * ellipse, -0.022 * np.minimum(s**2, 1.5) * ellipse, zero], 1),
        "round": np.stack([-0.105 * np.clip(s, -1.3, 1.3) * ellipse, 0.016 * side * bell * ellipse, -0.03 * bell * ellipse], 1),
        "press": np.stack([zero, -0.016 * side * np.exp(-((t / 0.09) ** 2)) * (np.abs(s) < 1.3), zero], 1),
        "brow": _brow(q),
    }
    head = {
        "yaw": _turn(q, np.array([0.0, 1.0, 0.0])),
        "pitch": _turn(q, np.array([1.0, 0.0, 0.0])),
        "roll": _turn(q, np.array([0.0, 0.0, 1.0])),
        "shift_x": np.broadcast_to([0.02, 0.0, 0.0], q.shape),
        "shift_y": np.broadcast_to([0.0, 0.02, 0.0], q.shape),
    }
    return np.stack([(rows | head)[name] for name in FIELDS])


def _lip_sides(mesh: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which vertices belong to the upper and which to the lower lip's rings (the corners to neither)."""
    upper, lower = np.zeros(len(mesh), bool), np.zeros(len(mesh), bool)
    # The rings between inner and outer contour are listed with them: 4 rings a lip in MediaPipe's topology.
    upper[[*LIPS_UPPER_INNER[1:-1], *LIPS_OUTER[1:10], 74, 73, 72, 11, 302, 303, 304, 42, 41, 38, 12, 268, 271, 272, 184, 408]] = True
    lower[[*LIPS_LOWER_INNER[1:-1], *LIPS_OUTER[11:], 77, 90, 180, 85, 16, 315, 404, 320, 307, 89, 179, 86, 15, 316, 403, 319]] = True
    return upper, lower


def _smooth(x: Array) -> Array:
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def _jaw(frame: FaceFrame, s: Array, t: Array, upper: npt.NDArray[np.bool_], lower: npt.NDArray[np.bool_]) -> Array:
    """Rotation about the axis through the jaw joints, weighted by how far a vertex hangs on the jaw."""
    q = frame.points
    hinge = (q[EAR_RIGHT] + q[EAR_LEFT]) / 2
    lever = q - hinge
    # A rotation takes the chin down and back; the joint slides forward meanwhile, which leaves about a quarter of the way back.
    way = np.stack([np.zeros(len(q)), -lever[:, 2], 0.25 * lever[:, 1]], 1)
    way *= JAW_DROP / max(1e-6, abs(way[14, 1]))
    weight = _smooth((t + 0.12) / 0.30)  # skin beside the mouth: half way at the line of the lips
    bell = np.clip(1 - s**2, 0, 1)
    # The corners sink by 0.35 of the way; between them the opening is a parabola, which meets them without a step.
    weight = np.where(lower, 0.35 + 0.65 * bell**0.85, weight)
    weight = np.where(upper, 0.35 * np.minimum(s**2, 1.0), weight)
    weight = np.where(~upper & ~lower & (t < 0) & (np.abs(s) < 1), weight * np.minimum(s**2, 1), weight)
    narrower = -0.035 * np.clip(s, -1.2, 1.2) * np.exp(-((s / 1.5) ** 2) - (t / 0.28) ** 2)
    return way * weight[:, None] + np.stack([narrower, np.zeros_like(s), np.zeros_like(s)], 1)


def _close(mesh: npt.NDArray[np.float32], frame: FaceFrame, s: Array, t: Array, side: Array) -> Array:
    """Brings the inner contours together; the lower lip does three quarters of the way, as jaws do."""
    order = np.array(LIPS_UPPER_INNER), np.array(LIPS_LOWER_INNER)
    gap = np.linalg.norm(mesh[order[0], :2] - mesh[order[1], :2], axis=1) / frame.unit
    here = np.interp(s, s[order[0]], gap, left=0.0, right=0.0)
    reach = np.where(side > 0, np.exp(-(((np.maximum(t, 0)) / 0.45) ** 2)), np.exp(-((np.minimum(t, 0) / 0.15) ** 2)))
    way = -side * here * np.where(side > 0, 0.8, 0.2) * reach
    return np.stack([np.zeros_like(s), way, np.zeros_like(s)], 1)


def _brow(q: Array) -> Array:
    centre = q[list(BROWS)]
    near = np.exp(-((np.linalg.norm(q[:, None, :2] - centre[None, :, :2], axis=2).min(1) / 0.14) ** 2))
    eyes = _smooth((-q[:, 1] - 0.02) / 0.10)  # the lids stay where they are
    return np.stack([np.zeros(len(q)), -0.045 * near * eyes, np.zeros(len(q))], 1)


def _turn(q: Array, axis: Array) -> Array:
    pivot = np.array([0.0, 1.1, 0.75])  # where skull and neck meet, below and behind the mouth
    return HEAD_TURN * np.cross(axis, q - pivot)


@dataclass(frozen=True)
class Sheets:
    """Inverse displacement fields (len(FIELDS), 2, h, w), px: upper and lower sheet of skin, and what both agree on outside."""

    upper: npt.NDArray[np.float32]
    lower: npt.NDArray[np.float32]
    base: npt.NDArray[np.float32]


def sheets(mesh: npt.NDArray[np.float32], height: int, width: int) -> Sheets:
    """Spreads the vertices' displacements over a picture of `height` x `width` px; zero at its edges."""
    frame, mouth = face_frame(mesh), mouth_frame(mesh)
    motion = vertex_fields(frame, mouth, mesh)
    flat = np.stack([frame.to_picture(field) for field in motion])
    along, below = mouth.split(mesh[:, :2].astype(np.float64))
    s = mouth.s(along)
    up, low = _lip_sides(mesh)
    middle = np.abs(s) < 0.98
    skin = ~up & ~low & middle
    above = up | (skin & (below < 0) & (below > -0.30 * frame.unit))
    under = low | (skin & (below > 0) & (below < 0.42 * frame.unit))
    step = STEP * max(1.0, min(height, width) / 512)
    grid_y = np.linspace(0, height - 1, max(2, round(height / step)))
    grid_x = np.linspace(0, width - 1, max(2, round(width / step)))
    grid = np.stack(np.meshgrid(grid_x, grid_y), -1)
    window = _window(grid, height, width)
    lips = (~under, LIPS_UPPER_INNER[1:-1], (0.05, 0.13, 0.22, 0.31)), (~above, LIPS_LOWER_INNER[1:-1], (-0.04, -0.11, -0.20))
    fields = [_spread(mesh, frame, flat, keep, _beyond(mouth, frame, row, ways), grid, window) for keep, row, ways in lips]
    grid_along, grid_below = mouth.split(grid)
    blend = _smooth(grid_below / (0.24 * frame.unit) + 0.5)[None, None]
    part = _smooth((1.06 - np.abs(mouth.s(grid_along))) / 0.18)[None, None]
    base = (1 - blend) * fields[0] + blend * fields[1]
    upper, lower = (base + part * (field - base) for field in fields)
    return Sheets(*(_enlarged(field, height, width) for field in (upper, lower, base)))


def _beyond(mouth: MouthFrame, frame: FaceFrame, row: tuple[int, ...], ways: tuple[float, ...]) -> tuple[npt.NDArray[np.int64], Array]:
    """Vertices of a lip's edge and px vectors to copies of them beyond the edge.

    A sheet goes on behind the other lip with the displacement of its own edge. Without these copies the upper sheet took the cheeks'
    motion there and hung into the open mouth like a curtain (seen from open = 0.8).
    """
    normal = np.array([-mouth.along[1], mouth.along[0]]) * frame.unit
    return np.tile(np.array(row), len(ways)), np.repeat(np.array(ways), len(row))[:, None] * normal


def _window(grid: Array, height: int, width: int) -> Array:
    """1 inside, 0 at the picture's edge, so that nothing is drawn in from outside."""
    margin = 0.10 * min(height, width)
    near = np.minimum(np.minimum(grid[..., 0], width - 1 - grid[..., 0]), np.minimum(grid[..., 1], height - 1 - grid[..., 1]))
    return _smooth(near / margin)


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

    The fields are asked at target positions, so each vertex stands where it is at 0.6 of the coefficient: with vertices at rest, the
    corners of the mouth sank by 30 px instead of 11 at open = 1.
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
        moved = xy if rows is small else xy + 0.6 * flat[rows[0]]
        points = np.concatenate([moved[keep], moved[edge] + way, near])
        known = np.concatenate([flat[rows][:, keep], flat[rows][:, edge], np.zeros((len(rows), len(near), 2))], 1)
        out[rows] = _spline(points, known, grid, frame)
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


def _enlarged(field: Array, height: int, width: int) -> npt.NDArray[np.float32]:
    """The grid's field at every pixel: the grid's first and last points lie on the picture's first and last pixels."""
    rows, columns = field.shape[-2:]
    x = np.linspace(0, columns - 1, width, dtype=np.float32)
    y = np.linspace(0, rows - 1, height, dtype=np.float32)
    at = np.meshgrid(x, y)
    flat = field.astype(np.float32).reshape(-1, rows, columns)
    big = [cv2.remap(part, at[0], at[1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE) for part in flat]
    return np.stack(big).reshape(*field.shape[:-2], height, width)
