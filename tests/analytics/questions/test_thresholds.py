"""A step is called a step, a bend a bend and a line a line; thin evidence is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analytics.questions.report import analyze
from analytics.questions.threshold import Threshold

N = 2500


def form(drift: np.ndarray, steps: np.ndarray) -> Threshold:
    (one,) = analyze(pd.DataFrame({"inference_steps": steps, "audio_drift_ms": drift})).outcomes
    (found,) = one.thresholds
    return found


@pytest.fixture
def steps() -> np.ndarray:
    return np.random.default_rng(1).integers(5, 50, N)


def noise(kind: str, size: float) -> np.ndarray:
    rng = np.random.default_rng(2)
    drawn = {"normal": rng.normal(size=N), "heavy": rng.standard_t(2, N), "skewed": rng.lognormal(0, 0.8, N) - np.exp(0.32)}
    return size * drawn[kind]


@pytest.mark.parametrize("kind", ["normal", "heavy", "skewed"])
def test_a_step_is_a_step_whatever_the_noise(steps: np.ndarray, kind: str) -> None:
    found = form(100 + 30.0 * (steps >= 33) + noise(kind, 12), steps)
    assert (found.kind, found.at, found.side) == ("step", 33.0, "above")
    assert found.rise == pytest.approx(30, abs=3)


def test_a_step_among_few_values_lies_between_two_of_them() -> None:
    values = np.random.default_rng(3).choice([10, 15, 20, 25, 30, 40], N)
    found = form(50.0 * (values < 20) + noise("normal", 15), values)
    assert (found.kind, found.at, found.interval) == ("step", 20.0, (15.0, 20.0))


def test_a_hinge_is_a_hinge(steps: np.ndarray) -> None:
    found = form(4.0 * np.maximum(25 - steps, 0) + noise("normal", 10), steps)
    assert (found.kind, found.side) == ("hinge", "below")
    assert found.at == pytest.approx(25, abs=2)


def test_a_line_is_a_line_and_a_bow_no_threshold(steps: np.ndarray) -> None:
    assert form(2.0 * steps + noise("normal", 10), steps).kind == "line"
    assert form(0.1 * (steps - 25.0) ** 2 + noise("normal", 5), steps).kind in ("curve", "unclear")


def test_thin_evidence_is_refused() -> None:
    few = np.random.default_rng(4).integers(5, 50, 90)
    found = form(60.0 * (few < 20) + np.random.default_rng(5).normal(0, 10, 90), few)
    assert found.kind == "unclear"
    assert "too few" in found.warning
