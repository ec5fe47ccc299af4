"""How long requests wait in front of equal replicas: Erlang's C and its two-moment correction for service times of any shape."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from analytics.questions.stats import Floats, weighted_quantile

MOST_REPLICAS = 10_000


@dataclass(frozen=True)
class Queue:
    """`rate`: arrivals a second. `service`: mean time of one request (s). `cs2`, `ca2`: squared coefficients of variation of the
    service times and of the times between arrivals (1 = Poisson)."""

    rate: float
    service: float
    cs2: float
    ca2: float = 1.0

    def utilisation(self, replicas: int) -> float:
        """Share of the replicas' time at work; from 1 on the queue grows without end."""
        return self.rate * self.service / replicas

    def waiting(self, replicas: int) -> float:
        """Probability that an arrival waits (Erlang C); 1 where the replicas cannot keep up."""
        load = self.rate * self.service
        if load >= replicas:
            return 1.0
        blocked = 1.0  # Erlang B by its recursion, which does not overflow
        for k in range(1, replicas + 1):
            blocked = load * blocked / (k + load * blocked)
        return blocked / (1 - load / replicas * (1 - blocked))

    def mean_wait(self, replicas: int) -> float:
        """Mean wait in s (Allen and Cunneen: Allen, Probability, Statistics and Queueing Theory, 1990); infinite without end."""
        if self.utilisation(replicas) >= 1:
            return math.inf
        return self.waiting(replicas) * self.service / (replicas * (1 - self.utilisation(replicas))) * (self.ca2 + self.cs2) / 2

    def wait_above(self, seconds: ArrayLike, replicas: int) -> Floats:
        """Probability of a wait longer than `seconds`: exponential in the tail, with the mean of `mean_wait` (Kingman, 1962)."""
        at, probability = np.asarray(seconds, float), self.waiting(replicas)
        mean = self.mean_wait(replicas)
        if not math.isfinite(mean):
            return np.ones_like(at)
        decay = probability / mean if mean > 0 else math.inf
        return np.where(at < 0, 1.0, probability * np.exp(-decay * np.maximum(at, 0.0)))

    def late(self, target: float, replicas: int, services: Floats, weights: Floats) -> float:
        """Share of the requests that take longer than `target` s, waiting and being served."""
        return float(weights @ self.wait_above(target - services, replicas) / weights.sum())


def queue_of(services: Floats, weights: Floats, rate: float, ca2: float = 1.0) -> Queue:
    """The queue of observed service times (s) at a rate of arrivals (1/s)."""
    mean = float(weights @ services / weights.sum())
    variance = float(weights @ (services - mean) ** 2 / weights.sum())
    return Queue(rate, mean, variance / (mean * mean), ca2)


def replicas_for(queue: Queue, target: float, quantile: float, services: Floats, weights: Floats) -> int | None:
    """The fewest replicas that end `quantile` of the requests within `target` s; None where no number does."""
    if weighted_quantile(services, quantile, weights) > target:
        return None
    low = max(1, math.floor(queue.rate * queue.service) + 1)
    high = low
    while queue.late(target, high, services, weights) > 1 - quantile:
        low, high = high + 1, high * 2
        if high > MOST_REPLICAS:
            return None
    while low < high:
        middle = (low + high) // 2
        if queue.late(target, middle, services, weights) > 1 - quantile:
            low = middle + 1
        else:
            high = middle
    return high
