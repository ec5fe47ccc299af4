"""What breaks first at 10^4 to 10^7 videos a day, and what the configuration should be: a simulation with the service's own policy.

    python -m bench.scale_sim [--tiny] [--input ROWS.parquet] [--start-s 180] [--peak 2] [--per-day 10000 ...]

Requests come as a Poisson process whose rate swings over the day, each with the service time of a measured request, and wait for
inference replicas that `serve.scaling.decide` starts and stops: the same function, and the same rules as in serve/config.yaml. A
replica takes `--start-s` to be ready. All else (cores, table of jobs, telemetry, store) is reckoned from the rate at the peak and
what a job was measured to cost. Service times: `--input` (request rows with device_s, Parquet or CSV), else MEASURED.
"""

from __future__ import annotations

import argparse
import heapq
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from analytics.questions.capacity import FEWEST
from analytics.questions.stats import Floats
from bench.ratios import keep
from serve.scaling import WINDOW_S, Backlog, Memory, Replicas, Scaling, decide
from serve.settings import Settings

DAY_S = 86_400.0
LOOK_S = 1.0
"""As serve/autoscale.py."""
MOST_JOBS = 200_000
"""Jobs that are simulated at most: at 10^7 a day the 15 minutes around the steepest rise and the peak."""


@dataclass(frozen=True)
class Cost:
    """What one job costs: seconds of a replica (drawn from `inference_s`), and on average of the rest; measured on two cores."""

    inference_s: tuple[float, ...]
    cpu_s: float
    source: str
    pipeline_s: float = 0.41
    """In the pipeline beside inference: of the request in README.md."""
    table_s: float = 0.0037
    """Of SQLite's one writer: a row added, claimed, ten times noted, ended (200 jobs). PostgreSQL has many writers."""
    door_s: float = 0.0067
    """Of the one door, at least: two requests a job at the 3 ms that Ray takes for an empty one, and the row that is added."""
    spans: float = 5.9
    events: float = 12.8
    parquet_bytes: float = 2_450.0
    result_bytes: float = 110_000.0
    """These four: of the 91 requests in examples/incident, whose videos have 3.9 s and 224 px; larger ones grow with both."""
    journal_bytes: float = 26_900.0
    """Of the journal of a service that had made 40 videos of 4.3 s."""


MEASURED = Cost((1.51,), 1.89, "the request in README.md (7.1 s at 512 px, 25 steps, lite on a CPU; wall time, an upper bound)")
FORWARDER = 9_545.0
"""Events a second that a forwarder delivered to a real Elasticsearch on the same two cores (docs/stores.md)."""


@dataclass
class Fleet:
    """Replicas that take one job at a time, first come first served, and what was seen of them."""

    rules: Scaling
    least: int
    most: int
    start_s: float
    target: int = 0
    idle: int = 0
    busy: int = 0
    starting: list[float] = field(default_factory=list)
    leaving: int = 0
    changes: int = 0
    highest: int = 0
    replica_s: float = 0.0
    memory: Memory = field(default_factory=Memory)
    log: list[tuple[float, int, str]] = field(default_factory=list)

    def scale(self, now: float, backlog: Backlog) -> None:
        """Asks the policy. Those that start end first, then idle ones, then busy ones when they are done."""
        running = self.idle + self.busy - self.leaving
        decision = decide(self.rules, now, backlog, Replicas(running, self.target, self.least, self.most), self.memory)
        self.memory = decision.memory
        if decision.target != self.target:
            self.changes += 1
            self.log.append((now, decision.target, decision.reason))
        self.target = decision.target
        self.highest = max(self.highest, self.target)
        more = self.target - (running + len(self.starting))
        stay = min(max(more, 0), self.leaving)
        self.leaving -= stay
        for _ in range(more - stay):
            self.starting.append(now + self.start_s)
        for _ in range(-more):
            if self.starting:
                self.starting.pop()
            elif self.idle:
                self.idle -= 1
            else:
                self.leaving += 1


@dataclass(frozen=True)
class Run:
    """`waits`: seconds before inference, in the order of arrival. `highest`: replicas asked for at most."""

    waits: Floats
    highest: int
    changes: int
    utilisation: float
    ended_s: float
    log: list[tuple[float, int, str]]

    def wait(self, quantile: float) -> float:
        """The wait (s) at a quantile."""
        return float(np.quantile(self.waits, quantile)) if len(self.waits) else 0.0


