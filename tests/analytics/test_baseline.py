"""Is this stage slow for these settings?"""

from __future__ import annotations

from typing import Any

import pytest

from analytics.baseline import ENOUGH, Baseline, baselines
from analytics.requests import joined, load
from analytics.stores.base import Range

from .conftest import START, Service

LIKE = {"model_name": "lite", "device": "cpu", "inference_steps": 25, "min_resolution": 512, "fps": 25.0, "audio_s": 10.0}


def of_last(service: Service, **values: Any) -> Baseline:
    """The baseline of run_inference of one more request."""
    context = service.context(999)
    service.finish(context, START, **{**LIKE, **values})
    row = next(row for row in load(service.store).table.to_pylist() if row["request_id"] == context.request_id)
    with joined(service.store, Range()) as view:
        (found,) = baselines(view, row)
    return found


@pytest.fixture
def usual(service: Service) -> Service:
    """Twenty like requests whose inference took 3.0 to 3.95 s, and as many of other settings that took a minute."""
    for number in range(20):
        service.finish(service.context(number), START, **LIKE, run_inference_ms=3000.0 + 50 * number)
        other = {**LIKE, "inference_steps": 90, "audio_s": 300.0}
        service.finish(service.context(100 + number), START, **other, run_inference_ms=60_000.0)
    return service


def test_a_slow_stage_is_called_slow_with_the_usual_time(usual: Service) -> None:
    found = of_last(usual, run_inference_ms=9200.0)
    assert found.verdict == "slow"
    assert found.sentence == "run_inference took 9.2 s, usually 3.1–3.9 s (n = 20)"


def test_the_same_time_is_usual_for_heavier_settings(usual: Service) -> None:
    assert of_last(usual, run_inference_ms=60_000.0, inference_steps=90, audio_s=300.0).verdict == "usual"


def test_too_few_is_an_answer(usual: Service) -> None:
    found = of_last(usual, run_inference_ms=9200.0, device="cuda:0")
    assert (found.verdict, found.n) == ("too few", 0)
    assert found.sentence == "run_inference took 9.2 s; too few like requests to say what is usual (n = 0)"
    assert found.n < ENOUGH


def test_drills_are_no_measure_for_people_and_failures_for_nobody(usual: Service) -> None:
    assert of_last(usual, run_inference_ms=9200.0, synthetic=True).n == 0


def test_a_request_that_ran_no_stage_has_no_baseline(usual: Service) -> None:
    with joined(usual.store, Range()) as view:
        assert baselines(view, {"request_id": "x"}) == []
