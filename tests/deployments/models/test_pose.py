"""A face that is turned too far is told from one that looks at the camera."""

from __future__ import annotations

import numpy as np
import pytest

from deployments.models.facemesh import Mesh
from deployments.models.pose import pose, too_far
from deployments.models.protocol import Portrait


def turned(mesh: Mesh, yaw: float = 0, pitch: float = 0, roll: float = 0) -> Mesh:
    """The mesh turned about its middle, degrees."""
    a, b, c = np.radians([pitch, yaw, roll])
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    centre = mesh.mean(0)
    return ((mesh - centre) @ (about_z @ about_y @ about_x).T + centre).astype(np.float32)


@pytest.mark.parametrize("degrees", [-40, -20, 20, 40])
def test_turning_a_frontal_mesh_turns_the_estimate(smiling: Portrait, degrees: float) -> None:
    at_rest = pose(smiling.mesh)
    assert pose(turned(smiling.mesh, yaw=degrees)).yaw - at_rest.yaw == pytest.approx(degrees, abs=3)
    assert pose(turned(smiling.mesh, pitch=degrees)).pitch - at_rest.pitch == pytest.approx(degrees, abs=3)


@pytest.mark.parametrize("changed", [{}, {"roll": 40}, {"yaw": 15}, {"yaw": -15}, {"pitch": 12}, {"pitch": -12}])
def test_moderate_turns_pass(smiling: Portrait, changed: dict[str, float]) -> None:
    assert not too_far(turned(smiling.mesh, **changed))


@pytest.mark.parametrize("changed", [{"yaw": 40}, {"yaw": -40}, {"pitch": 40}, {"pitch": -40}, {"yaw": 75}])
def test_strong_turns_are_told(smiling: Portrait, changed: dict[str, float]) -> None:
    assert too_far(turned(smiling.mesh, **changed))


def test_a_tilted_head_has_the_same_pose(smiling: Portrait) -> None:
    yaws = [pose(turned(smiling.mesh, roll=roll)).yaw for roll in (-90, -30, 0, 30, 90)]
    assert np.ptp(yaws) < 1


def test_scale_and_place_do_not_matter(smiling: Portrait) -> None:
    one, other = pose(smiling.mesh), pose(smiling.mesh * 3 + 100)
    assert (one.yaw, one.pitch) == pytest.approx((other.yaw, other.pitch), abs=1e-3)


def test_a_mesh_without_depth_counts_as_frontal(smiling: Portrait) -> None:
    flat = smiling.mesh.copy()
    flat[:, 2] = 0
    assert not too_far(flat)
