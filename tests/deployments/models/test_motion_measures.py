"""The measures of motion: each tells a good curve from a bad one."""

from __future__ import annotations

import numpy as np
import pytest

from deployments.models.protocol import SAMPLE_RATE
from deployments.models.training.measures import jitter, shut_in, silent_frames, widest_in


def test_closures_are_counted_by_their_spans() -> None:
    opening = np.full(50, 0.4)
    opening[[10, 20]] = 0.0
    spans = [(0.38, 0.42), (0.78, 0.82), (1.2, 1.24)]
    assert shut_in(opening, 25.0, spans) == [True, True, False]
    assert shut_in(opening, 25.0, [(9.0, 9.1)]) == []


def test_the_widest_opening_of_each_span_counts() -> None:
    opening = np.zeros(50)
    opening[10], opening[30] = 0.6, 0.2
    assert widest_in(opening, 25.0, [(0.3, 0.5), (1.1, 1.3)]) == [0.6, 0.2]


def test_jitter_is_what_lips_cannot_follow() -> None:
    time = np.arange(250) / 25
    slow = np.sin(2 * np.pi * 3 * time)
    assert jitter(slow, 25.0) < 0.001
    assert jitter(slow + 0.5 * np.sin(2 * np.pi * 11 * time), 25.0) == pytest.approx(0.2, abs=0.03)
    assert jitter(np.zeros(100), 25.0) == 0.0


def test_silent_frames_are_those_far_from_any_sound() -> None:
    samples = np.zeros(2 * SAMPLE_RATE, np.float32)
    samples[SAMPLE_RATE:] = 0.3 * np.random.default_rng(0).standard_normal(SAMPLE_RATE)
    silent = silent_frames(samples, 25.0, 50)
    assert silent[:21].all()
    assert not silent[22:].any()
