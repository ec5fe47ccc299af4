"""How far a face is turned away from the camera, from its mesh; and when that is too far for a warped portrait to be believed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deployments.models.facemesh import EYE_LEFT, EYE_RIGHT, Mesh

CHIN, FOREHEAD = 152, 10
NEUTRAL_PITCH = 9.0
"""Degrees by which the line from forehead to chin leans in the mesh of a face that looks straight ahead. Measured on seven
portraits that do: 5 to 13; broad smiles, which take the chin down and back, up to 19."""
MAX_YAW = 29.0
"""Degrees. Looked at on eleven portraits: up to 27 (Van Gogh's self-portrait of 1887) mouth and lids hold; at 32 (Girl with a Pearl
Earring, over the shoulder) the mouth opens askew, and the lids miss a part of the white of the eyes."""
MAX_PITCH = 25.0
"""Degrees from NEUTRAL_PITCH. Not measured on pictures: no portrait tried was beyond 10. The painted mouth is made for a view from
the front; much further up or down the lips hide it."""


@dataclass(frozen=True)
class Pose:
    """Turn of the head, degrees; roll is left out because the renderer does not mind it."""

    yaw: float
    """Positive where the person looks to the picture's left."""
    pitch: float
    """From NEUTRAL_PITCH; positive where the face looks down (a broad smile looks like that by up to 10)."""


def pose(mesh: Mesh) -> Pose:
    """The turn of the face in a (468, 3) mesh, from the directions of its eye line and of its middle line, depth included.

    Flat meshes (no depth) count as seen from the front.
    """
    points = mesh.astype(np.float64)
    x = points[EYE_LEFT] - points[EYE_RIGHT]
    y = points[CHIN] - points[FOREHEAD]
    yaw = np.degrees(np.arctan2(-x[2], np.hypot(x[0], x[1])))
    pitch = np.degrees(np.arctan2(y[2], np.hypot(y[0], y[1]))) if np.ptp(points[:, 2]) > 0 else NEUTRAL_PITCH
    return Pose(float(yaw), float(pitch) - NEUTRAL_PITCH)


def too_far(mesh: Mesh) -> bool:
    """Whether the face in a (468, 3) mesh is turned so far that the video will not be believed (an advice, not an error)."""
    found = pose(mesh)
    return abs(found.yaw) > MAX_YAW or abs(found.pitch) > MAX_PITCH
