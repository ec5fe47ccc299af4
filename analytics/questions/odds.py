"""Odds ratios that exist even where events are few or one side has none: Firth's logistic regression, and Fisher's exact test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats as scipy_stats

from analytics.questions.result import Interval
from analytics.questions.stats import Floats, normal_quantile

EVENTS = 50
"""With fewer events (or non-events) the test of a failure is the penalised one: a robust Wald test is too sure of itself there."""
ROUNDS = 50
MAX_STEP = 3.0
"""Of a coefficient in one round: Heinze and Schemper's `logistf` limits it to 5; smaller steps cost a few rounds."""


@dataclass(frozen=True)
class Odds:
    """The ratio of the odds for one step of the regressor, its 95 % interval, and the penalised likelihood-ratio test's p."""

    ratio: float
    interval: Interval
    p: float


def firth(x: Floats, events: Floats, rest: Floats, weights: Floats) -> Odds:
    """Odds ratio of `x` (n,) on `events` (1 and 0), beside a constant and the columns of `rest` (n, k).

    Firth (1993), penalised likelihood by Jeffreys' prior; test by the penalised likelihood ratio (Heinze and Schemper, 2002), the
    interval by the Wald approximation. Weights have mean 1.
    """
    without = np.column_stack([np.ones(len(x)), rest])
    whole = np.column_stack([x, without])
    beta, covariance, likelihood = _maximum(whole, events, weights)
    # Heinze and Schemper: the null model is penalised by the information of the whole one, its coefficient held at 0.
    _, _, null = _maximum(whole, events, weights, hold_first=True)
    error = float(np.sqrt(covariance[0, 0]))
    reach = normal_quantile() * error
    ratio, low, high = (float(np.exp(np.clip(value, -50, 50))) for value in (beta[0], beta[0] - reach, beta[0] + reach))
    return Odds(ratio, (low, high), float(scipy_stats.chi2.sf(max(2 * (likelihood - null), 0.0), 1)))


def fisher(x: Floats, events: Floats) -> float:
    """p of Fisher's exact test: events among the rows above the median of `x` against the others (no weights, nothing held
    fixed)."""
    above = x > np.median(x)
    if not above.any():
        above = x >= np.median(x)
    table = [[int((events[side] == answer).sum()) for answer in (1, 0)] for side in (above, ~above)]
    return float(scipy_stats.fisher_exact(table).pvalue)  # pyright: ignore[reportAttributeAccessIssue]


def _maximum(x: Floats, y: Floats, weights: Floats, *, hold_first: bool = False) -> tuple[Floats, Floats, float]:
    """Coefficients, their covariance, and the penalised log-likelihood at the maximum."""
    free = np.arange(1 if hold_first else 0, x.shape[1])
    beta = np.zeros(x.shape[1])
    best = _likelihood(x, y, weights, beta)
    covariance = np.eye(x.shape[1])
    for _ in range(ROUNDS):
        share = _share(x @ beta)
        root = x * np.sqrt(weights * share * (1 - share))[:, None]
        covariance = np.linalg.pinv(root.T @ root)
        hat = ((root @ covariance) * root).sum(axis=1)
        score = x.T @ (weights * (y - share) + hat * (0.5 - share))
        step = np.zeros(len(beta))
        step[free] = np.linalg.pinv((root.T @ root)[np.ix_(free, free)]) @ score[free]
        step *= min(1.0, MAX_STEP / max(float(np.abs(step).max()), 1e-300))
        moved = _likelihood(x, y, weights, beta + step)
        while moved < best and float(np.abs(step).max()) > 1e-6:
            step /= 2
            moved = _likelihood(x, y, weights, beta + step)
        beta, best = beta + step, moved
        if float(np.abs(step).max()) < 1e-5:
            break
    return beta, covariance, best


def _likelihood(x: Floats, y: Floats, weights: Floats, beta: Floats) -> float:
    linear = x @ beta
    share = _share(linear)
    information = (x * (weights * share * (1 - share))[:, None]).T @ x
    sign, logdet = np.linalg.slogdet(information)
    penalty = 0.5 * logdet if sign > 0 else -1e6
    return float(weights @ (y * linear - np.logaddexp(0.0, linear))) + float(penalty)


def _share(linear: Floats) -> Floats:
    return 1 / (1 + np.exp(-np.clip(linear, -30, 30)))
