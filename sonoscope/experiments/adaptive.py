"""The adaptive form of a sweep: Optuna chooses which combination to try next, and gives up on those that cannot win.

The sampler is seeded and is told the same again when an experiment is gone on with, so that the rows are all the state there is.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sonoscope.experiments.plan import Plan, PlanError, Run

if TYPE_CHECKING:
    import optuna

SURE = 0.1
"""p of the one-sided Wilcoxon test below which a combination counts as worse than the best; four blocks reach it, three do not."""
PATIENCE = 6
"""Combinations in a row that do not beat the best, after which the search ends."""

Measure = Callable[[Run], float | None]
"""Makes a run, or looks it up, and returns the outcome; None where it has none. Raises ArmFailed where the request failed."""


class ArmFailed(Exception):
    """A request of the combination failed: it cannot win."""


@dataclass
class Search:
    """What was found: the mean of the outcome by arm, of those tried on every block; `pruned` were given up after so many."""

    means: dict[str, float] = field(default_factory=dict)
    pruned: dict[str, int] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    stopped: str = ""

    @property
    def tried(self) -> int:
        """Combinations that were looked at."""
        return len(self.means) + len(self.pruned) + len(self.failed)


def search(plan: Plan, grid: Mapping[str, tuple[Any, ...]], trials: int, *, higher: bool, measure: Measure) -> Search:
    """Tries at most `trials` combinations of the grid on the blocks of the plan. `higher`: more of the outcome is better.

    Raises PlanError where Optuna is not installed.
    """
    study = _study(higher)
    by_arm: dict[str, list[Run]] = {}
    for run in sorted(plan.runs, key=lambda run: run.block):
        by_arm.setdefault(run.arm, []).append(run)
    order = sorted(by_arm)
    found, idle, asked = Search(), 0, 0
    while found.tried < min(trials, len(by_arm)):
        trial = study.ask()
        settings = {name: trial.suggest_categorical(name, list(levels)) for name, levels in grid.items()}
        arm = next(run.arm for runs in by_arm.values() for run in runs[:1] if _has(run, settings))
        asked += 1
        if _known(found, arm):
            # The sampler likes what is good; what it has seen already costs nothing, and the next untried one is put forward.
            study.tell(trial, found.means.get(arm), state=None if arm in found.means else _state("FAIL"))
            untried = next(other for other in order if not _known(found, other))
            study.enqueue_trial({name: by_arm[untried][0].settings[name] for name in grid})
            continue
        best = _best(found, higher)
        _try(study, trial, by_arm[arm], arm, found, measure)
        idle = 0 if _best(found, higher) != best else idle + 1
        if idle >= PATIENCE:
            found.stopped = f"{PATIENCE} combinations in a row did not beat the best"
            return found
    found.stopped = "every combination was tried" if found.tried == len(by_arm) else f"{trials} combinations were tried"
    return found


def _try(study: optuna.Study, trial: optuna.Trial, runs: list[Run], arm: str, found: Search, measure: Measure) -> None:
    values: list[float] = []
    try:
        for step, run in enumerate(runs):
            value = measure(run)
            if value is None:
                continue
            values.append(value)
            trial.report(value, step)
            if step + 1 < len(runs) and trial.should_prune():
                found.pruned[arm] = step + 1
                study.tell(trial, state=_state("PRUNED"))
                return
    except ArmFailed:
        values = []
    if not values:
        found.failed.append(arm)
        study.tell(trial, state=_state("FAIL"))
        return
    found.means[arm] = math.fsum(values) / len(values)
    study.tell(trial, found.means[arm])


def _study(higher: bool) -> optuna.Study:
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise PlanError("--adaptive needs Optuna: pip install 'sonoscope[sweep]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        pruner = optuna.pruners.WilcoxonPruner(p_threshold=SURE, n_startup_steps=2)
    sampler = optuna.samplers.TPESampler(seed=0, n_startup_trials=4)
    return optuna.create_study(sampler=sampler, pruner=pruner, direction="maximize" if higher else "minimize")


def _state(name: str) -> optuna.trial.TrialState:
    import optuna

    return optuna.trial.TrialState[name]


def _known(found: Search, arm: str) -> bool:
    return arm in found.means or arm in found.pruned or arm in found.failed


def _has(run: Run, settings: Mapping[str, Any]) -> bool:
    return all(run.settings[name] == value for name, value in settings.items())


def _best(found: Search, higher: bool) -> str | None:
    chosen = max if higher else min
    return chosen(found.means, key=found.means.__getitem__) if found.means else None
