"""From a face mesh to the mouth's own movement: the head's movement, size and turn are taken out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

STILL = (33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 10, 151, 9, 8, 127, 356, 70, 300, 107, 336)
"""Points of the mesh that speech does not move: eye corners, bridge and tip of the nose, forehead, temples, brows' ends."""

_EYES = (33, 263)
_UPPER_INNER, _LOWER_INNER = (82, 13, 312), (87, 14, 317)
_UPPER_OUTER, _LOWER_OUTER = (37, 0, 267), (84, 17, 314)
_CORNERS, _CHIN = (61, 291), 152

SIGNALS = ("open", "wide", "lower", "upper", "jaw", "outer")
"""Columns of `signals`, in shares of the distance between the outer eye corners:

open   inner lips apart, downwards
wide   distance of the mouth's corners
lower  how low the lower lip's outer edge stands below the nose's bridge
upper  the same of the upper lip's outer edge
jaw    the same of the chin
outer  outer lips apart (grows with opening, shrinks when the lips are pressed together)
"""


def signals(meshes: npt.NDArray[np.float32]) -> Array:
    """(n, len(SIGNALS)) from n meshes (n, 468, 3) in px: each is laid upon the clip's mean face by the points that stand still."""
    points = meshes.astype(np.float64)
    reference = _upright(points)
    still = points[:, STILL]
    fitted = _laid_upon(points, still, reference[list(STILL)])
    unit = np.linalg.norm(reference[_EYES[1], :2] - reference[_EYES[0], :2])

    def height(*indices: int) -> Array:
        return fitted[:, indices, 1].mean(1)

    wide = np.linalg.norm(fitted[:, _CORNERS[1]] - fitted[:, _CORNERS[0]], axis=1)
    upper, lower = height(*_UPPER_OUTER), height(*_LOWER_OUTER)
    columns = [height(*_LOWER_INNER) - height(*_UPPER_INNER), wide, lower, upper, height(_CHIN), lower - upper]
    return np.stack(columns, 1) / unit


def _upright(points: Array) -> Array:
    """The clip's mean shape (468, 3), centred, with the eyes level: what the meshes are laid upon."""
    shape = points[len(points) // 2] - points[len(points) // 2, STILL].mean(0)
    for _ in range(2):
        shape = _laid_upon(points, points[:, STILL], shape[list(STILL)]).mean(0)
    across = shape[_EYES[1]] - shape[_EYES[0]]
    angle = np.arctan2(across[1], across[0])
    turn = np.array([[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    return shape @ turn.T


def _laid_upon(points: Array, still: Array, reference: Array) -> Array:
    """`points` (n, 468, 3) under the similarity that lays `still` (n, k, 3) upon `reference` (k, 3) in least squares.

    Umeyama, Least-squares estimation of transformation parameters between two point patterns, 1991.
    """
    mean, goal = still.mean(1, keepdims=True), reference.mean(0)
    a, b = still - mean, reference - goal
    u, s, vt = np.linalg.svd(np.einsum("nki,kj->nij", a, b))
    sign = np.sign(np.linalg.det(u @ vt))
    flip = np.stack([np.ones_like(sign), np.ones_like(sign), sign], 1)
    rotation = (u * flip[:, None, :]) @ vt
    scale = (s * flip).sum(1) / (a**2).sum((1, 2))
    return (points - mean) @ rotation * scale[:, None, None] + goal