def run(at: Sequence[float], work: Sequence[float], fleet: Fleet, *, until_s: float = 0.0, rate_before: float = 0.0) -> Run:
    """Each job of `work[i]` s comes at `at[i]` (ascending). Goes on until all are done, and to `until_s` at least.

    `rate_before`: jobs a second that came, and were done, in the time before.
    """
    usual = float(np.mean(work)) if len(work) else 0.0
    waits = np.zeros(len(at))
    queue: deque[int] = deque()
    window: deque[int] = deque()
    ends: list[tuple[float, float]] = []
    queued_s = ends_s = busy_s = came_s = 0.0
    place, now, tick = 0, 0.0, 0.0
    while place < len(at) or queue or ends or now < until_s:
        coming = at[place] if place < len(at) else math.inf
        ready = min(fleet.starting, default=math.inf)
        ended = ends[0][0] if ends else math.inf
        before, now = now, min(coming, ready, ended, tick)
        fleet.replica_s += (fleet.idle + fleet.busy) * (now - before)
        if now == ended:
            ends_s -= heapq.heappop(ends)[0]
            fleet.busy -= 1
            if fleet.leaving:
                fleet.leaving -= 1
            else:
                fleet.idle += 1
        elif now == ready:
            fleet.starting.remove(ready)
            fleet.idle += 1
        elif now == coming:
            queue.append(place)
            window.append(place)
            queued_s, came_s = queued_s + work[place], came_s + work[place]
            place += 1
        else:
            tick += LOOK_S
            while window and at[window[0]] < now - WINDOW_S:
                came_s -= work[window.popleft()]
            left_s = max(0.0, queued_s + ends_s - len(ends) * now)
            earlier = rate_before * max(0.0, WINDOW_S - now)
            came = len(window) + round(earlier), max(0.0, came_s) + earlier * usual
            fleet.scale(now, Backlog(len(queue) + len(ends), left_s, *came))
        while queue and fleet.idle:
            job = queue.popleft()
            queued_s -= work[job]
            waits[job] = now - at[job]
            heapq.heappush(ends, (now + work[job], work[job]))
            ends_s += now + work[job]
            busy_s += work[job]
            fleet.idle, fleet.busy = fleet.idle - 1, fleet.busy + 1
    return Run(waits, fleet.highest, fleet.changes, busy_s / fleet.replica_s if fleet.replica_s else 0.0, now, fleet.log)


def arrivals(per_day: float, peak: float, most: int, seed: int) -> tuple[Floats, float]:
    """Times of at most `most` requests (s), and the rate at the first: a day with its quietest hour first, at the peak `peak` times
    the mean, or as much of it before the peak as that many requests fill."""
    random = np.random.default_rng(seed)
    mean = per_day / DAY_S
    span = min(DAY_S, most / (mean * peak))
    start = 0.0 if span == DAY_S else DAY_S / 2 - span
    swing = min(peak - 1, 1.0)

    def rate(t: Floats | float) -> Floats:
        return mean * (peak / (1 + swing)) * (1 - swing * np.cos(2 * np.pi * (start + np.asarray(t)) / DAY_S))

    count = random.poisson(mean * peak * span)
    at = np.sort(random.uniform(0, span, count))
    return at[random.uniform(0, mean * peak, count) < rate(at)], float(rate(0.0))


def of_rows(path: Path) -> Cost:
    """What the jobs of a file of request rows cost. Raises SystemExit where there are too few."""
    frame = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    frame = frame[(frame["status"] == "ok") & frame["device_s"].gt(0)]
    if len(frame) < FEWEST:
        raise SystemExit(f"{path}: {len(frame)} requests with device_s; at least {FEWEST} are wanted")
    beside = [f"{stage}_busy_ms" for stage in ("load_audio", "preprocess_image", "encode_video", "measure_sync")]
    cpu_s = float(frame[[name for name in beside if name in frame]].sum(axis=1).mean() / 1000)
    return Cost(tuple(frame["device_s"].tolist()), cpu_s, f"{len(frame)} request rows of {path}")


@dataclass(frozen=True)
class Limit:
    """One resource: what the peak asks of it, what is configured, and what to do. `share` above 1: it breaks."""

    what: str
    asked: float
    there: float
    advice: str

    @property
    def share(self) -> float:
        """Asked of what is there."""
        return self.asked / self.there if self.there else math.inf


