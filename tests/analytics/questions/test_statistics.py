"""The statistics under everything: what weights mean, and that intervals hold what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats

from analytics.questions.adjust import model
from analytics.questions.design import Design
from analytics.questions.odds import firth
from analytics.questions.stats import (
    benjamini_hochberg,
    bootstrap_mean,
    difference_interval,
    effective_n,
    median_interval,
    share_interval,
    spearman,
    weighted_mean,
    weighted_quantile,
    weighted_ranks,
)

RNG = np.random.default_rng(0)
VALUES = RNG.normal(size=200).round(2)
WEIGHTS = RNG.integers(1, 5, 200)
REPEATED = np.repeat(VALUES, WEIGHTS)


@pytest.mark.parametrize("q", [0.05, 0.25, 0.5, 0.9])
def test_a_weight_of_three_is_three_rows(q: float) -> None:
    assert weighted_quantile(VALUES, q, WEIGHTS) == pytest.approx(weighted_quantile(REPEATED, q))
    assert weighted_mean(VALUES, WEIGHTS) == pytest.approx(REPEATED.mean())


def test_equal_weights_are_the_usual_statistic() -> None:
    other = VALUES + np.random.default_rng(1).normal(size=200)
    assert weighted_quantile(VALUES, 0.5) == pytest.approx(np.median(VALUES))
    assert spearman(VALUES, other)[0] == pytest.approx(scipy_stats.spearmanr(VALUES, other).statistic)
    assert np.argsort(weighted_ranks(VALUES), kind="stable").tolist() == np.argsort(VALUES, kind="stable").tolist()
    assert effective_n(np.full(7, 3.0)) == pytest.approx(7)
    assert effective_n([1.0, 0.0, 0.0]) == pytest.approx(1)


def test_nothing_and_constants_have_no_number() -> None:
    assert np.isnan(weighted_quantile([], 0.5))
    assert np.isnan(spearman([1.0, 2, 3, 4, 5], [1.0] * 5)[0])
    assert all(np.isnan(median_interval([1.0, 2.0])[1]))
    assert all(np.isnan(share_interval(0, 0)[1]))


def test_q_is_over_what_was_tested() -> None:
    assert benjamini_hochberg([0.01, None, 0.04]) == pytest.approx([0.02, None, 0.04])
    assert benjamini_hochberg([None]) == [None]


def test_differences_of_intervals() -> None:
    change, (low, high) = difference_interval((1.0, (0.0, 2.0)), (5.0, (2.0, 8.0)))
    assert (change, low, high) == pytest.approx((4.0, 4 - 10**0.5, 4 + 10**0.5))


def test_firth_is_finite_where_one_side_has_no_event() -> None:
    x = np.repeat([0.0, 1.0], 40)
    events = np.where(np.arange(80) >= 70, 1.0, 0.0)
    found = firth(x, events, np.empty((80, 0)), np.ones(80))
    # Firth in a 2 × 2 table adds a half to each cell: (10.5 / 30.5) / (0.5 / 40.5).
    assert found.ratio == pytest.approx((10.5 / 30.5) / (0.5 / 40.5), rel=1e-3)
    assert 0 < found.p < 0.01
    assert found.interval[0] < found.ratio < found.interval[1] < np.inf


def test_outliers_are_drawn_in_and_plain_noise_is_not() -> None:
    rng = np.random.default_rng(2)
    x = np.column_stack([np.ones(400), rng.normal(size=400)])
    noise = rng.normal(size=400)
    plain = model(Design(x, {"x": slice(1, 2)}), noise, np.ones(400), np.arange(400), robust=True)
    assert np.abs(plain.pseudo - noise).max() < 0.8
    wild = noise.copy()
    wild[:5] = 1e6
    assert np.abs(model(Design(x, {"x": slice(1, 2)}), wild, np.ones(400), np.arange(400), robust=True).pseudo).max() < 6


def covered(interval: tuple[float, float], truth: float) -> bool:
    return interval[0] <= truth <= interval[1]


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    """The short form of bench/coverage.py: 300 draws; 91 to 99 % is 3.2 standard errors about 95 %."""
    held = np.zeros((300, 4))
    for k in range(300):
        rng = np.random.default_rng(k)
        x, noise = rng.normal(size=80), rng.standard_t(3, 80)
        weights = rng.uniform(0.5, 2, 80)
        exposure = model(Design(np.ones((80, 1)), {}), 2 * x + noise, weights, np.arange(80), robust=True)
        held[k, 0] = covered(exposure.fit(x[:, None], frozenset()).contrast(np.ones(1)).interval, 2.0)
        held[k, 1] = covered(median_interval(noise, weights, seed=k)[1], 0.0)
        held[k, 2] = covered(bootstrap_mean((noise > 0).astype(float), weights, seed=k)[1], 0.5)
        held[k, 3] = covered(spearman(x, x + rng.normal(size=80))[1], 6 / np.pi * np.arcsin(0.5 / 2**0.5))
    assert (held.mean(axis=0) >= 0.91).all(), held.mean(axis=0)
    assert (held.mean(axis=0) <= 0.99).all(), held.mean(axis=0)
