"""The colours of the charts are told apart by people who see no red or no green, and from the page in light and in dark."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from console.figures import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, YELLOW

# Machado, Oliveira and Fernandes (2009), "A Physiologically-based Model for Simulation of Color Vision Deficiency", severity 1.0,
# for linear RGB.
SIGHT = {
    "usual": np.eye(3),
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
}
TOGETHER = {
    "over time": (SKY, RED, ORANGE),
    "beyond a limit": (BLUE, ORANGE),
    "spans and their errors": (BLUE, RED),
    "error types": (RED, ORANGE, BLUE, GREEN, PURPLE, SKY, YELLOW, GREY),
}
"""Colours that stand beside each other in one chart and mean different things."""
APART = 10.0
"""CIE76 difference: four times what is just noticed (2.3; Sharma, Digital Color Imaging Handbook, 2003)."""
LIGHT, DARK = "#ffffff", "#0e1117"
"""Streamlit's backgrounds."""


def linear(colour: str) -> np.ndarray:
    """sRGB as linear light, 0 to 1 (IEC 61966-2-1)."""
    values = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(light: np.ndarray) -> np.ndarray:
    """CIE L*a*b* under D65."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x = to_xyz @ np.clip(light, 0, 1) / np.array([0.95047, 1.0, 1.08883])
    f = np.where(x > 0.008856, np.cbrt(x), 7.787 * x + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def contrast(one: str, other: str) -> float:
    """WCAG 2's contrast ratio."""
    light, dark = sorted((float(linear(colour) @ [0.2126, 0.7152, 0.0722]) for colour in (one, other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("chart", TOGETHER)
def test_colours_of_one_chart_are_told_apart(chart: str, sight: str) -> None:
    for one, other in combinations(TOGETHER[chart], 2):
        here, there = (lab(SIGHT[sight] @ linear(colour)) for colour in (one, other))
        assert np.linalg.norm(here - there) >= APART, (one, other)


def test_red_and_green_of_traffic_lights_would_fail() -> None:
    here, there = (lab(SIGHT["deuteranopia"] @ linear(colour)) for colour in ("#2ca02c", "#d62728"))
    usual = np.linalg.norm(lab(linear("#2ca02c")) - lab(linear("#d62728")))
    assert np.linalg.norm(here - there) < usual / 2


@pytest.mark.parametrize("background", [LIGHT, DARK])
@pytest.mark.parametrize("colour", [BLUE, RED])
def test_lines_and_dots_stand_out_from_the_page(colour: str, background: str) -> None:
    assert contrast(colour, background) >= 3.0  # WCAG 2.2, 1.4.11