def limits(per_day: float, peak: float, cost: Cost, settings: Settings, highest: int) -> list[Limit]:
    """Every resource at the rate of the peak, the most loaded first."""
    rate = per_day * peak / DAY_S
    inference = float(np.mean(cost.inference_s))
    replicas = settings.stages["run_inference"].max_replicas
    beside = [one for name, one in settings.stages.items() if name not in ("run_inference", "recognize")]
    cores = sum(one.num_cpus * one.max_replicas for one in beside)
    nodes = max(1, math.ceil(rate * (cost.events + cost.spans) / FORWARDER / 0.5))
    doors = max(1, math.ceil(rate * cost.door_s / 0.5))
    running = rate * (inference + cost.pipeline_s)
    postgres = "PostgreSQL" if rate * cost.table_s > 0.5 else "SQLite is enough on one node, PostgreSQL on several"
    found = [
        Limit("inference replicas", highest, replicas, f"run_inference.max_replicas: {math.ceil(1.1 * highest)}"),
        Limit("cores of the other stages", rate * cost.cpu_s, cores, f"{math.ceil(rate * cost.cpu_s / 0.7)} cores for them"),
        Limit("jobs in the pipeline", running, settings.max_jobs_running, f"max_jobs_running: {math.ceil(1.5 * running) + 4}"),
        Limit("one door", rate * cost.door_s, 1.0, f"replicas of api: {doors}"),
        Limit("one writer of the table of jobs", rate * cost.table_s, 1.0, postgres),
        Limit("one forwarder", rate * (cost.events + cost.spans), FORWARDER, f"nodes that write journals: {nodes}"),
    ]
    return sorted(found, key=lambda one: -one.share)


def tell(per_day: float, peak: float, cost: Cost, settings: Settings, start_s: float, most_jobs: int) -> None:
    """Simulates one load twice (as many replicas as the policy wants; as configured) and prints what follows."""
    at, first = arrivals(per_day, peak, most_jobs, 7)
    work = np.random.default_rng(8).choice(np.array(cost.inference_s), len(at))
    stage, began = settings.stages["run_inference"], math.ceil(first * float(work.mean()) * 1.2) + 1
    free, bound = (
        run(at.tolist(), work.tolist(), Fleet(settings.scaling, 0, most, start_s, target=began, idle=began), rate_before=first)
        for most, began in ((1_000_000, began), (stage.max_replicas, min(began, stage.max_replicas)))
    )
    print(f"\n{per_day:,.0f} videos a day, {per_day * peak / DAY_S:.2f} a second at the peak ({len(at):,} simulated)")
    print(f"  replicas: {free.highest} wanted at most, {free.utilisation:.0%} busy, {free.changes} changes; wait of 95 % "
          f"{free.wait(0.95):.1f} s. With max_replicas {stage.max_replicas}: {bound.wait(0.95):,.1f} s")  # fmt: skip
    found = limits(per_day, peak, cost, settings, free.highest)
    broken = [one for one in found if one.share > 1]
    print(f"  breaks first: {found[0].what if broken else 'nothing'}" + "".join(f"; {one.what} {one.share:.2f}" for one in found))
    keep(f"{per_day:,.0f} videos a day: {found[0].what}", found[0].share, "what is configured")
    print(f"  configure: {'; '.join(one.advice for one in found)}")
    day = [f"{per_day * size / 1e9:,.2f} GB {what}" for what, size in
           (("journal", cost.journal_bytes), ("Parquet", cost.parquet_bytes), ("videos", cost.result_bytes))]  # fmt: skip
    print(f"  a day: {', '.join(day)}; {per_day * cost.events / 1e6:,.1f} M events, {per_day * cost.spans / 1e6:,.1f} M spans")


def main() -> None:
    """Prints one paragraph for each load."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="few jobs, to see that it works")
    parser.add_argument("--input", type=Path, help="request rows (Parquet or CSV) whose device_s and stage times are used")
    parser.add_argument("--start-s", type=float, default=180.0, help="seconds until a replica on a new node is ready")
    parser.add_argument("--peak", type=float, default=2.0, help="the peak's rate over the mean's, 1 to 2")
    parser.add_argument("--per-day", type=float, nargs="+", default=[1e4, 1e5, 1e6, 1e7])
    asked = parser.parse_args()
    if not 1 <= asked.peak <= 2:
        parser.error("--peak is between 1 (no swing) and 2 (nothing at night)")
    config = yaml.safe_load((Path(__file__).parents[1] / "serve" / "config.yaml").read_text())
    settings = Settings(**config["applications"][0]["args"])
    cost = of_rows(asked.input) if asked.input else MEASURED
    print(f"service times: {cost.source}")
    print(f"a job: {np.mean(cost.inference_s):.2f} s of a replica on average, {cost.cpu_s:.2f} s of other cores")
    for per_day in asked.per_day:
        tell(per_day, asked.peak, cost, settings, asked.start_s, 2_000 if asked.tiny else MOST_JOBS)


if __name__ == "__main__":
    main()
