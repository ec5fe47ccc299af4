"""What single frames look like: mouths that open and shut, eyes that blink, edges that stay."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from deployments.models.facemesh import EYE_LEFT, EYE_RIGHT, FaceMesh, Pixels
from deployments.models.lite_lids import EYES
from deployments.models.lite_lines import find_lips
from deployments.models.lite_render import COEFFICIENTS, Scene, controls, drawn, prepare, render
from deployments.models.protocol import Portrait

CPU = torch.device("cpu")
WIDE_OPEN = {"open": 0.9, "lip_low": 0.4}


def row(**named: float) -> np.ndarray:
    return np.array([[named.get(name, 0.0) for name in COEFFICIENTS]], np.float32)


def frame(scene: Scene, **named: float) -> Pixels:
    return next(iter(render(scene, row(**named))))[0]


def unit_of(portrait: Portrait) -> float:
    return float(np.linalg.norm(portrait.mesh[EYE_LEFT] - portrait.mesh[EYE_RIGHT]))


def between_lips(portrait: Portrait, shown: Pixels, below: float) -> np.ndarray:
    """Colours (n, 3) of a small square under the middle of the lips, `below` eye distances lower."""
    unit, lips = unit_of(portrait), find_lips(portrait.pixels, portrait.mesh)
    x, y = lips.mouth.centre + (lips.upper(np.zeros(1)) + below * unit) * lips.mouth.down
    half = max(1, round(0.03 * unit))
    return shown[int(y) - half : int(y) + half + 1, int(x) - half : int(x) + half + 1].reshape(-1, 3).astype(float)


def recoloured(portrait: Portrait, gains: tuple[float, float, float]) -> Portrait:
    pixels = np.clip(portrait.pixels * np.array(gains), 0, 255).astype(np.uint8)
    return Portrait(pixels, portrait.mesh, f"{portrait.digest}{gains}")


@pytest.fixture(scope="module")
def scenes(closed: Portrait, smiling: Portrait) -> dict[str, tuple[Portrait, Scene]]:
    return {name: (p, prepare(p.pixels, p.mesh, CPU)) for name, p in {"closed": closed, "smiling": smiling}.items()}


def test_opening_shows_a_dark_inside_between_shut_lips(scenes: dict[str, tuple[Portrait, Scene]]) -> None:
    portrait, scene = scenes["closed"]
    before, after = (between_lips(portrait, shown, 0.09) for shown in (portrait.pixels, frame(scene, **WIDE_OPEN)))
    assert after.mean() < 0.5 * before.mean()


def test_the_inside_has_the_colours_of_the_face(closed: Portrait) -> None:
    grey = np.repeat(cv2.cvtColor(closed.pixels, cv2.COLOR_RGB2GRAY)[..., None], 3, -1).astype(np.uint8)
    red, blue, none = recoloured(closed, (1.0, 0.6, 0.5)), recoloured(closed, (0.5, 0.6, 1.3)), Portrait(grey, closed.mesh, "grey")
    insides = [
        between_lips(portrait, frame(prepare(portrait.pixels, portrait.mesh, CPU), **WIDE_OPEN), 0.12).mean(0)
        for portrait in (red, blue, none)
    ]
    assert insides[0][0] / insides[0][2] > 1.3 * insides[1][0] / insides[1][2]
    assert np.ptp(insides[2]) < 3


def test_the_lips_lines_lie_on_each_other_where_shut_and_apart_in_a_smile(closed: Portrait, smiling: Portrait) -> None:
    shut, smile = (find_lips(p.pixels, p.mesh) for p in (closed, smiling))
    at = np.linspace(-0.5, 0.5, 11)
    assert shut.gap == 0
    assert np.array_equal(shut.lower(at * shut.mouth.left), shut.upper(at * shut.mouth.left))
    gap = (smile.lower(at * smile.mouth.left) - smile.upper(at * smile.mouth.left)) / unit_of(smiling)
    assert gap.min() > 0.05
    assert smile.gap == pytest.approx(gap.max(), abs=0.05)


def teeth(portrait: Portrait, shown: Pixels) -> int:
    """Bright pixels without much colour around the mouth."""
    unit, lips = unit_of(portrait), find_lips(portrait.pixels, portrait.mesh)
    x, y = lips.mouth.centre.astype(int)
    reach = round(0.3 * unit)
    hsv = cv2.cvtColor(np.ascontiguousarray(shown[y - reach // 2 : y + reach, x - reach : x + reach]), cv2.COLOR_RGB2HSV)
    return int(((hsv[..., 2] > 190) & (hsv[..., 1] < 50)).sum())


def test_silence_covers_the_teeth_of_a_smile_and_speech_shows_them_again(scenes: dict[str, tuple[Portrait, Scene]]) -> None:
    portrait, scene = scenes["smiling"]
    own = teeth(portrait, portrait.pixels)
    assert own > 60
    assert teeth(portrait, frame(scene)) < 0.4 * own  # what stays is lit skin
    assert teeth(portrait, frame(scene, open=scene.gap)) > 0.6 * own


def test_a_smile_opened_as_far_as_the_portrait_is_the_portrait(scenes: dict[str, tuple[Portrait, Scene]]) -> None:
    portrait, scene = scenes["smiling"]
    off = np.abs(frame(scene, open=scene.gap).astype(int) - portrait.pixels).max(-1)
    assert off.mean() < 0.5
    assert np.percentile(off, 99) < 12


@pytest.mark.parametrize("which", ["closed", "smiling"])
def test_the_eye_of_a_blink_is_covered(which: str, scenes: dict[str, tuple[Portrait, Scene]]) -> None:
    portrait, scene = scenes[which]
    grey = [cv2.cvtColor(shown, cv2.COLOR_RGB2GRAY) for shown in (portrait.pixels, frame(scene, blink=1.0))]
    for upper, lower, _ in EYES:
        outline = portrait.mesh[[*upper, *lower[::-1]], :2]
        middle = outline.mean(0)
        mask = np.zeros(grey[0].shape, np.uint8)
        cv2.fillPoly(mask, [np.round(middle + (outline - middle) * 0.7).astype(int)], 1)
        before, after = (shown[mask > 0].astype(float) for shown in grey)
        assert after.std() < 0.6 * before.std()  # neither pupil nor white
        assert after.min() > before.min()


@pytest.mark.parametrize("which", ["closed", "smiling"])
def test_half_a_blink_lies_between(which: str, scenes: dict[str, tuple[Portrait, Scene]]) -> None:
    portrait, scene = scenes[which]
    changed = [
        (frame(scene, blink=b) != portrait.pixels).any(-1).sum() - (frame(scene) != portrait.pixels).any(-1).sum()
        for b in (0.02, 0.4, 1.0)
    ]
    assert changed[0] == 0
    assert changed[0] < changed[1] < changed[2]


@pytest.mark.parametrize("which", ["closed", "smiling"])
@pytest.mark.parametrize(
    "named", [WIDE_OPEN, {"open": 0.3, "round": 1.0}, {"wide": 1.0, "yaw": 1.0}, {"yaw": -1.0, "pitch": 1.0, "blink": 1.0}]
)
def test_patches_meet_what_lies_around_them(which: str, named: dict[str, float], scenes: dict[str, tuple[Portrait, Scene]]) -> None:
    _, scene = scenes[which]
    plain = np.zeros(scene.still.shape, np.uint8)
    canvas = plain.copy()
    weights = torch.from_numpy(controls(row(**named), scene.gap))
    with torch.inference_mode():
        for i, ((_, rows, columns), words) in enumerate(drawn(scene, weights)):
            part = words.numpy().view(np.uint8).reshape(*words.shape, 4)[0, ..., :3]
            canvas[rows, columns] = part
            if i < len(scene.bands):
                plain[rows, columns] = part
    boxes = [(scene.mouth.patches[0].rows.start, scene.mouth.patches[-1].rows.stop, scene.mouth.patches[0].columns)]
    boxes += [(eye.patch.rows.start, eye.patch.rows.stop, eye.patch.columns) for eye in scene.eyes]
    off = np.abs(canvas.astype(int) - plain).max(-1)
    for top, bottom, columns in boxes:
        edge = np.concatenate(
            [off[top, columns], off[bottom - 1, columns], off[top:bottom, columns.start], off[top:bottom, columns.stop - 1]]
        )
        assert np.percentile(edge, 95) <= 4
        assert edge.mean() < 1.5


@pytest.mark.parametrize("which", ["closed", "smiling"])
def test_the_pictures_edge_stays_whatever_the_motion(which: str, scenes: dict[str, tuple[Portrait, Scene]]) -> None:
    portrait, scene = scenes[which]
    wild = np.random.default_rng(0).uniform(-2, 2, (30, len(COEFFICIENTS))).astype(np.float32)
    for video in render(scene, wild):
        for edge in (np.s_[:, :3], np.s_[:, -3:], np.s_[:, :, :3], np.s_[:, :, -3:]):
            assert (video[edge] == portrait.pixels[None][edge]).all()


def test_a_face_at_the_pictures_edge_is_drawn(face_mesh: FaceMesh, smiling: Portrait) -> None:
    side = smiling.pixels.shape[0]
    x, y = (int(v) for v in smiling.mesh[:, :2].mean(0))
    pixels = np.ascontiguousarray(smiling.pixels[: y + side // 8 * 2, x - side // 16 :])
    pixels = pixels[: pixels.shape[0] // 2 * 2, : pixels.shape[1] // 2 * 2]
    mesh = smiling.mesh - np.array([x - side // 16, 0, 0], np.float32)
    shown = frame(prepare(pixels, mesh, CPU), **WIDE_OPEN, blink=1.0)
    assert shown.shape == pixels.shape


def test_pixels_move_with_the_head(scenes: dict[str, tuple[Portrait, Scene]], face_mesh: FaceMesh) -> None:
    portrait, scene = scenes["closed"]
    rest, moved = (face_mesh.track(frame(scene, shift_x=x), portrait.mesh)[0] for x in (0.0, 1.0))
    way = (moved - rest)[:, 0].mean() / unit_of(portrait)
    assert way == pytest.approx(0.02, abs=0.008)
