"""A box on a picture becomes a filter that can be read and that the parser takes."""

from __future__ import annotations

import pytest

from analytics.columns import vocabulary
from analytics.filters import parse
from analytics.points import inside


def test_bounds_of_whole_numbers_move_inwards() -> None:
    made = inside({"inference_steps": (19.2, 30.9), "audio_drift_ms": (100.5, 180.25)})
    assert made == "inference_steps >= 20 && inference_steps <= 30 && audio_drift_ms >= 100.5 && audio_drift_ms <= 180.25"


@pytest.mark.parametrize("bounds", [(-1e-7, 2e8), (0, 0), (1.23456789, 1e12)])
@pytest.mark.parametrize("name", ["latency_s", "seed", "duration_drift_ms"])
def test_any_box_is_a_filter_that_can_be_read(name: str, bounds: tuple[float, float]) -> None:
    made = inside({name: bounds})
    assert parse(made, vocabulary()).text == made
