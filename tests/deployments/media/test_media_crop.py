"""The crop holds the whole head, is square where the picture allows it, and takes the mesh along."""

from __future__ import annotations

import numpy as np
import pytest

from deployments.media.crop import HAIR_SHARE, CroppedPortrait, crop_portrait


def face(x: float, y: float, width: float, height: float) -> np.ndarray:
    """468 points on an ellipse with this box."""
    angle = np.linspace(0, 2 * np.pi, 468, endpoint=False)
    points = np.stack([x + width / 2 * (1 + np.cos(angle)), y + height / 2 * (1 + np.sin(angle)), 10 * np.sin(angle)], axis=1)
    return points.astype(np.float32)


def crop(mesh: np.ndarray, size: tuple[int, int] = (600, 800), expand: float = 0.2, short: int = 256) -> CroppedPortrait:
    height, width = size
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = np.linspace(0, 255, width)[None, :], np.linspace(0, 255, height)[:, None]
    return crop_portrait(pixels, mesh, expand_ratio=expand, min_resolution=short)


def test_a_face_in_the_middle_gives_a_square_head() -> None:
    result = crop(face(300, 200, 120, 160), short=128)
    assert result.pixels.shape == (128, 128, 3)
    side = 160 * (1 + HAIR_SHARE) * 1.4
    assert result.roi_width == result.roi_height == pytest.approx(side, abs=1)
    above, below = result.mesh[:, 1].min(), 128 - result.mesh[:, 1].max()
    assert above - below == pytest.approx(160 * HAIR_SHARE * result.scale, abs=1.5)
    assert result.x + result.roi_width / 2 == pytest.approx(360, abs=1)


def test_the_mesh_lies_where_the_face_lies() -> None:
    mesh = face(300, 200, 120, 160)
    result = crop(mesh)
    for before, after in zip(mesh[::60], result.mesh[::60], strict=True):
        shown = result.pixels[int(after[1]), int(after[0])]
        assert shown[0] == pytest.approx(before[0] * 255 / 800, abs=2)
        assert shown[1] == pytest.approx(before[1] * 255 / 600, abs=2)
    assert np.ptp(result.mesh[:, 2]) == pytest.approx(20 * result.scale, abs=0.1)


@pytest.mark.parametrize("corner", [(0, 0), (680, 0), (0, 440), (680, 440)])
def test_at_the_edge_the_box_moves_inside_and_stays_square(corner: tuple[int, int]) -> None:
    result = crop(face(*corner, 120, 160), expand=0.5)
    assert result.roi_width == result.roi_height
    assert result.x >= 0
    assert result.y >= 0
    assert result.x + result.roi_width <= 800
    assert result.y + result.roi_height <= 600


def test_a_head_larger_than_the_picture_is_cut_off() -> None:
    result = crop(face(100, 10, 300, 380), size=(400, 700), expand=0.5, short=256)
    assert (result.roi_width, result.roi_height) == (700, 400)
    assert result.pixels.shape == (256, 448, 3)


@pytest.mark.parametrize("short", [128, 192, 320, 1024])
@pytest.mark.parametrize("size", [(101, 77), (333, 1001), (50, 50)])
def test_sides_are_even_and_the_shorter_is_as_ordered(short: int, size: tuple[int, int]) -> None:
    result = crop(face(10, 10, 31, 37), size=size, expand=1.0, short=short)
    height, width = result.pixels.shape[:2]
    assert min(height, width) == short
    assert height % 2 == width % 2 == 0
    assert result.mesh.shape == (468, 3)
    assert result.mesh.dtype == np.float32
    assert result.pixels.flags.c_contiguous


def test_a_larger_margin_shows_more() -> None:
    widths = [crop(face(300, 200, 120, 160), expand=expand).roi_width for expand in (0.0, 0.18, 0.5, 1.0)]
    assert widths == sorted(set(widths))
