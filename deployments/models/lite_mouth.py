"""What is seen between the lips.

A portrait that smiles shows its own teeth; elsewhere the inside of the mouth is painted from the face's own colours, so that a
painting or a grey photograph keeps its palette.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from deployments.models.facemesh import Mesh, Pixels
from deployments.models.lite_lines import Array, Lips, sample

LIPS_BODY = (11, 12, 72, 302, 15, 16, 85, 86, 315, 316)
"""Vertices in the middle of both lips."""
CHEEKS = (50, 280, 205, 425)
TOOTH_EDGES = (0.0, 0.085, 0.152, 0.220, 0.275, 0.320)
"""Borders of the upper teeth from the middle, in outer eye distances (90 mm): incisors 8.5 and 6.5 mm wide, canine, premolars
foreshortened by the arch."""


@dataclass(frozen=True)
class Inside:
    """What is behind the lips, at the renderer's oversampling: `floor` moves with the jaw, `teeth` (RGBA) with the skull."""

    floor: Pixels
    teeth: Pixels


def paint_inside(pixels: Pixels, mesh: Mesh, lips: Lips, unit: float, grid: Array) -> Inside:
    """Paints cavity, tongue and teeth on `grid` (rows, columns, 2: picture positions, px). Where the portrait shows its own teeth,
    they are taken."""
    along, below = lips.mouth.split(grid)
    fine = unit * float(grid.shape[1] - 1) / max(1e-6, float(np.abs(grid[0, -1] - grid[0, 0]).max()))  # texture px of one unit
    # Teeth and tongue do not follow each bend of the lips: their line is the parabola nearest to the lower lip's edge.
    across = np.linspace(-lips.mouth.right, lips.mouth.left, 41)
    line = np.polynomial.Polynomial.fit(across, lips.lower(across), 2)
    s, x, t = lips.mouth.s(along), along / unit, (below - line(along)) / unit
    colour, skin = _colour(pixels, mesh, LIPS_BODY), _colour(pixels, mesh, CHEEKS)
    ivory = _ivory(pixels, skin)
    teeth = _own_teeth(pixels, lips, unit, along, below) if lips.gap > 0 else _teeth(s, x, t, ivory, fine)
    return Inside(_floor(s, t, 0.6 * colour + 0.25 * skin, None if lips.gap > 0 else ivory, fine), teeth)


def _own_teeth(pixels: Pixels, lips: Lips, unit: float, along: Array, below: Array) -> Pixels:
    """What the portrait shows between its lips, drawn on behind the upper lip and ending softly at the lower one (RGBA)."""
    rim = 0.010 * unit  # next to the lips their own colour shines in
    upper, lower = lips.upper(along) + rim, lips.lower(along) - rim
    inside = np.clip(below, np.minimum(upper, lower), np.maximum(upper, lower))
    at = lips.mouth.centre + along[..., None] * lips.mouth.along + inside[..., None] * lips.mouth.down
    alpha = 255 * np.clip((lower - below) / rim + 1, 0, 1)
    return _eight_bit(np.concatenate([sample(pixels, at), alpha[..., None]], -1))


