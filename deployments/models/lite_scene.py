"""A portrait made ready for drawing: everything that depends on the portrait alone, computed once, on the device.

Pictures are kept oversampled, one int32 a pixel, so that drawing is a lookup without interpolation: 4 steps a pixel cost 1.6 ms a
frame at 512 px on one core, where torch's bilinear grid_sample cost 7.9 (all included, 12 fields).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt
import torch

from deployments.models.facemesh import Mesh, Pixels
from deployments.models.lite_face import FIELDS, HEAD, JAW_DROP, face_frame
from deployments.models.lite_field import Box, sheets
from deployments.models.lite_lids import LEVELS, Lid, find_lids
from deployments.models.lite_lines import Array, Lips, find_lips
from deployments.models.lite_mouth import paint_inside

CPU_BAND = 8192
"""Pixels worked on at a time on the CPU, so that 25 frames of positions stay in its cache. Measured at 512 px, one core: 2.8 to
3.3 ms a frame from 2,000 to 33,000 without a trend, 5.1 for the whole picture at once."""
GPU_BAND = 1 << 20
DISTANCE_STEPS = 2400
"""The lip sheets' fourth byte holds the signed distance from the lip's edge, in steps of 1/2400 of the outer eye distance around
128: at 512 px a sixteenth of a pixel, and a reach of 8 px, as far as the lips' shadow on the teeth."""
CORNER_SKIN = 0.08
"""How far the upper lip goes on past its edge at the corners, in outer eye distances."""
LIP_EDGE = 0.012
"""Width of the edge of a smiling lip that is drawn from the lip's own colour, and darker, as lips are where they touch."""
STILL = 0.02
"""Displacement, px at coefficient 1, below which a pixel counts as static."""


@dataclass(frozen=True)
class Atlas:
    """An oversampled picture as one int32 a pixel (R, G, B, and a fourth byte), with its place in the portrait."""

    words: torch.Tensor
    rows: int
    columns: int
    left: int
    top: int
    whole: bool = False
    """Whether it covers all of the portrait."""

    def look_up(self, positions: torch.Tensor, page: torch.Tensor | None = None) -> torch.Tensor:
        """Words (n, p) at `positions` (n, 2 p): x then y, in atlas px of the whole portrait; `page` (n, 1) of a stack of them."""
        half = positions.shape[1] // 2
        where = positions.to(torch.int32)
        x, y = where[:, :half], where[:, half:]
        if self.whole:  # positions are never outside, because the fields vanish at the picture's edge; this is for absurd weights
            index = (y * self.columns).add_(x).clamp_(0, self.rows * self.columns - 1)
        else:
            x, y = x.sub_(self.left).clamp_(0, self.columns - 1), y.sub_(self.top).clamp_(0, self.rows - 1)
            index = (y * self.columns).add_(x)
        if page is not None:
            index += page * (self.rows * self.columns)
        return self.words.index_select(0, index.view(-1)).view(len(positions), half)


@dataclass(frozen=True)
class Sheet:
    """Where the pixels of a patch take their colour from: linear in the weights."""

    used: torch.Tensor
    """Columns of the weights that move anything here."""
    matrix: torch.Tensor
    """(len(used), 2 x pixels): x, then y, in atlas px."""

    def positions(self, weights: torch.Tensor) -> torch.Tensor:
        """(n, 2 x pixels) of weights (n, 1 + fields)."""
        return weights.index_select(1, self.used) @ self.matrix


@dataclass(frozen=True)
class Patch:
    """A rectangle of the picture with its sheets."""

    rows: slice
    columns: slice
    sheets: tuple[Sheet, ...]


@dataclass(frozen=True)
class Mouth:
    """The mouth's patches (sheets: upper lip, lower lip, skull, jaw) and what each sheet shows."""

    patches: tuple[Patch, ...]
    upper: Atlas
    lower: Atlas
    teeth: Atlas
    floor: Atlas
    px: float
    """px of one step of the lip sheets' fourth byte."""
    shade: float
    """Strength of the lips' shadow on what is inside."""


@dataclass(frozen=True)
class Eye:
    """A blink's patch and the stack of LEVELS pictures of the eye as it shuts."""

    patch: Patch
    shut: Atlas


@dataclass(frozen=True)
class Scene:
    """A portrait made ready on a device. Immutable, so that several requests may share it."""

    still: Pixels
    """(h, w, 3) uint8 on the CPU: the portrait, which stays in the rows where nothing moves."""
    words: torch.Tensor
    """The same as (h, w) int32 words on the device."""
    gap: float
    """Opening of the portrait's own mouth in units of `open`."""
    atlas: Atlas
    bands: tuple[Patch, ...]
    """The rows in which anything moves, in full width."""
    mouth: Mouth
    eyes: tuple[Eye, ...]


