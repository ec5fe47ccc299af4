"""A queue in front of equal replicas, simulated request by request: what the formulas of `capacity` are held against."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from analytics.questions.stats import Floats


@dataclass(frozen=True)
class Simulated:
    """`waits` and `services` of each request in s, in the order of arrival; `utilisation`: share of the replicas' time at work."""

    waits: Floats
    services: Floats
    utilisation: float

    def latency(self, quantile: float) -> float:
        """Wait and service together at a quantile (0 to 1), in s."""
        return float(np.quantile(self.waits + self.services, quantile))


def simulate(arrivals: ArrayLike, services: ArrayLike, replicas: int) -> Simulated:
    """First come, first served by whoever is free first (Kiefer and Wolfowitz, 1955).

    `arrivals`: times in s, ascending. Raises ValueError where lengths differ, times fall, or there is no replica.
    """
    at, work = np.asarray(arrivals, float), np.asarray(services, float)
    if len(at) != len(work):
        raise ValueError(f"{len(at)} arrivals, but {len(work)} service times")
    if replicas < 1:
        raise ValueError(f"{replicas} replicas: at least one is needed")
    if len(at) and (np.diff(at) < 0).any():
        raise ValueError("arrivals must ascend")
    free = [0.0] * replicas
    waits = np.empty(len(at))
    for k, (arrival, length) in enumerate(zip(at.tolist(), work.tolist(), strict=True)):
        start = max(arrival, free[0])
        heapq.heapreplace(free, start + length)
        waits[k] = start - arrival
    span = max(free) - float(at[0]) if len(at) else 0.0
    return Simulated(waits, work, float(work.sum()) / (replicas * span) if span > 0 else 0.0)


def poisson_arrivals(rate: float, n: int, seed: int = 0) -> Floats:
    """Times (s) of `n` arrivals at `rate` a second, each independent of the others."""
    return np.cumsum(np.random.default_rng(seed).exponential(1 / rate, n))
