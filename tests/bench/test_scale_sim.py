"""The simulator against what is known: the exact queue, Erlang's formula, the policy's own promises."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analytics.questions.queueing import Queue
from analytics.questions.simulate import poisson_arrivals, simulate
from bench.scale_sim import MEASURED, Fleet, arrivals, limits, of_rows, run
from serve.scaling import Scaling
from serve.settings import Settings

RULES = Scaling(target_s=60, down_after_s=120, to_zero_after_s=300, start_s=30)


def fixed(replicas: int) -> Fleet:
    return Fleet(RULES, replicas, replicas, 0.0, target=replicas, idle=replicas)


def test_with_a_fixed_number_of_replicas_it_is_the_exact_queue() -> None:
    at, work = poisson_arrivals(2.0, 3000, 1), np.random.default_rng(2).lognormal(0, 1, 3000)
    assert run(at.tolist(), work.tolist(), fixed(4)).waits == pytest.approx(simulate(at, work, 4).waits, abs=1e-9)


def test_its_mean_wait_is_that_of_erlangs_formula() -> None:
    at, work = poisson_arrivals(3.0, 40_000, 3), np.random.default_rng(4).exponential(1.0, 40_000)
    assert run(at.tolist(), work.tolist(), fixed(4)).waits.mean() == pytest.approx(Queue(3.0, 1.0, 1.0).mean_wait(4), rel=0.1)


def test_the_fleet_follows_the_load_up_and_back_to_none() -> None:
    found = run([0.0] * 60, [10.0] * 60, Fleet(RULES, 0, 20, 30.0), until_s=1500)
    targets = [target for _, target, _ in found.log]
    assert targets == sorted(set(targets), reverse=True)
    assert targets[0] == 10
    assert found.log[-1][1:] == (0, "idle")
    assert found.waits.max() == pytest.approx(30 + 5 * 10, abs=2)  # the start, then six rounds on ten replicas


def test_nothing_is_lost_while_the_fleet_shrinks() -> None:
    at = np.concatenate([np.linspace(0, 10, 100), np.linspace(400, 800, 40)])
    work = np.full(len(at), 8.0)
    fleet = Fleet(RULES, 0, 50, 5.0)
    found = run(at.tolist(), work.tolist(), fleet, until_s=2000)
    assert fleet.busy == fleet.idle == fleet.leaving == 0
    assert found.utilisation * fleet.replica_s == pytest.approx(work.sum())


def test_a_days_arrivals_have_their_mean_and_their_peak() -> None:
    at, first = arrivals(50_000, 2.0, 10**6, 5)
    assert len(at) == pytest.approx(50_000, rel=0.03)
    assert first == pytest.approx(0.0, abs=1e-9)
    noon = ((at > 0.45 * 86_400) & (at < 0.55 * 86_400)).sum() / 8640
    assert noon == pytest.approx(2 * 50_000 / 86_400, rel=0.05)


def test_service_times_come_from_request_rows(tmp_path: Path) -> None:
    rows = pd.DataFrame(
        {"status": "ok", "device_s": np.arange(1.0, 26.0), "encode_video_busy_ms": 400.0, "measure_sync_busy_ms": 100.0}
    )
    rows.to_csv(tmp_path / "rows.csv")
    cost = of_rows(tmp_path / "rows.csv")
    assert cost.inference_s == tuple(range(1, 26))
    assert cost.cpu_s == pytest.approx(0.5)
    rows.head(5).to_parquet(tmp_path / "few.parquet")
    with pytest.raises(SystemExit, match="5 requests"):
        of_rows(tmp_path / "few.parquet")


def test_what_breaks_first_is_what_is_asked_for_most() -> None:
    settings = Settings(max_jobs_running=4)
    found = limits(1e6, 2.0, MEASURED, settings, 60)
    assert [one.share for one in found] == sorted((one.share for one in found), reverse=True)
    assert {one.what for one in found if one.share > 1} >= {"inference replicas", "jobs in the pipeline"}
    assert max(one.share for one in limits(100, 2.0, MEASURED, settings, 1)) <= 1
