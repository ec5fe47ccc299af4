"""Contact sheets of the renderer: what a face looks like at rest, in four sounds, in a blink and with its head turned.

    python -m bench.contact_sheet FOLDER OUT [--size 512] [--zoom] [--vary] [--jpg]

One sheet a picture in FOLDER, named after it. `--zoom` adds sheets of the mouth and the eyes alone, enlarged; `--vary` adds the
same face turned in the picture, darker, tinted and after strong JPEG compression. Nothing is measured here: the sheets are for
looking, and docs/faces.md shows those of the pictures that the project may ship.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw, ImageFont

from deployments.media.crop import crop_portrait
from deployments.media.picture import PictureLimits, decode_picture
from deployments.models.facemesh import EYE_LEFT, EYE_RIGHT, FaceMesh, Mesh, Pixels
from deployments.models.lite_render import COEFFICIENTS, prepare, render

EXPAND_RATIO = 0.18
"""The service's default margin."""
TURN = {"yaw": 0.8, "pitch": 0.5, "roll": 0.5}
POSES: dict[str, dict[str, float]] = {
    "portrait": {},
    "silence": {"yaw": 0.2},
    "m (lips pressed)": {"press": 1.0},
    "a (open)": {"open": 0.9, "lip_low": 0.35, "lip_up": 0.3},
    "i (spread)": {"open": 0.28, "lip_low": 0.5, "lip_up": 0.35, "wide": 0.9},
    "u (rounded)": {"open": 0.30, "round": 1.0},
    "o (open, rounded), half a blink": {"blink": 0.5, "open": 0.8, "round": 0.6, "lip_low": 0.3, "lip_up": 0.25},
    "blink, head turned": {"blink": 1.0, "open": 0.5, "brow": 0.5} | TURN,
}
"""Label and coefficients; about what speech gives in these sounds."""
VARIANTS: dict[str, Callable[[Pixels], Pixels]] = {
    "left20": lambda rgb: _rotated(rgb, 20),
    "right20": lambda rgb: _rotated(rgb, -20),
    "dark": lambda rgb: (rgb * 0.35).astype(np.uint8),
    "warm": lambda rgb: np.clip(rgb * np.array([1.15, 0.9, 0.6]), 0, 255).astype(np.uint8),
    "jpeg": lambda rgb: _recompressed(rgb, 20),
    "small": lambda rgb: cv2.resize(rgb, None, fx=0.4, fy=0.4, interpolation=cv2.INTER_AREA).astype(np.uint8),
}


def _rotated(rgb: Pixels, degrees: float) -> Pixels:
    height, width = rgb.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    return cv2.warpAffine(rgb, turn, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE).astype(np.uint8)


def _recompressed(rgb: Pixels, quality: int) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


def coefficients(pose: dict[str, float]) -> npt.NDArray[np.float32]:
    """One row of motion coefficients (1, len(COEFFICIENTS)) from those that are not 0."""
    return np.array([[pose.get(name, 0.0) for name in COEFFICIENTS]], np.float32)


def poses_of(pixels: Pixels, mesh: Mesh) -> list[Pixels]:
    """The portrait and its frames in the order of POSES, each (h, w, 3)."""
    scene = prepare(pixels, mesh, torch.device("cpu"))
    rows = np.concatenate([coefficients(pose) for pose in POSES.values()])
    return [pixels, *np.concatenate(list(render(scene, rows)))[1:]]


def sheet(tiles: list[Pixels], side: int, columns: int = 4) -> Image.Image:
    """The tiles, `side` px wide, with their labels."""
    small = [
        Image.fromarray(tile).resize((side, round(side * tile.shape[0] / tile.shape[1])), Image.Resampling.LANCZOS)
        for tile in tiles
    ]
    line, high = 18, small[0].height
    out = Image.new("RGB", (side * columns, (high + line) * -(-len(tiles) // columns)), "white")
    draw = ImageDraw.Draw(out)
    for i, (tile, label) in enumerate(zip(small, POSES, strict=True)):
        x, y = i % columns * side, i // columns * (high + line)
        out.paste(tile, (x, y + line))
        draw.text((x + 4, y + 2), label, fill="black", font=ImageFont.load_default(13))
    return out


def _around(mesh: Mesh, vertices: tuple[int, ...], wide: float, high: float, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns around the middle of the vertices, in outer eye distances, cut off at the picture's edge."""
    unit = float(np.linalg.norm(mesh[EYE_RIGHT] - mesh[EYE_LEFT]))
    x, y = mesh[list(vertices), :2].mean(0)
    top, bottom = max(0, int(y - high * unit)), min(shape[0], int(y + high * unit))
    left, right = max(0, int(x - wide * unit)), min(shape[1], int(x + wide * unit))
    return slice(top, bottom), slice(left, right)


def sheets_of(picture: Pixels, finder: FaceMesh, size: int, zoom: bool) -> Iterator[tuple[str, Image.Image]]:
    """Suffix and sheet: the whole crop, and with `zoom` mouth and eyes."""
    mesh, _ = finder.fit(picture, finder.detect(picture)[0])
    crop = crop_portrait(picture, mesh, expand_ratio=EXPAND_RATIO, min_resolution=size)
    tiles = poses_of(crop.pixels, crop.mesh)
    yield "", sheet(tiles, 320)
    if zoom:
        mouth = _around(crop.mesh, (13, 14, 17), 0.55, 0.45, crop.pixels.shape)
        eyes = _around(crop.mesh, (EYE_RIGHT, EYE_LEFT), 0.75, 0.28, crop.pixels.shape)
        yield "_mouth", sheet([tile[mouth] for tile in tiles], 400)
        yield "_eyes", sheet([tile[eyes] for tile in tiles], 600, columns=2)


def main() -> None:
    """Writes the sheets and prints their paths."""
    parser = argparse.ArgumentParser(prog="python -m bench.contact_sheet", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", type=int, default=512, help="short side of the crop, px")
    parser.add_argument("--zoom", action="store_true")
    parser.add_argument("--vary", action="store_true")
    parser.add_argument("--jpg", action="store_true", help="JPEG instead of PNG")
    parser.add_argument("--only", default="", help="part of the file name")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    finder = FaceMesh()
    pictures = (path for path in sorted(options.folder.iterdir()) if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    for path in (path for path in pictures if options.only in path.name):
        pixels = decode_picture(path, PictureLimits()).pixels
        changes = {"": lambda rgb: rgb} | (VARIANTS if options.vary else {})
        for change, made in changes.items():
            for suffix, image in sheets_of(made(pixels), finder, options.size, options.zoom):
                name = f"{path.stem}{'_' if change else ''}{change}{suffix}"
                target = options.out / f"{name}.{'jpg' if options.jpg else 'png'}"
                image.save(target, quality=72)  # under 200 KB for every portrait tried
                print(target)


if __name__ == "__main__":
    main()
