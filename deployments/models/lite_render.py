"""Draws frames from motion coefficients: moves the portrait's pixels, parts the lips, lowers the lids.

Everything that depends on the portrait alone is computed once (`prepare`). A frame is then a matrix product (coefficients x
displacement fields = where each pixel takes its colour from) and one lookup a pixel in an oversampled copy of the portrait, which
replaces interpolation: 4 steps a pixel cost 1.6 ms a frame at 512 px on one core, where torch's bilinear grid_sample cost 7.9 (all
included, 12 fields). The mouth and, in a blink, the eyes are small patches with two sheets each, blended at the lip line
or at the lid's edge.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch

from deployments.models.facemesh import Mesh, Pixels
from deployments.models.lite_face import FIELDS, HEAD, JAW_DROP, face_frame, mouth_frame
from deployments.models.lite_field import Box, sheets
from deployments.models.lite_lids import Lid, find_lids
from deployments.models.lite_mouth import find_seam, paint_inside

COEFFICIENTS = (
    "open",
    "lip_low",
    "lip_up",
    "wide",
    "round",
    "press",
    "brow",
    "yaw",
    "pitch",
    "roll",
    "shift_x",
    "shift_y",
    "blink",
)
"""What a motion model gives for each frame. `open`, `blink` 0 to 1 (open up to 1.3), the rest about -1 to 1; 0 is the shut mouth at
rest, also where the portrait itself smiles with open lips."""

CHUNK = 25
"""Frames of one chunk: a second at 25 fps, as the encoder's queue expects; 20 MB at 512 px."""
CPU_BAND = 8192
"""Pixels worked on at a time on the CPU, so that 25 frames of positions stay in its cache. Measured at 512 px, one core: 2.8 to
3.3 ms a frame from 2,000 to 33,000 without a trend, 5.1 for the whole picture at once."""
GPU_BAND = 1 << 20
DISTANCE_STEPS = 32
"""The atlas' fourth byte holds the signed distance from the lip line, in steps of 1/32 px around 128."""
REACHED_ZERO, REACHED_STEPS = 80, 128
"""That byte of a shut eye: 80 + 128 times the blink coefficient at which the lid gets there (-0.6 to 1.4)."""
STILL = 0.02
"""Displacement, px at coefficient 1, below which a pixel counts as static."""


@dataclass(frozen=True)
class _Atlas:
    """An oversampled picture as one int32 a pixel (R, G, B, and a fourth byte), with its place in the portrait."""

    words: torch.Tensor
    rows: int
    columns: int
    left: int
    top: int

    def look_up(self, positions: torch.Tensor) -> torch.Tensor:
        """uint8 (n, p, 4) at `positions` (n, 2 p): x then y, in atlas px of the whole portrait."""
        n, half = len(positions), positions.shape[1] // 2
        where = positions.to(torch.int32)
        x = where[:, :half].sub_(self.left).clamp_(0, self.columns - 1)
        y = where[:, half:].sub_(self.top).clamp_(0, self.rows - 1)
        index = (y * self.columns).add_(x)
        return self.words.index_select(0, index.view(-1)).view(torch.uint8).view(n, half, 4)


@dataclass(frozen=True)
class _Patch:
    """A rectangle with its position matrices (1 + fields, 2 x pixels) for each sheet."""

    rows: slice
    columns: slice
    matrices: tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class _Eye:
    """A blink's patch: the shut eye (its fourth byte tells when the lid reaches a pixel), px of the lid's way, colour and width
    (px) of the lashes."""

    patch: _Patch
    shut: _Atlas
    way: float
    lashes: torch.Tensor
    width: float


@dataclass(frozen=True)
class Scene:
    """A portrait made ready on a device. Immutable, so that several requests may share it."""

    still: torch.Tensor
    """(h, w, 3) uint8: the portrait, which stays wherever nothing moves."""
    gap: float
    """Opening of the portrait's own mouth in units of `open`."""
    atlas: _Atlas
    floor: _Atlas
    teeth: _Atlas
    bands: tuple[_Patch, ...]
    mouth: _Patch
    eyes: tuple[_Eye, ...]


