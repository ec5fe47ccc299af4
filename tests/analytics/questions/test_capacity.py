"""Queues: the formulas against a simulation, and what they say of a service."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest

from analytics.questions.capacity import capacity, cost, service_times
from analytics.questions.queueing import Queue, queue_of, replicas_for
from analytics.questions.sentences import lint
from analytics.questions.simulate import poisson_arrivals, simulate
from tests.planted_incidents import incident

SHAPES = {"exponential": (1.0, 0.0), "lognormal": (0.0, 1.0), "constant": (0.0, 0.0)}
N = 40_000


def services(shape: str, seed: int = 3) -> np.ndarray:
    random = np.random.default_rng(seed)
    return {"exponential": random.exponential(1, N), "lognormal": random.lognormal(-0.5, 1, N), "constant": np.ones(N)}[shape]


def test_one_replica_with_exponential_times_waits_as_the_textbook_says() -> None:
    queue = Queue(rate=0.5, service=1.0, cs2=1.0)
    assert queue.waiting(1) == pytest.approx(0.5)
    assert queue.mean_wait(1) == pytest.approx(1.0)  # rho / (mu - lambda)
    assert Queue(1.8, 1.0, 1.0).waiting(2) == pytest.approx(0.852632, abs=1e-6)  # Erlang C tables
    assert math.isinf(Queue(2.0, 1.0, 1.0).mean_wait(2))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("replicas", "load"), [(1, 0.6), (1, 0.8), (4, 0.8), (12, 0.8)])
def test_waits_agree_with_the_simulation(shape: str, replicas: int, load: float) -> None:
    times = services(shape)
    queue = queue_of(times, np.ones(N), load * replicas / times.mean())
    seen = simulate(poisson_arrivals(queue.rate, N, 5), times, replicas)
    assert seen.utilisation == pytest.approx(queue.utilisation(replicas), rel=0.06)
    # Allen and Cunneen's mean is exact for one replica and for exponential times; else within a quarter (bench/capacity.py).
    assert queue.mean_wait(replicas) == pytest.approx(float(seen.waits.mean()), rel=0.25, abs=0.02)
    assert queue.late(seen.latency(0.95), replicas, times, np.ones(N)) == pytest.approx(0.05, abs=0.02)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("load", [0.5, 3.0, 9.0])
def test_the_number_of_replicas_holds_the_target_in_the_simulation(shape: str, load: float) -> None:
    times, target = services(shape), 4.0
    needed = replicas_for(queue_of(times, np.ones(N), load), target, 0.95, times, np.ones(N))
    assert needed is not None
    at = poisson_arrivals(load, N, 7)
    assert simulate(at, times, needed).latency(0.95) <= 1.15 * target
    if needed > 1:
        assert simulate(at, times, needed - 1).latency(0.95) > 0.85 * target


def test_a_target_below_the_work_itself_is_never_met() -> None:
    assert replicas_for(queue_of(services("exponential"), np.ones(N), 1.0), 1.0, 0.95, services("exponential"), np.ones(N)) is None


def test_a_queue_is_first_come_first_served() -> None:
    seen = simulate([0.0, 1.0, 1.5], [2.0, 2.0, 2.0], 1)
    assert seen.waits.tolist() == [0.0, 1.0, 2.5]
    assert simulate([0.0, 1.0, 1.5], [2.0, 2.0, 2.0], 3).waits.tolist() == [0.0, 0.0, 0.0]
    assert simulate([], [], 1).utilisation == 0.0
    for bad in ([0.0, 1.0], [1.0, 0.0, 2.0]):
        with pytest.raises(ValueError, match=r"service times|ascend"):
            simulate(bad, [1.0, 1.0, 1.0], 1)
    with pytest.raises(ValueError, match="at least one"):
        simulate([0.0], [1.0], 0)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    made = incident(None, 2000, 4).frame
    return made.assign(device_s=made["run_inference_ms"] / 1000)


def test_a_loads_replicas_come_from_the_observed_times(frame: pd.DataFrame) -> None:
    found = capacity(frame, load=60, target_s=20)
    assert found.service_s == pytest.approx(frame["run_inference_ms"].mean() / 1000)
    assert found.estimate is not None
    assert found.estimate > 60 / 60 * found.service_s
    assert 0.3 < (found.utilisation or 0) < 1
    assert found.observed is not None
    assert found.observed["replicas"] == 10
    assert found.observed["rate"] == pytest.approx(2000 / (24 * 60), rel=0.3)


def test_sampled_rows_are_more_requests_than_rows(frame: pd.DataFrame) -> None:
    even, sampled = capacity(frame, 60, 20), capacity(frame.assign(sampling_weight=10.0), 60, 20)
    assert even.observed is not None
    assert sampled.observed is not None
    assert sampled.observed["rate"] == pytest.approx(10 * even.observed["rate"])
    assert sampled.estimate == even.estimate


def test_time_without_waiting_is_taken_where_it_was_recorded(frame: pd.DataFrame) -> None:
    busy = frame.assign(run_inference_busy_ms=frame["run_inference_ms"] / 2)
    whole, half = (service_times(one, by=())[0] for one in (frame, busy))
    assert half.estimate == pytest.approx((whole.estimate or 0) / 2)


def test_stages_and_costs_by_setting(frame: pd.DataFrame) -> None:
    times = service_times(frame, by=("min_resolution",))
    assert {one.stage for one in times} == {"run_inference", "encode_video"}
    assert {one.setting.get("min_resolution") for one in times} == {None, 384, 512, 640, 768}
    costs = cost(frame, by=("department",))
    assert costs[0].estimate == pytest.approx(frame["device_s"].sum() / frame["video_s"].sum())
    assert all(one.interval is not None and one.interval[0] < (one.estimate or 0) < one.interval[1] for one in costs)
    assert cost(frame.drop(columns="device_s")) == ()


def test_no_data_and_bad_questions_have_answers(frame: pd.DataFrame) -> None:
    assert capacity(frame.head(0), 60, 20).verdict == "no_data"
    assert capacity(frame.head(5), 60, 20).verdict == "too_few"
    assert capacity(frame, 60, 0.1).estimate is None
    with pytest.raises(ValueError, match="above 0"):
        capacity(frame, 0, 20)
    assert service_times(frame.head(0)) == ()


def test_sentences_keep_the_contract(frame: pd.DataFrame) -> None:
    for found in (capacity(frame, 60, 20), capacity(frame, 60, 0.1), capacity(frame.head(3), 60, 20)):
        json.dumps(found.to_dict())
        assert lint(found.sentence()) == lint(found.sentence("zh")) == []
