"""The number of replicas follows the work, in a simulated time: up at once, down with patience, never back and forth."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from serve.backlog import Arrivals, Prices, backlog, past, seen, unfinished, units
from serve.jobs import JobTable
from serve.scaling import Backlog, Decision, Memory, Replicas, Scaling, decide, needed
from telemetry.decisions import DecisionLog, read_decisions

RULES = Scaling(target_s=60, slack=0.7, down_after_s=120, to_zero_after_s=600, start_s=60)
VALUES = {"model_name": "lite", "inference_steps": 25, "min_resolution": 512, "fps": 25.0}


@dataclass
class Fleet:
    """Replicas that take `start_s` to be ready, second by second."""

    start_s: float
    least: int = 0
    most: int = 8
    rules: Scaling = RULES
    now: float = 0.0
    target: int = 0
    running: int = 0
    coming: list[float] = field(default_factory=list)
    memory: Memory = field(default_factory=Memory)
    changes: list[tuple[float, int, str]] = field(default_factory=list)

    def step(self, work: Backlog | None) -> Decision:
        self.coming = [at for at in self.coming if at > self.now]
        self.running = max(0, self.target - len(self.coming))
        decision = decide(self.rules, self.now, work, Replicas(self.running, self.target, self.least, self.most), self.memory)
        if decision.target != self.target:
            self.changes.append((self.now, decision.target, decision.reason))
            self.coming += [self.now + self.start_s] * (decision.target - self.target)
            if decision.target < self.target:
                self.coming = self.coming[: max(0, decision.target - self.running)]
        self.target, self.memory, self.now = decision.target, decision.memory, self.now + 1
        return decision

    def run(self, seconds: int, work: Backlog | None) -> None:
        for _ in range(seconds):
            self.step(work)


def test_work_counts_and_not_requests() -> None:
    assert needed(Backlog(1, 240.0), 60, 0.8) == 1  # one long job cannot be shared
    assert needed(Backlog(8, 240.0), 60, 0.8) == 4
    assert needed(Backlog(500, 1.0), 60, 0.8) == 1  # five hundred of the smallest
    assert needed(Backlog(), 60, 0.8) == 0


def test_a_fleet_that_keeps_up_is_not_taken_for_idle() -> None:
    steady = Backlog(2, 3.0, came=450, came_s=675.0)  # 2.25 s of work a second, hardly anything of it waiting
    assert needed(steady, 60, 0.75) == 3
    assert needed(Backlog(0, 0.0, came=1, came_s=600.0), 60, 0.75) == 1  # one long job is no stream of them
    fleet = Fleet(start_s=180, target=3)
    fleet.run(3600, steady)
    assert fleet.target == 3
    assert len(fleet.changes) == 0


def test_up_at_once_and_back_to_zero_in_steps_that_hold() -> None:
    fleet = Fleet(start_s=5)
    fleet.run(30, Backlog(8, 240.0))
    fleet.run(200, Backlog(1, 10.0))
    fleet.run(700, Backlog())
    assert [(target, reason) for _, target, reason in fleet.changes] == [(4, "load"), (1, "less"), (0, "idle")]
    times = [at for at, _, _ in fleet.changes]
    assert times[0] == 0
    assert 30 + 120 <= times[1] <= 30 + 125
    assert times[2] >= 230 + 600
    fleet.run(1, Backlog(1, 1.0))
    assert fleet.target == 1  # and comes back when asked


def test_a_load_that_swings_around_a_threshold_moves_nothing() -> None:
    fleet = Fleet(start_s=5)
    for second in range(2000):
        fleet.step(Backlog(8, 125.0 if second % 20 < 10 else 110.0))  # 3 replicas, or 2
    assert fleet.changes == [(0.0, 2, "load")] or fleet.changes == [(0.0, 3, "load")]


def test_slow_replicas_are_neither_doubled_while_they_start_nor_thrown_away_after() -> None:
    fleet = Fleet(start_s=240)
    for second in range(240):  # what waits grows only because nobody works yet
        fleet.step(Backlog(40, 120.0 + second * 0.4))
    assert fleet.changes == [(0.0, 2, "load")]
    fleet.run(2 * 240, Backlog(1, 5.0))
    assert fleet.changes == [(0.0, 2, "load")], "they took 240 s to start, so they stay for 720"
    fleet.run(300, Backlog(1, 5.0))
    assert fleet.changes[-1][1:] == (1, "less")


def test_a_real_rush_is_answered_while_others_start() -> None:
    fleet = Fleet(start_s=240)
    fleet.run(10, Backlog(40, 120.0))
    fleet.run(1, Backlog(80, 400.0))
    assert fleet.target == 7


def test_nodes_that_never_come_do_not_hold_the_target() -> None:
    fleet = Fleet(start_s=1e9)
    fleet.run(10, Backlog(10, 300.0))
    fleet.run(280, Backlog(1, 5.0))
    assert fleet.target == 5
    fleet.run(30, Backlog(1, 5.0))
    assert fleet.target == 1


def test_an_unreadable_table_leaves_everything_as_it_is() -> None:
    fleet = Fleet(start_s=5)
    fleet.run(20, Backlog(8, 240.0))
    fleet.run(2000, None)
    assert fleet.target == 4


@pytest.mark.parametrize("load", [Backlog(100, 1e6), Backlog()])
def test_the_bounds_of_the_stage_hold(load: Backlog) -> None:
    fleet = Fleet(start_s=1, least=2, most=5)
    fleet.run(2000, load)
    assert fleet.target == (5 if load.jobs else 2)


def ended(seconds: float, device_s: float, **values: Any) -> dict[str, Any]:
    return {"values": VALUES | values, "result": {"device_s": device_s, "video_s": seconds}}


def test_prices_come_from_what_jobs_took() -> None:
    prices = Prices.of([ended(10.0, 5.0) for _ in range(5)] + [ended(10.0, 1.0, min_resolution=256) for _ in range(4)])
    assert prices.seconds(VALUES | {"duration_s": 20.0}) == pytest.approx(10.0)
    assert prices.seconds(VALUES) == pytest.approx(5.0)  # as long as a speech usually is
    # A kind of which too little is known costs by steps x seconds x pixels.
    known = 5.0 / units(VALUES, 10.0)
    assert prices.seconds(VALUES | {"inference_steps": 50, "duration_s": 10.0}) == pytest.approx(known * units(VALUES, 10.0) * 2)
    assert Prices.of([ended(10.0, 5.0)] * 4) == Prices()


def test_the_backlog_is_what_is_left_of_queued_and_running_jobs(tmp_path: Path, job: Any) -> None:
    table = JobTable(f"sqlite:///{tmp_path / 'jobs.db'}")
    for name in ("a", "b", "c"):
        table.add(job(name, values=VALUES | {"duration_s": 10.0}))
    claimed = table.claim("runner", 60)
    assert claimed is not None
    table.note(claimed["job_id"], "runner", frames=75, frames_total=100)
    prices = Prices({("lite", 25, 512, 25.0): 0.5})
    assert backlog(unfinished(table.engine), prices) == Backlog(3, pytest.approx(5.0 + 5.0 + 1.25))
    table.note(claimed["job_id"], "runner", frames=100)
    assert backlog(unfinished(table.engine), prices).jobs == 2
    assert past(table.engine) == []
    arrivals = Arrivals()
    for _ in range(2):  # each is counted once
        found = seen(table.engine, prices, arrivals)
        assert (found.came, found.came_s) == (3, pytest.approx(15.0))
    table.close()


def test_decisions_are_written_and_read_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("telemetry.decisions.MOST_BYTES", 100)
    log = DecisionLog(tmp_path)
    for second in range(6):
        log.write(at_ns=second, target=second, reason="load")
    found = [one["at_ns"] for one in read_decisions(tmp_path)]
    assert found == sorted(found)
    assert found[-1] == 5
    assert len(found) >= 3
    assert [one["at_ns"] for one in read_decisions(tmp_path, 4, 5)] == [4]


@pytest.mark.filterwarnings("ignore::pydantic.PydanticDeprecatedSince20")  # Ray's own models, when they are imported
def test_the_policy_that_serve_calls_scales_from_zero_and_says_why(tmp_path: Path, job: Any) -> None:
    from ray.serve._private.common import DeploymentID
    from ray.serve.config import AutoscalingContext

    from serve.autoscale import CostPolicy

    table = JobTable(f"sqlite:///{tmp_path / 'jobs.db'}")
    for name in ("a", "b"):
        table.add(job(name, values=VALUES | {"duration_s": 600.0}))
    policy = CostPolicy(str(tmp_path), {"target_s": 0.01})
    id = DeploymentID(name="run_inference", app_name="sonoscope")
    context = AutoscalingContext(
        deployment_id=id, deployment_name=id.name, app_name=id.app_name, current_num_replicas=0, target_num_replicas=0,
        running_replicas=[], total_num_requests=0, total_queued_requests=0, aggregated_metrics=None, raw_metrics=None,
        capacity_adjusted_min_replicas=0, capacity_adjusted_max_replicas=3, policy_state={}, last_scale_up_time=None,
        last_scale_down_time=None, current_time=None, config=None,
    )  # fmt: skip
    until = time.monotonic() + 10  # a thread reads the table
    while policy(context)[0] == 0 and time.monotonic() < until:
        time.sleep(0.01)
    assert policy(context)[0] == 2
    said = read_decisions(tmp_path)[-1]
    assert (said["target"], said["jobs"], said["reason"], said["stage"]) == (2, 2, "load", "run_inference")
    table.close()
