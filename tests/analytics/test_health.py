"""Counts, rates and pictures of a stretch of time, and of the one before it."""

from __future__ import annotations

import pytest

from analytics.filters import parse
from analytics.health import health
from analytics.requests import joined
from analytics.stores.base import Range
from telemetry.errors import RequestError
from tests.analytics.conftest import SECOND, START, Service


@pytest.fixture
def busy(service: Service) -> Service:
    """100 requests a second apart: the second half has drifts of 150 ms and every tenth fails."""
    for number in range(100):
        late = number >= 50
        error = RequestError("out_of_memory", "Too little.", stage="run_inference") if late and number % 10 == 0 else None
        context, start = service.context(number), START + number * SECOND
        service.receive(context)
        drift = (
            {} if error else {"audio_drift_ms": 150.0 if late else 30.0, "sync_reason": "not_sure" if number == 1 else "measured"}
        )
        service.finish(context, start, error, inference_steps=25, run_inference_ms=float(number), **drift)
    return service


def test_a_range_is_compared_with_as_long_a_time_before(busy: Service) -> None:
    with joined(busy.store, Range()) as view:
        found = health(view, None, START + 50 * SECOND, START + 100 * SECOND)
    assert (found.now.requests, found.now.failed) == (50, 5)
    assert found.now.ended_well == pytest.approx(0.9)
    assert found.now.drifted == 1.0
    assert found.before is not None
    assert (found.before.requests, found.before.failed, found.before.drifted) == (50, 0, 0.0)


def test_without_a_range_everything_is_now_and_nothing_before(busy: Service) -> None:
    with joined(busy.store, Range()) as view:
        found = health(view)
    assert found.now.requests == 100
    assert found.before is None
    assert found.now.measured == 1.0
    assert found.now.not_sure == pytest.approx(1 / 95)
    assert found.errors.to_pylist() == [{"error_type": "out_of_memory", "failed_stage": "run_inference", "count": 5, "share": 0.05}]
    assert {row["from_ms"]: row["count"] for row in found.drift.to_pylist()} == {20.0: 50, 140.0: 45}
    assert sum(row["ok"] + row["failed"] + row["drifted"] for row in found.over_time.to_pylist()) == 100


def test_a_filter_narrows_everything(busy: Service) -> None:
    with joined(busy.store, Range()) as view:
        found = health(view, parse("run_inference_ms < 10"))
    assert found.now.requests == 10
    assert found.stages.to_pylist() == [
        {"stage": "run_inference", "n": 10, "p50_ms": 4.5, "p95_ms": pytest.approx(8.55), "p99_ms": pytest.approx(8.91)}
    ]


def test_nothing_is_a_result(service: Service) -> None:
    with joined(service.store, Range()) as view:
        found = health(view)
    assert found.now.requests == 0
    assert found.now.ended_well is None
    assert found.before is None
    assert found.stages.num_rows == found.drift.num_rows == found.over_time.num_rows == 0