def _floor(s: Array, t: Array, flesh: Array, ivory: Array | None, fine: float) -> Pixels:
    """The cavity, darker towards the throat; the tongue; and the tips of the lower teeth (`ivory`), or the wet inside of the
    lower lip where the portrait shows its own teeth."""
    across = np.clip(1 - (s / 0.95) ** 2, 0, 1)
    throat = np.exp(-((s / 0.6) ** 2) - ((t + 0.13) / 0.07) ** 2)
    colour = flesh * np.array([1.0, 0.8, 0.8]) * ((0.13 + 0.20 * across) * (1 - 0.55 * throat))[..., None]
    dome = -0.115 * np.clip(1 - (s / 0.85) ** 2, 0, 1) + 0.025  # the tongue's back, seen over the lower lip
    depth = np.clip((t - dome) / 0.07, 0, 1)
    groove = 1 - 0.12 * np.exp(-((s / 0.07) ** 2)) * np.clip(depth, 0, 1)
    tongue = flesh * np.array([0.92, 0.66, 0.67]) * ((0.30 + 0.55 * across) * groove)[..., None]
    colour = colour + (tongue - colour) * (0.9 * depth * depth * (3 - 2 * depth))[..., None]
    # A grey picture must stay grey: the tint is taken back as far as the flesh has no colour.
    tint = min(1.0, float(np.ptp(flesh)) / 30)
    colour = tint * colour + (1 - tint) * colour.mean(-1, keepdims=True)
    if ivory is None:  # a smile's teeth stand close to the lower lip: what parts them is the lip's wet inside, not a black line
        colour += (flesh * 0.42 * (1 - 0.3 * tint * np.array([0, 1, 1])) - colour) * np.clip((t + 0.045) / 0.03, 0, 1)[..., None]
    else:
        edge = -0.015 * np.clip(1 - (s / 0.62) ** 2, 0, 1) ** 0.5 + 0.003 * np.cos(s * 33)
        row = np.clip((t - edge) / 0.010 + 0.5, 0, 1) * np.clip((0.58 - np.abs(s)) / 0.25, 0, 1)
        depth = (0.22 + 0.34 * np.clip((t - edge) / 0.03, 0, 1))[..., None]
        colour += (ivory * depth - colour) * (0.85 * row)[..., None]
    return _eight_bit(gaussian_filter(colour, (0.006 * fine, 0.006 * fine, 0)))


def _teeth(s: Array, x: Array, t: Array, ivory: Array, fine: float) -> Pixels:
    edges = np.array(TOOTH_EDGES)
    which = np.clip(np.searchsorted(edges, np.abs(x), side="right") - 1, 0, len(edges) - 2)
    left, right = edges[which], edges[which + 1]
    u = (np.abs(x) - left) / (right - left) * 2 - 1  # -1 to 1 across one tooth
    length = np.array([0.050, 0.043, 0.047, 0.038, 0.032])[which]
    bottom = length - 0.007 * np.abs(u) ** 3 - 0.012 * np.clip(s, -1, 1) ** 2
    shape = np.clip((bottom - t) / 0.006 + 0.5, 0, 1)
    corridor = np.clip(1 - np.abs(s / 0.92) ** 2.6, 0, 1)  # the cheeks' shadow at both ends of the row
    gaps = 1 - 0.30 * np.exp(-(((1 - np.abs(u)) / 0.10) ** 2)) * np.clip((t + 0.01) / 0.04, 0.25, 1)
    shade = corridor**0.8 * gaps * (1 - 0.10 * u**2)
    rgb = ivory * shade[..., None]
    alpha = 255 * shape * (corridor > 0)
    both = np.concatenate([rgb, alpha[..., None]], -1)
    return _eight_bit(gaussian_filter(both, (0.0045 * fine, 0.0045 * fine, 0)))


def _ivory(pixels: Pixels, skin: Array) -> Array:
    """Teeth under this portrait's light: about as bright as lit skin (brighter where skin is dark), with most of its tint."""
    grey = float(skin @ (0.299, 0.587, 0.114))
    white = float(np.percentile(pixels.max(-1), 98)) / 255  # a dark picture has dark teeth
    return np.clip((0.62 * grey + 72 * white) * (0.3 + 0.7 * skin / max(grey, 1.0)), 0, 235)


def _colour(pixels: Pixels, mesh: Mesh, vertices: tuple[int, ...]) -> Array:
    """Median colour of small patches at the vertices."""
    height, width = pixels.shape[:2]
    x = np.clip(mesh[list(vertices), 0].round().astype(int), 1, width - 2)
    y = np.clip(mesh[list(vertices), 1].round().astype(int), 1, height - 2)
    near = [pixels[y + dy, x + dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    return np.median(np.concatenate(near).astype(np.float64), axis=0)


def _eight_bit(colour: Array) -> Pixels:
    return np.clip(colour + 0.5, 0, 255).astype(np.uint8)
