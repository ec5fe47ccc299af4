"""How many replicas the work that waits asks for. Pure: what is seen goes in with its time, a number and its reason come out.

Work is counted in seconds of a replica, not in requests: one of 100 steps at 1024 px for a minute weighs as much as hundreds of the
smallest. The same function decides in Ray Serve's controller (serve/autoscale.py) and in the simulator (bench/scale_sim.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from pydantic import BaseModel, ConfigDict, Field


class Scaling(BaseModel):
    """When inference gets more replicas and fewer. Takes effect where a stage's max_replicas is above its min_replicas."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    target_s: float = Field(default=60.0, gt=0, description="seconds in which the replicas should be through what waits and runs")
    busy: float = Field(
        default=0.8, gt=0, le=1, description="share of the time that replicas work, at the rate at which work has come in lately"
    )
    slack: float = Field(
        default=0.7, gt=0, le=1, description="fewer replicas only where they would do with this share of target_s and of busy"
    )
    down_after_s: float = Field(default=120.0, ge=0, description="so long fewer must be enough before any goes")
    to_zero_after_s: float = Field(default=600.0, ge=0, description="so long nothing must be there before the last one goes")
    start_s: float = Field(
        default=60.0, ge=0, description="what a replica takes to start, until one has been seen to: node, image, weights"
    )


@dataclass(frozen=True)
class Backlog:
    """What waits and runs: `jobs` that still need inference, and their `seconds` of one replica.

    `came`: jobs that came in the last WINDOW_S, whatever has become of them, and `came_s` their seconds of a replica.
    """

    jobs: int = 0
    seconds: float = 0.0
    came: int = 0
    came_s: float = 0.0


@dataclass(frozen=True)
class Replicas:
    """`running` are ready; `target` is what was asked for last; both bounds are those of the stage."""

    running: int
    target: int
    least: int
    most: int


@dataclass(frozen=True)
class Memory:
    """What a decision needs of those before it. Times in s of the clock that `decide` is given."""

    rose_at: float | None = None
    start_s: float | None = None
    below_since: float | None = None
    peak: int = 0
    starting: bool = False


@dataclass(frozen=True)
class Decision:
    """`target` replicas because of `reason`: steady, load, starting, waiting, less, idle, unreachable. `wanted`: the load alone."""

    target: int
    wanted: int
    reason: str
    memory: Memory = field(default_factory=Memory)


WINDOW_S = 300.0
"""What comes in so long is the load that goes on. Without it a fleet that keeps up looks idle, is sent away, and is missed: in
bench/scale_sim.py (10^5 videos a day, 3 minutes to start) 95 % waited up to 165 s with 173 changes, with it 1.1 s and 10."""
LIVES = 3.0
"""A replica stays for as many times as long as it took to start: one that started in 4 minutes is not thrown away after two."""
GIVE_UP = 5.0
"""After so many times the usual start what has not come does not come: there is no such node to be had."""


def needed(backlog: Backlog, target_s: float, busy: float) -> int:
    """Replicas that are through the backlog in `target_s`, and that work `busy` of the time at the rate at which work comes in.

    At least one where there is a job, and for neither of the two more than there are jobs: one job cannot be shared.
    """
    through = math.ceil(backlog.seconds / target_s - 1e-9)
    steady = math.ceil(backlog.came_s / WINDOW_S / busy - 1e-9)
    return max(min(backlog.jobs, max(1, through)), min(backlog.came, steady))


def decide(rules: Scaling, now: float, backlog: Backlog | None, replicas: Replicas, memory: Memory) -> Decision:
    """The number of replicas to ask for now. Without a backlog (nobody could read it) everything stays as it is.

    `now`: seconds of any clock that only goes forward.
    """
    memory = _watched(memory, now, replicas)
    target = min(max(replicas.target, replicas.least), replicas.most)
    if backlog is None:
        return Decision(target, target, "unreachable", replace(memory, below_since=None, peak=0))
    wanted = _bounded(needed(backlog, rules.target_s, rules.busy), replicas)
    fewer = _bounded(needed(backlog, rules.target_s * rules.slack, rules.busy * rules.slack), replicas)
    if wanted > target:
        settled = replace(memory, below_since=None, peak=0)
        if memory.starting and memory.rose_at is not None:
            # What those that start would have done by now is no reason for more of them.
            undone = replace(backlog, seconds=backlog.seconds - target * (now - memory.rose_at))
            if _bounded(needed(undone, rules.target_s, rules.busy), replicas) <= target:
                return Decision(target, wanted, "starting", settled)
        return Decision(wanted, wanted, "load", replace(settled, rose_at=now, starting=True))
    if fewer >= target:
        return Decision(target, wanted, "steady", replace(memory, below_since=None, peak=0))
    return _down(rules, now, wanted, fewer, target, memory)


def _down(rules: Scaling, now: float, wanted: int, fewer: int, target: int, memory: Memory) -> Decision:
    """Fewer would do. They go once that has held for long enough, down to the most that was wanted meanwhile."""
    since = now if memory.below_since is None else memory.below_since
    memory = replace(memory, below_since=since, peak=max(memory.peak, fewer))
    usual = rules.start_s if memory.start_s is None else memory.start_s
    if memory.starting and memory.rose_at is not None and now - memory.rose_at < GIVE_UP * usual:
        return Decision(target, wanted, "starting", memory)
    wait = max(rules.down_after_s, LIVES * (memory.start_s or 0.0))
    if target == 1:
        wait = max(rules.to_zero_after_s, wait)
    if now - since < wait:
        return Decision(target, wanted, "waiting", memory)
    # The last one goes by itself, after its own wait.
    lower = max(memory.peak, 1) if target > 1 else 0
    reason = "idle" if lower == 0 else "less"
    return Decision(lower, wanted, reason, replace(memory, below_since=None, peak=0))


def _watched(memory: Memory, now: float, replicas: Replicas) -> Memory:
    """Notes how long the replicas that were asked for took to be ready."""
    if not memory.starting or replicas.running < replicas.target:
        return memory
    took = None if memory.rose_at is None else now - memory.rose_at
    return replace(memory, starting=False, start_s=memory.start_s if took is None else took)


def _bounded(count: int, replicas: Replicas) -> int:
    return min(max(count, replicas.least), replicas.most)