def prepare(pixels: Pixels, mesh: Mesh, device: torch.device) -> Scene:
    """Computes what `render` needs for a portrait (h, w, 3) with its mesh (468, 3); 1.7 s of CPU time at 512 px."""
    height, width = pixels.shape[:2]
    times = max(2, min(4, 2048 // min(height, width)))  # above 512 px fewer steps: their size on the face stays the same
    unit = face_frame(mesh).unit
    lips = find_lips(pixels, mesh)
    fields = sheets(mesh, lips, height, width)
    base = fields.at(fields.base, (0, 0, width, height))
    box, source = _mouth_box(lips, unit, height, width)
    left, top, right, bottom = box
    head = [i for i, name in enumerate(FIELDS) if name in HEAD]
    upper, lower = fields.at(fields.upper, box), fields.at(fields.lower, box)
    parts = (
        upper,
        lower,
        _only(base[..., top:bottom, left:right], head),
        _only(lower, [*head, FIELDS.index("jaw"), FIELDS.index("jaw_round")]),
    )
    big = _enlarge(pixels, (width * times, height * times), times)
    lids = find_lids(pixels, mesh, unit, times)
    return Scene(
        still=pixels.copy(),
        words=_words(_opaque(pixels), device).view(height, width),
        gap=lips.gap / JAW_DROP,
        atlas=replace(_atlas(_opaque(big), (0, 0), device), whole=True),
        bands=tuple(_bands(base, times, device)),
        mouth=_mouth(pixels, mesh, lips, unit, source, times, tuple(_split(box, parts, times, device, 4))),
        eyes=tuple(_eye(lid, base, times, device) for lid in lids),
    )


def _mouth(pixels: Pixels, mesh: Mesh, lips: Lips, unit: float, source: Box, times: int, patches: tuple[Patch, ...]) -> Mouth:
    device = patches[0].sheets[0].matrix.device
    left, top = source[0] * times, source[1] * times
    grid = _grid(source, times)
    along, below = lips.mouth.split(grid)
    inside = paint_inside(pixels, mesh, lips, unit, grid)
    # Towards the corners the upper lip goes on past its edge, so that an opening ends round and no slip of the two sheets shows
    # what lies behind; past the corners it covers all.
    s = np.abs(lips.mouth.s(along))
    joined = CORNER_SKIN * unit * np.clip((s - 0.75) / 0.25, 0, 1) ** 2 + 0.06 * unit * np.clip((s - 0.98) / 0.04, 0, 1)
    under, over = below - lips.upper(along), below - lips.lower(along)
    shut = lips.gap == 0
    # A shut mouth's sheets are the picture up to a pixel past the seam; a smile's keep off the pixels in which lip and tooth mix.
    keep = 1.0 if shut else -LIP_EDGE * unit
    upper = _lip(pixels, lips, along, lips.upper(along) + np.where(s < 1, np.minimum(under, keep), under), under - joined, unit)
    lower = _lip(pixels, lips, along, lips.lower(along) + np.where(s < 1, np.maximum(over, -keep), over), over, unit)
    inner = np.clip((1 - s) / 0.1, 0, 1)
    if shut:  # what goes on past the seam lies in the corner's shadow; at rest the lower lip covers it
        _darken(upper, 0.65 * np.clip((under - keep) / (0.03 * unit), 0, 1) * inner)
    else:
        for sheet, edge in ((upper, under), (lower, over)):
            _darken(sheet, 0.2 * np.exp(-((edge / (0.8 * LIP_EDGE * unit)) ** 2)) * inner)
    teeth, floor = (_atlas(picture, (left, top), device) for picture in (inside.teeth, _opaque(inside.floor)))
    upper, lower = (_atlas(picture, (left, top), device) for picture in (upper, lower))
    return Mouth(patches, upper, lower, teeth, floor, unit / DISTANCE_STEPS, 1.0 if shut else 0.35)


def _lip(pixels: Pixels, lips: Lips, along: Array, below: Array, distance: Array, unit: float) -> Pixels:
    """A lip's sheet: the picture at (along, below), past its edge the edge's colour; and the coded distance from the edge."""
    at = (lips.mouth.centre + along[..., None] * lips.mouth.along + below[..., None] * lips.mouth.down).astype(np.float32)
    colours = cv2.remap(pixels, at[..., 0], at[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    coded = np.clip(128 + DISTANCE_STEPS / unit * distance, 0, 255)
    return np.dstack([colours, coded]).astype(np.uint8)


def _darken(sheet: Pixels, share: Array) -> None:
    sheet[..., :3] = (sheet[..., :3] * (1 - share[..., None])).astype(np.uint8)


def _mouth_box(lips: Lips, unit: float, height: int, width: int) -> tuple[Box, Box]:
    """Where the two lips' sheets differ or can part: a little past the corners, and below them the way that the lower lip can go;
    and the same with a margin for the head's motion."""
    across = np.linspace(-lips.mouth.right, lips.mouth.left, 41)
    # Beyond 0.12 above and below the mouth's axis and 1.06 to its sides the sheets agree (`sheets`), to the accuracy of their grid.
    low = min(-0.17 * unit, float(lips.upper(across).min()) - 0.06 * unit)
    high = max(0.17 * unit, float(lips.lower(across).max()) + (1.3 * JAW_DROP + 0.09) * unit)
    ends = (-1.2 * lips.mouth.right, 1.2 * lips.mouth.left)
    corners = np.array([lips.mouth.centre + x * lips.mouth.along + y * lips.mouth.down for x in ends for y in (low, high)])

    def box(margin: float) -> Box:
        # At least 4 px inside the picture, also where the mesh reaches past its edge.
        left, top = np.clip(np.floor(corners.min(0) - margin), 0, (width - 4, height - 4)).astype(int).tolist()
        right, bottom = np.clip(np.ceil(corners.max(0) + margin), (left + 4, top + 4), (width, height)).astype(int).tolist()
        return left, top, right, bottom

    return box(0.0), box(0.2 * unit)


def _grid(box: Box, times: int) -> Array:
    """Picture positions (rows, columns, 2) of the atlas pixels of a box."""
    left, top, right, bottom = box
    x = left + np.arange((right - left) * times) / times
    y = top + np.arange((bottom - top) * times) / times
    return np.stack(np.meshgrid(x, y), -1)


def _enlarge(image: Pixels, size: tuple[int, int], times: int) -> Pixels:
    """Oversampled so that atlas pixel j lies at j / times: every times-th pixel is the original one."""
    shrink = np.array([[1 / times, 0, 0], [0, 1 / times, 0]])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(image, shrink, size, flags=flags, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _opaque(rgb: Pixels) -> Pixels:
    return np.concatenate([rgb, np.full((*rgb.shape[:-1], 1), 255, np.uint8)], -1)


def _words(rgba: Pixels, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(rgba).view(np.int32).reshape(-1)).to(device)


def _atlas(rgba: Pixels, corner: tuple[int, int], device: torch.device) -> Atlas:
    """`rgba` is (rows, columns, 4) or a stack of such."""
    return Atlas(_words(rgba, device), rgba.shape[-3], rgba.shape[-2], *corner)


def _only(fields: npt.NDArray[np.float32], keep: list[int]) -> npt.NDArray[np.float32]:
    out = np.zeros_like(fields)
    out[keep] = fields[keep]
    return out


def _patch(box: Box, parts: tuple[npt.NDArray[np.float32], ...], times: int, device: torch.device) -> Patch:
    """Position matrices of a box: the first row is the pixel's own place (plus a half, because positions are cut to integers)."""
    left, top, right, bottom = box
    own = _grid(box, 1).transpose(2, 0, 1)[None] + 0.5 / times
    rows = [np.concatenate([own, part]).astype(np.float32).reshape(len(part) + 1, -1) * times for part in parts]
    used = [np.nonzero(np.abs(row).max(1) > 0)[0] for row in rows]
    made = [Sheet(torch.from_numpy(u).to(device), torch.from_numpy(row[u]).to(device)) for u, row in zip(used, rows, strict=True)]
    return Patch(slice(top, bottom), slice(left, right), tuple(made))


def _split(
    box: Box, parts: tuple[npt.NDArray[np.float32], ...], times: int, device: torch.device, layers: int = 1
) -> Iterator[Patch]:
    """A box in bands of full rows; `layers` is how many pictures are worked on at a time."""
    left, top, right, bottom = box
    step = max(1, (CPU_BAND if device.type == "cpu" else GPU_BAND) // layers // (right - left))
    for first in range(0, bottom - top, step):
        last = min(first + step, bottom - top)
        here = tuple(part[:, :, first:last] for part in parts)
        yield _patch((left, top + first, right, top + last), here, times, device)


def _bands(base: npt.NDArray[np.float32], times: int, device: torch.device) -> Iterator[Patch]:
    """The rows that move."""
    rows = np.nonzero((np.abs(base).max((0, 1)) > STILL).any(1))[0]
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    return _split((0, top, base.shape[-1], bottom), (base[..., top:bottom, :],), times, device)


def _eye(lid: Lid, base: npt.NDArray[np.float32], times: int, device: torch.device) -> Eye:
    left, top, right, bottom = lid.box
    patch = _patch(lid.box, (base[..., top:bottom, left:right],), times, device)
    assert len(lid.shut) == LEVELS
    return Eye(patch, _atlas(_opaque(lid.shut), (lid.source[0] * times, lid.source[1] * times), device))
