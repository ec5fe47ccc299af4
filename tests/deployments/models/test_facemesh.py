"""Faces are found where they are, whatever their tilt, size and colours."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from deployments.models import facemesh
from deployments.models.facemesh import ChecksumError, FaceMesh, Pixels


@pytest.fixture(scope="module")
def fitted(face_mesh: FaceMesh, astronaut: Pixels) -> np.ndarray:
    mesh, score = face_mesh.fit(astronaut, face_mesh.detect(astronaut)[0])
    assert score > 0.9
    return mesh


def eye_distance(mesh: np.ndarray) -> float:
    return float(np.linalg.norm(mesh[facemesh.EYE_LEFT, :2] - mesh[facemesh.EYE_RIGHT, :2]))


def test_the_mesh_lies_on_the_face(fitted: np.ndarray) -> None:
    assert fitted.shape == (468, 3)
    assert fitted.dtype == np.float32
    # Read off the picture, ten times enlarged: corners and middle of the mouth, outer corners of the eyes.
    seen = {
        61: (202, 139),
        291: (247, 140),
        13: (223, 143),
        14: (223, 150),
        facemesh.EYE_RIGHT: (193, 101),
        facemesh.EYE_LEFT: (259, 104),
    }
    for vertex, place in seen.items():
        assert fitted[vertex, :2] == pytest.approx(place, abs=4), vertex


def test_the_upper_lip_is_above_the_lower_one(fitted: np.ndarray) -> None:
    upper, lower = (fitted[list(row), 1] for row in (facemesh.LIPS_UPPER_INNER[1:-1], facemesh.LIPS_LOWER_INNER[1:-1]))
    assert (upper < lower).all()


@pytest.mark.parametrize("degrees", [-30, 15, 30])
def test_a_tilted_head_gives_the_tilted_mesh(face_mesh: FaceMesh, astronaut: Pixels, fitted: np.ndarray, degrees: float) -> None:
    turn = cv2.getRotationMatrix2D((256, 256), degrees, 0.9)
    turned = cv2.warpAffine(astronaut, turn, (512, 512)).astype(np.uint8)
    mesh, _ = face_mesh.fit(turned, face_mesh.detect(turned)[0])
    expected = fitted[:, :2] @ turn[:, :2].T + turn[:, 2]
    assert np.abs(mesh[:, :2] - expected).mean() < 0.02 * eye_distance(fitted)


def test_a_small_face_in_a_large_picture(face_mesh: FaceMesh, astronaut: Pixels, fitted: np.ndarray) -> None:
    large = np.full((1800, 2400, 3), 120, np.uint8)
    large[200:456, 1500:1756] = cv2.resize(astronaut, (256, 256), interpolation=cv2.INTER_AREA)
    mesh, _ = face_mesh.fit(large, face_mesh.detect(large)[0])
    assert np.abs(mesh[:, :2] - (fitted[:, :2] / 2 + (1500, 200))).mean() < 2


def test_grey_as_rgb(face_mesh: FaceMesh, astronaut: Pixels, fitted: np.ndarray) -> None:
    grey = cv2.cvtColor(cv2.cvtColor(astronaut, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB).astype(np.uint8)
    mesh, _ = face_mesh.fit(grey, face_mesh.detect(grey)[0])
    assert np.abs(mesh[:, :2] - fitted[:, :2]).mean() < 2


def test_the_largest_of_two_faces_comes_first(face_mesh: FaceMesh, astronaut: Pixels) -> None:
    two = np.concatenate([np.pad(cv2.resize(astronaut, (384, 384)), ((0, 128), (0, 0), (0, 0))), astronaut], 1).astype(np.uint8)
    faces = face_mesh.detect(two)
    assert len(faces) == 2
    assert faces[0].area > faces[1].area
    assert faces[0].box[0] > 384
    assert len(face_mesh.detect_fast(astronaut)) == 1


def test_tracking_follows_without_the_detector(face_mesh: FaceMesh, astronaut: Pixels, fitted: np.ndarray) -> None:
    shifted = np.roll(astronaut, (4, 9), (0, 1))
    mesh, score = face_mesh.track(shifted, fitted)
    assert score > facemesh.LOST
    assert np.abs(mesh[:, :2] - fitted[:, :2] - (9, 4)).mean() < 1


@pytest.mark.parametrize("shape", [(480, 640), (30, 900), (16, 16)])
def test_no_face_in_noise(face_mesh: FaceMesh, shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert face_mesh.detect(noise) == []
    assert face_mesh.detect(np.zeros((*shape, 3), np.uint8)) == []


def test_a_swapped_weights_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(facemesh.WEIGHTS, "face_landmark.tflite", "0" * 64)
    with pytest.raises(ChecksumError, match=r"face_landmark\.tflite"):
        FaceMesh()
