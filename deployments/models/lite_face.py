"""What each motion coefficient does to the face: displacements of the 468 vertices, in the face's own 3-D frame.

Defined there, a turned head moves along its own axes. Lengths are in outer eye distances, so that every face moves alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deployments.models.facemesh import EYE_LEFT, EYE_RIGHT, LIPS_LOWER_INNER, LIPS_OUTER, LIPS_UPPER_INNER
from deployments.models.lite_lines import Array, Lips

FIELDS = (
    "jaw", "jaw_round", "close", "lip_low", "lip_up", "wide", "round", "press", "brow",
    "yaw", "pitch", "roll", "shift_x", "shift_y",
)  # fmt: skip
"""Displacements that the renderer adds up; `close` shuts the mouth of a portrait that was taken with an open one, `jaw_round` is by
how much the jaw's drop differs where the lips are rounded too."""
HEAD = ("yaw", "pitch", "roll", "shift_x", "shift_y")
"""Those that move skull and teeth too."""
JAW_DROP = 0.19
"""Way of the lower lip's middle at jaw = 1, in outer eye distances (about 90 mm in adults, so 17 mm: a wide open vowel)."""
HEAD_TURN = np.deg2rad(3.0)
"""Angle at yaw, pitch or roll = 1. Looked at on three portraits with all three at once: nothing to see at 3 degrees; at 6 the jaw's
outline and the hair beside it ripple."""
OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
"""Outline of the face in the mesh, clockwise from the forehead."""
BROWS = (70, 63, 105, 66, 107, 46, 53, 52, 65, 55, 336, 296, 334, 293, 300, 285, 295, 282, 283, 276)
CHIN, FOREHEAD, EAR_RIGHT, EAR_LEFT = 152, 10, 234, 454


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


def vertex_fields(frame: FaceFrame, lips: Lips, mesh: npt.NDArray[np.float32]) -> Array:
    """Displacements of the vertices at coefficient 1: (len(FIELDS), 468, 3) in the face's frame.

    The `upper` and the `lower` lip have their own rows of the same array; which vertices a sheet uses is `sheets`' matter.
    """
    q = frame.points
    along, below = lips.mouth.split(mesh[:, :2].astype(np.float64))
    s, t = lips.mouth.s(along), below / frame.unit
    # Reach of the lips' own motion into the skin around them; the outline stays, which in a turned face is near the mouth's corner.
    ellipse = np.exp(-((s / 1.5) ** 2) - (t / 0.28) ** 2) * _off_outline(mesh, frame.unit)
    bell = np.clip(1 - s**2, 0, 1)
    upper, lower = lip_sides(mesh)
    side = np.where(upper, -1.0, np.where(lower, 1.0, np.sign(t)))
    zero = np.zeros_like(s)
    jaw = _jaw(frame, s, t, upper, lower)
    rows = {
        "jaw": jaw,
        "jaw_round": jaw,
        "close": _close(lips, frame, along, below, side),
        "lip_low": np.stack([zero, 0.055 * bell * (side > 0) * np.exp(-((np.maximum(t, 0) / 0.17) ** 2)), zero], 1),
        "lip_up": np.stack([zero, -0.030 * np.sqrt(bell) * (side < 0) * np.exp(-((np.minimum(t, 0) / 0.16) ** 2)), zero], 1),
        "wide": np.stack([0.060 * np.clip(s, -1.3, 1.3) * ellipse, -0.022 * np.minimum(s**2, 1.5) * ellipse, zero], 1),
        "round": np.stack([-0.105 * np.clip(s, -1.3, 1.3) * ellipse, 0.016 * side * bell * ellipse, -0.03 * bell * ellipse], 1),
        "press": np.stack([zero, -0.016 * side * np.exp(-((t / 0.09) ** 2)) * np.sqrt(bell), zero], 1),
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


def lip_sides(mesh: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which vertices belong to the upper and which to the lower lip's rings (the corners to neither)."""
    upper, lower = np.zeros(len(mesh), bool), np.zeros(len(mesh), bool)
    # The rings between inner and outer contour are listed with them: 4 rings a lip in MediaPipe's topology.
    upper[[*LIPS_UPPER_INNER[1:-1], *LIPS_OUTER[1:10], 74, 73, 72, 11, 302, 303, 304, 42, 41, 38, 12, 268, 271, 272, 184, 408]] = (
        True
    )
    lower[[*LIPS_LOWER_INNER[1:-1], *LIPS_OUTER[11:], 77, 90, 180, 85, 16, 315, 404, 320, 307, 89, 179, 86, 15, 316, 403, 319]] = (
        True
    )
    return upper, lower


def smooth_step(x: Array) -> Array:
    """0 below 0, 1 above 1, a cubic between."""
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
    weight = smooth_step((t + 0.12) / 0.30)  # skin beside the mouth: half way at the line of the lips
    bell = np.clip(1 - np.abs(s) ** 2.2, 0, 1) ** 0.9
    # The corners sink by 0.35 of the way; between them the opening is fuller than a parabola, which would look like a diamond.
    weight = np.where(lower, 0.35 + 0.65 * bell, weight)
    weight = np.where(upper, 0.35 * np.minimum(s**2, 1.0), weight)
    weight = np.where(~upper & ~lower & (t < 0) & (np.abs(s) < 1), weight * np.minimum(s**2, 1), weight)
    narrower = -0.035 * np.clip(s, -1.2, 1.2) * np.exp(-((s / 1.5) ** 2) - (t / 0.28) ** 2)
    return way * weight[:, None] + np.stack([narrower, np.zeros_like(s), np.zeros_like(s)], 1)


def _close(lips: Lips, frame: FaceFrame, along: Array, below: Array, side: Array) -> Array:
    """Brings the lips' lines together; the lower lip does four fifths of the way, as jaws do."""
    s = lips.mouth.s(along)
    here = np.where(np.abs(s) < 1, lips.lower(along) - lips.upper(along), 0.0) / frame.unit
    here += 0.10 * here + 0.026 * np.clip(1 - s**2, 0, 1) * (lips.gap > 0)  # a little more: splines and seams take some away
    above, under = (lips.upper(along) - below) / frame.unit, (below - lips.lower(along)) / frame.unit
    reach = np.where(side > 0, np.exp(-((np.maximum(under, 0) / 0.45) ** 2)), np.exp(-((np.maximum(above, 0) / 0.15) ** 2)))
    way = -side * here * np.where(side > 0, 0.8, 0.2) * reach
    return np.stack([np.zeros_like(s), way, np.zeros_like(s)], 1)


def _off_outline(mesh: npt.NDArray[np.float32], unit: float) -> Array:
    """0 on the face's outline, 1 from 0.25 eye distances inside it."""
    oval = mesh[list(OVAL), :2]
    ring = np.concatenate([oval, (oval + np.roll(oval, 1, 0)) / 2])
    return smooth_step(np.linalg.norm(mesh[:, None, :2] - ring, axis=2).min(1) / (0.25 * unit))


def _brow(q: Array) -> Array:
    centre = q[list(BROWS)]
    near = np.exp(-((np.linalg.norm(q[:, None, :2] - centre[None, :, :2], axis=2).min(1) / 0.14) ** 2))
    eyes = smooth_step((-q[:, 1] - 0.02) / 0.10)  # the lids stay where they are
    return np.stack([np.zeros(len(q)), -0.045 * near * eyes, np.zeros(len(q))], 1)


def _turn(q: Array, axis: Array) -> Array:
    pivot = np.array([0.0, 1.1, 0.75])  # where skull and neck meet, below and behind the mouth
    return HEAD_TURN * np.cross(axis, q - pivot)