def prepare(pixels: Pixels, mesh: Mesh, device: torch.device) -> Scene:
    """Computes what `render` needs for a portrait (h, w, 3) with its mesh (468, 3); about 0.5 s at 512 px."""
    height, width = pixels.shape[:2]
    times = max(2, min(4, 2048 // min(height, width)))  # above 512 px fewer steps: their size on the face stays the same
    frame, mouth = face_frame(mesh), mouth_frame(mesh)
    seam = find_seam(pixels, mesh, mouth, frame.unit)
    fields = sheets(mesh, height, width)
    left, top, right, bottom = box = _mouth_box(mesh, frame.unit, height, width)
    grid = _grid(box, times)
    distance = np.full((height * times, width * times), 4.0, np.float32)
    distance[: bottom * times] = -4.0  # beside the patch no sheet is told from the other; below it all is the lower one
    along, below = mouth.split(grid)
    distance[top * times : bottom * times, left * times : right * times] = below - seam.curve(along)
    inside = paint_inside(pixels, mesh, mouth, seam, frame.unit, grid)
    code = np.clip(128 + DISTANCE_STEPS * distance, 0, 255).astype(np.uint8)
    big = np.dstack([_enlarge(pixels, (width * times, height * times), times), code])
    floor = np.dstack([inside.floor, np.full(inside.floor.shape[:2], 255, np.uint8)])
    head = [i for i, name in enumerate(FIELDS) if name in HEAD]
    jaw = [*head, FIELDS.index("jaw")]
    base = fields.at(fields.base, (0, 0, width, height))
    upper, lower = fields.at(fields.upper, box), fields.at(fields.lower, box)
    parts = (upper, lower, _only(base[..., top:bottom, left:right], head), _only(lower, jaw))
    return Scene(
        still=torch.from_numpy(pixels.copy()).to(device),  # a copy: Ray hands out read-only arrays, which torch warns about
        gap=seam.gap / JAW_DROP,
        atlas=_atlas(big, (0, 0), device),
        floor=_atlas(floor, (left * times, top * times), device),
        teeth=_atlas(inside.teeth, (left * times, top * times), device),
        bands=tuple(_bands(base, times, device)),
        mouth=_patch((left, top, right, bottom), parts, times, device),
        eyes=tuple(_eye(lid, base, frame.unit, times, device) for lid in find_lids(pixels, mesh, frame.unit)),
    )


def _mouth_box(mesh: Mesh, unit: float, height: int, width: int) -> Box:
    """The lips, a margin, and below them the way that the lower lip can go."""
    corner = mesh[[61, 291, 0, 17], :2]
    low, high = corner.min(0) - 0.13 * unit, corner.max(0) + 0.13 * unit
    high[1] += JAW_DROP * 1.3 * unit
    # At least 4 px inside the picture, also where the mesh reaches past its edge.
    left, top = np.clip(np.floor(low), 0, (width - 4, height - 4)).astype(int).tolist()
    right, bottom = np.clip(np.ceil(high), (left + 4, top + 4), (width, height)).astype(int).tolist()
    return left, top, right, bottom


def _grid(box: Box, times: int) -> npt.NDArray[np.float64]:
    """Picture positions (rows, columns, 2) of the atlas pixels of a box."""
    left, top, right, bottom = box
    x = left + np.arange((right - left) * times) / times
    y = top + np.arange((bottom - top) * times) / times
    return np.stack(np.meshgrid(x, y), -1)


def _enlarge(image: npt.NDArray[np.uint8] | npt.NDArray[np.float32], size: tuple[int, int], times: int) -> npt.NDArray:
    """Oversampled so that atlas pixel j lies at j / times: every times-th pixel is the original one."""
    shrink = np.array([[1 / times, 0, 0], [0, 1 / times, 0]])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(image, shrink, size, flags=flags, borderMode=cv2.BORDER_REPLICATE))


def _atlas(rgba: Pixels, corner: tuple[int, int], device: torch.device) -> _Atlas:
    words = torch.from_numpy(np.ascontiguousarray(rgba).view(np.int32).reshape(-1)).to(device)
    return _Atlas(words, rgba.shape[0], rgba.shape[1], *corner)


def _only(fields: npt.NDArray[np.float32], keep: list[int]) -> npt.NDArray[np.float32]:
    out = np.zeros_like(fields)
    out[keep] = fields[keep]
    return out


def _patch(box: Box, parts: tuple[npt.NDArray[np.float32], ...], times: int, device: torch.device) -> _Patch:
    """Position matrices of a box: the first row is the pixel's own place (plus a half, because positions are cut to integers)."""
    left, top, right, bottom = box
    own = _grid(box, 1).transpose(2, 0, 1)[None] + 0.5 / times
    matrices = [np.concatenate([own, part]).astype(np.float32).reshape(len(part) + 1, -1) * times for part in parts]
    return _Patch(slice(top, bottom), slice(left, right), tuple(torch.from_numpy(m).to(device) for m in matrices))


def _bands(base: npt.NDArray[np.float32], times: int, device: torch.device) -> Iterator[_Patch]:
    """The moving part of the picture, in bands of full rows."""
    moving = np.abs(base).max((0, 1)) > STILL
    ys, xs = np.nonzero(moving.any(1))[0], np.nonzero(moving.any(0))[0]
    left, right = int(xs[0]), int(xs[-1]) + 1
    rows = max(1, (CPU_BAND if device.type == "cpu" else GPU_BAND) // (right - left))
    for top in range(int(ys[0]), int(ys[-1]) + 1, rows):
        bottom = min(top + rows, int(ys[-1]) + 1)
        yield _patch((left, top, right, bottom), (base[..., top:bottom, left:right],), times, device)


def _eye(lid: Lid, base: npt.NDArray[np.float32], unit: float, times: int, device: torch.device) -> _Eye:
    left, top, right, bottom = lid.box
    size = ((right - left) * times, (bottom - top) * times)
    code = np.clip(REACHED_ZERO + REACHED_STEPS * _enlarge(lid.reached, size, times), 0, 255).astype(np.uint8)
    shut = _atlas(np.dstack([_enlarge(lid.shut, size, times), code]), (left * times, top * times), device)
    patch = _patch(lid.box, (base[..., top:bottom, left:right],), times, device)
    return _Eye(patch, shut, lid.way, torch.tensor(lid.lashes, device=device), 0.011 * unit)


def controls(coefficients: npt.NDArray[np.float32], gap: float) -> npt.NDArray[np.float32]:
    """Coefficients (n, len(COEFFICIENTS)) as weights of (1, FIELDS..., blink): (n, len(FIELDS) + 2).

    `gap` is the portrait's own opening in units of `open`. Up to there, opening means undoing `close`; beyond, the jaw drops.
    """
    column = {name: coefficients[:, i] for i, name in enumerate(COEFFICIENTS)}
    opening = column["open"]
    close = np.zeros_like(opening) if gap == 0 else np.clip(1 - opening / gap, 0, 1)
    made = {"jaw": np.maximum(opening - gap, 0), "close": close}
    rows = [made.get(name, column.get(name)) for name in FIELDS]
    return np.stack([np.ones_like(opening), *rows, column["blink"]], 1).astype(np.float32)


def render(scene: Scene, coefficients: npt.NDArray[np.float32]) -> Iterator[Pixels]:
    """Chunks of at most CHUNK frames (n, h, w, 3) uint8, C-contiguous, each a buffer of its own.

    `coefficients` is (n_frames, len(COEFFICIENTS)). Runs in the caller's thread and with the caller's torch settings.
    """
    for start in range(0, len(coefficients), CHUNK):
        weights = torch.from_numpy(controls(coefficients[start : start + CHUNK], scene.gap)).to(scene.still.device)
        yield _chunk(scene, weights)


@torch.inference_mode()
def _chunk(scene: Scene, weights: torch.Tensor) -> Pixels:
    frames = scene.still.expand(len(weights), *scene.still.shape).clone()
    plain = weights[:, :-1].contiguous()
    for band in scene.bands:
        colours = scene.atlas.look_up(plain @ band.matrices[0])
        _put(frames, band, colours[..., :3])
    _put(frames, scene.mouth, _mouth(scene, plain))
    blinking = torch.nonzero(weights[:, -1] > 0.01)[:, 0]
    if len(blinking):
        for eye in scene.eyes:
            colours = _blink(scene, eye, plain[blinking], weights[blinking, -1])
            frames[blinking, eye.patch.rows, eye.patch.columns] = _shaped(eye.patch, colours)
    return frames.cpu().numpy()


def _shaped(patch: _Patch, colours: torch.Tensor) -> torch.Tensor:
    rows, columns = patch.rows.stop - patch.rows.start, patch.columns.stop - patch.columns.start
    return colours.reshape(len(colours), rows, columns, 3)


def _put(frames: torch.Tensor, patch: _Patch, colours: torch.Tensor) -> None:
    frames[:, patch.rows, patch.columns] = _shaped(patch, colours)


def _distance(colours: torch.Tensor) -> torch.Tensor:
    """Signed px (n, p, 1) from the atlas' fourth byte."""
    return (colours[..., 3:].to(torch.float32) - 128) / DISTANCE_STEPS


def _mouth(scene: Scene, weights: torch.Tensor) -> torch.Tensor:
    """Lower lip over upper lip over teeth over the mouth's floor: uint8 (n, p, 3)."""
    upper, lower, skull, jaw = scene.mouth.matrices
    up, low = scene.atlas.look_up(weights @ upper), scene.atlas.look_up(weights @ lower)
    teeth, floor = scene.teeth.look_up(weights @ skull), scene.floor.look_up(weights @ jaw)
    inner = torch.lerp(floor[..., :3].float(), teeth[..., :3].float(), teeth[..., 3:].float() / 255)
    # The upper sheet reaches one pixel past the line, so that nothing shines through where shut lips meet.
    inner = torch.lerp(inner, up[..., :3].float(), (1.5 - _distance(up)).clamp_(0, 1))
    inner = torch.lerp(inner, low[..., :3].float(), (_distance(low) + 0.5).clamp_(0, 1))
    return inner.add_(0.5).to(torch.uint8)


def _blink(scene: Scene, eye: _Eye, weights: torch.Tensor, blink: torch.Tensor) -> torch.Tensor:
    """The shut eye down to the lid's edge, the open one below it, lashes between: uint8 (n, p, 3)."""
    positions = weights @ eye.patch.matrices[0]
    open_, shut = scene.atlas.look_up(positions), eye.shut.look_up(positions)
    ahead = (shut[..., 3:].to(torch.float32) - REACHED_ZERO) / REACHED_STEPS - blink[:, None, None]  # share of the way still to go
    colours = torch.lerp(open_[..., :3].float(), shut[..., :3].float(), (0.5 - ahead * eye.way).clamp_(0, 1))
    line = 0.8 * torch.exp(-((ahead * eye.way / eye.width) ** 2)) * blink.clamp(0, 1)[:, None, None]
    return torch.lerp(colours, eye.lashes.expand_as(colours), line).add_(0.5).to(torch.uint8)
