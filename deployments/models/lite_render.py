"""Draws frames from motion coefficients: moves the portrait's pixels, parts the lips, lowers the lids.

A frame is a matrix product (coefficients x displacement fields = where each pixel takes its colour from) and one lookup a pixel in
the prepared portrait. The mouth is a small patch with two sheets, upper and lower lip, over teeth and the mouth's floor; a blinking
eye is a patch with a picture for each step of the blink.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt
import torch

from deployments.models.facemesh import Pixels
from deployments.models.lite_copies import Copies, taken_off, to_device
from deployments.models.lite_face import FIELDS
from deployments.models.lite_lids import LEVELS
from deployments.models.lite_scene import Mouth, Patch, Scene, prepare

__all__ = ["CHUNK", "COEFFICIENTS", "Scene", "controls", "prepare", "render"]

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

ROUND = 1 + FIELDS.index("round")
"""Column of the weights."""
CHUNK = 25
"""Frames of one chunk: a second at 25 fps, as the encoder's queue expects; 20 MB at 512 px."""


def controls(coefficients: npt.NDArray[np.float32], gap: float) -> npt.NDArray[np.float32]:
    """Coefficients (n, len(COEFFICIENTS)) as weights of (1, FIELDS..., blink): (n, len(FIELDS) + 2).

    `gap` is the portrait's own opening in units of `open`. Up to there, opening means undoing `close`; beyond, the jaw drops.
    """
    column = {name: coefficients[:, i] for i, name in enumerate(COEFFICIENTS)}
    opening = column["open"]
    close = np.zeros_like(opening) if gap == 0 else np.clip(1 - opening / gap, 0, 1)
    jaw = np.maximum(opening - gap, 0)
    made = {"jaw": jaw, "jaw_round": jaw * np.clip(column["round"], 0, 1), "close": close}
    rows = [made.get(name, column.get(name)) for name in FIELDS]
    return np.stack([np.ones_like(opening), *rows, column["blink"]], 1).astype(np.float32)


def render(scene: Scene, coefficients: npt.NDArray[np.float32]) -> Iterator[Pixels]:
    """Chunks of at most CHUNK frames (n, h, w, 3) uint8, C-contiguous, each a buffer of its own.

    `coefficients` is (n_frames, len(COEFFICIENTS)). Runs in the caller's thread and with the caller's torch settings. A GPU draws
    the next chunk while one is copied.
    """
    device = scene.words.device
    starts = range(0, len(coefficients), CHUNK)
    chunks = (torch.from_numpy(controls(coefficients[start : start + CHUNK], scene.gap)) for start in starts)
    if device.type == "cpu":
        yield from (on_host(scene, weights) for weights in chunks)
    else:
        yield from taken_off((on_device(scene, weights) for weights in chunks), Copies(device))


@torch.inference_mode()
def on_host(scene: Scene, weights: torch.Tensor) -> Pixels:
    """Frames (n, h, w, 3) of weights as `controls` gives them, put together on the host."""
    frames = np.empty((len(weights), *scene.still.shape), np.uint8)
    top, bottom = scene.bands[0].rows.start, scene.bands[-1].rows.stop
    frames[:, :top], frames[:, bottom:] = scene.still[:top], scene.still[bottom:]
    for place, words in drawn(scene, weights):
        frames[place] = _pixels(words)
    return frames


@torch.inference_mode()
def on_device(scene: Scene, weights: torch.Tensor) -> torch.Tensor:
    """The same frames to the bit, put together on the scene's device, where they stay: three bytes a pixel have to be copied."""
    canvas = scene.words.repeat(len(weights), 1, 1)
    for (which, rows, columns), words in drawn(scene, weights):
        frames = which if isinstance(which, slice) else to_device(torch.from_numpy(which), canvas.device)
        canvas[frames, rows, columns] = words
    return canvas.view(torch.uint8).view(*canvas.shape, 4)[..., :3].contiguous()


Place = tuple[slice | npt.NDArray[np.int64], slice, slice]
"""Frames, rows and columns."""


def drawn(scene: Scene, weights: torch.Tensor) -> Iterator[tuple[Place, torch.Tensor]]:
    """Parts of the frames in the order in which they lie over each other, from weights as `controls` gives them (on the host):
    where they belong, and int32 words (n, rows, columns) of R, G, B and any. Nothing in it waits for a GPU."""
    device = scene.words.device
    plain = to_device(weights[:, :-1].contiguous(), device)
    for band in scene.bands:
        yield (slice(None), band.rows, band.columns), _shaped(band, scene.atlas.look_up(band.sheets[0].positions(plain)))
    for patch in scene.mouth.patches:
        yield (slice(None), patch.rows, patch.columns), _shaped(patch, _mouth(scene.mouth, patch, plain))
    level = (weights[:, -1].clamp(0, 1) * LEVELS).round().to(torch.int32)
    blinking = torch.nonzero(level)[:, 0]
    if len(blinking):
        page, some = to_device(level[blinking, None] - 1, device), plain[to_device(blinking, device)]
        which = blinking.numpy()
        for eye in scene.eyes:
            words = eye.shut.look_up(eye.patch.sheets[0].positions(some), page)
            yield (which, eye.patch.rows, eye.patch.columns), _shaped(eye.patch, words)


def _pixels(words: torch.Tensor) -> Pixels:
    """Words (n, rows, columns) as RGB bytes (n, rows, columns, 3). By OpenCV: torch's own copy of three bytes of four took 40 % of
    all drawing."""
    n, rows, columns = words.shape
    rgba = words.cpu().numpy().view(np.uint8).reshape(n * rows, columns, 4)
    return np.asarray(cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB), np.uint8).reshape(n, rows, columns, 3)


def _shaped(patch: Patch, words: torch.Tensor) -> torch.Tensor:
    return words.view(len(words), patch.rows.stop - patch.rows.start, patch.columns.stop - patch.columns.start)


def _bytes(words: torch.Tensor) -> torch.Tensor:
    """Words (n, p) as float (n, p, 4)."""
    return words.view(torch.uint8).view(*words.shape, 4).to(torch.float32)


def _mouth(mouth: Mouth, patch: Patch, weights: torch.Tensor) -> torch.Tensor:
    """Lower lip over upper lip over teeth over the mouth's floor, in the lips' shadow: words (n, p)."""
    at = [sheet.positions(weights) for sheet in patch.sheets]
    pictures = (mouth.upper, mouth.lower, mouth.teeth, mouth.floor)
    up, low, teeth, floor = (_bytes(picture.look_up(where)) for picture, where in zip(pictures, at, strict=True))
    under, over = up[..., 3:] - 128, low[..., 3:] - 128  # steps below the upper lip's edge and below the lower lip's
    inner = torch.lerp(floor, teeth, teeth[..., 3:] / 255)
    light = (0.30 + under / 160).clamp_(0.30, 1) * (0.65 - over / 300).clamp_(0.65, 1)
    light = light * (1 - 0.45 * weights[:, ROUND, None, None]).clamp_(0.4, 1)  # rounded lips stand out and keep the light off
    inner *= 1 - mouth.shade + mouth.shade * light
    # The upper sheet reaches one pixel past its edge, so that nothing shines through where shut lips meet.
    inner = torch.lerp(inner, up, (1.5 - under * mouth.px).clamp_(0, 1))
    inner = torch.lerp(inner, low, (over * mouth.px + 0.5).clamp_(0, 1))
    return inner.add_(0.5).to(torch.uint8).view(torch.int32)[..., 0]
