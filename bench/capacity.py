"""How far is the queueing formula from a simulated queue, and how much faster is it?

    python -m bench.capacity [--tiny]

The rival is the simulation of analytics.questions.simulate, request by request, which is right by construction. For each shape of
service times: the mean wait and the number of replicas that holds 95 % of the requests within eight mean service times.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from analytics.questions.queueing import queue_of, replicas_for
from analytics.questions.simulate import poisson_arrivals, simulate
from analytics.questions.stats import Floats
from bench.ratios import keep

TARGET, QUANTILE = 8.0, 0.95


def shapes(n: int) -> dict[str, Floats]:
    """Service times with mean 1 s and squared coefficients of variation 0, 0.33, 1, 1.7 and (two kinds of work) 3.2."""
    random = np.random.default_rng(3)
    two = np.where(random.random(n) < 0.1, random.uniform(4, 8, n), random.uniform(0.2, 0.7, n))
    made = {"constant": np.ones(n), "uniform": random.uniform(0, 2, n), "exponential": random.exponential(1, n),
            "lognormal": random.lognormal(-0.5, 1, n), "two kinds": two}  # fmt: skip
    return {name: times / times.mean() for name, times in made.items()}


def needed(times: Floats, rate: float) -> int:
    """The fewest replicas that hold the target in the simulation."""
    replicas = int(rate * times.mean()) + 1
    at = poisson_arrivals(rate, len(times), 7)
    while simulate(at, times, replicas).latency(QUANTILE) > TARGET:
        replicas += 1
    return replicas


def main() -> None:
    """Prints the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="short runs, to see that it works")
    n = 2_000 if parser.parse_args().tiny else 100_000
    ones = np.ones(n)
    for name, times in shapes(n).items():
        for replicas, load in ((1, 0.8), (4, 0.8), (16, 0.9)):
            queue = queue_of(times, ones, load * replicas)
            seen = float(simulate(poisson_arrivals(queue.rate, n, 5), times, replicas).waits.mean())
            ratio = queue.mean_wait(replicas) / seen
            print(f"{name:12} {replicas:3} replicas at {load:.0%}: mean wait {ratio:.2f} times the simulated")
    agreed = asked = 0
    formula = simulated = 0.0
    for times in shapes(n).values():
        for rate in (0.5, 3.0, 9.0):
            started = time.process_time()
            ours = replicas_for(queue_of(times, ones, rate), TARGET, QUANTILE, times, ones)
            formula += time.process_time() - started
            started = time.process_time()
            theirs = needed(times, rate)
            simulated += time.process_time() - started
            asked, agreed = asked + 1, agreed + (ours == theirs)
            if ours != theirs:
                print(f"  differs: {ours} replicas by the formula, {theirs} simulated, at {rate:g} requests a second")
    print(f"replicas needed: the same in {agreed} of {asked}; {simulated / formula:.0f} times faster than the simulation")
    keep("replicas needed, by the queueing formula: the same number", agreed / asked, "a simulated queue", at_least=0.9)
    keep("time of the formula", formula / simulated, "a simulated queue")


if __name__ == "__main__":
    main()
