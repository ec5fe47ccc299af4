"""The plan of a sweep: every combination of a grid for every pair of portrait and recording, in blocks of one pair each."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from typing import Any

from sonoscope.experiments.plan import Plan, PlanError, Run, in_random_order, run_ids
from sonoscope.experiments.replayed import SEEDS, arm_of, changes

MOST_RUNS = 10_000
"""More requests than this are a slip of the keyboard, not an experiment."""


def grid_of(given: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """The levels by parameter of `--grid name=a,b,c`. Raises PlanError that names the parameter and its range."""
    if not given:
        raise PlanError("--grid is missing: name at least one, such as --grid inference_steps=5,10,25")
    grid: dict[str, tuple[Any, ...]] = {}
    for one in given:
        name, _, texts = one.partition("=")
        levels = [value for text in texts.split(",") for value in changes([f"{name}={text.strip()}"]).items()]
        name = levels[0][0]
        values = tuple(dict.fromkeys(value for _, value in levels))
        if name in grid:
            raise PlanError(f"--grid names {name} twice")
        grid[name] = values
    if all(len(levels) < 2 for levels in grid.values()):
        raise PlanError("--grid gives no parameter two values: there is nothing to compare")
    return grid


def plan_of(
    experiment: str,
    asked: dict[str, Any],
    pairs: Sequence[tuple[str, str]],
    grid: dict[str, tuple[Any, ...]],
    fixed: dict[str, Any],
    *,
    repeats: int,
    randomized: bool = True,
    rng: random.Random | None = None,
) -> Plan:
    """A plan over these pairs of assets. Within a block all arms have the same seed, another one in each block.

    `randomized` False: the order is chosen by what was seen before. Raises PlanError where it would be more than MOST_RUNS.
    """
    rng = rng or random.SystemRandom()
    if twice := sorted(grid.keys() & fixed.keys()):
        raise PlanError(f"{twice[0]} is in --grid and in --set: name it once")
    arms = [dict(zip(grid, levels, strict=True)) for levels in itertools.product(*grid.values())]
    if (count := len(arms) * len(pairs) * repeats) > MOST_RUNS:
        raise PlanError(f"this would be {count} requests, and {MOST_RUNS} are the most: use fewer values, or --adaptive")
    ids = iter(run_ids(experiment))
    labels = {"experiment": experiment, "randomized": randomized}
    blocks: list[list[Run]] = []
    for portrait, audio in pairs:
        for repeat in range(repeats):
            seed = {"seed": rng.randrange(SEEDS)}
            block = f"{portrait[:8]}/{audio[:8]}/{repeat + 1}"
            runs = [Run(next(ids), block, arm_of(arm), portrait, audio, seed | fixed | arm, labels) for arm in arms]
            blocks.append(runs)
    return Plan(experiment, "sweep" if randomized else "adaptive sweep", asked, in_random_order(blocks, rng), {})
