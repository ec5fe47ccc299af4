"""What is tried again: errors that may pass by themselves, up to a limit, later each time; without memory, smaller."""

from typing import Any

import pytest

from serve.retry import LOWERED, another, lower_resolution, used
from telemetry.errors import ERROR_TYPES, RequestError


def row(**more: Any) -> Any:
    base = {"attempt": 1, "attempt_limit": 3, "cancel_requested": False, "values": {"min_resolution": 512, "advice": []}}
    return {**base, **more}


@pytest.mark.parametrize("kind", ERROR_TYPES)
def test_only_errors_that_may_pass_are_tried_again(kind: str) -> None:
    again = another(row(), RequestError(kind, "It failed."), 1.0)
    assert (again is not None) is ERROR_TYPES[kind].retriable


def test_the_wait_doubles_and_is_bounded() -> None:
    waits = [another(row(attempt=n, attempt_limit=10), RequestError("replica_lost", ""), 5.0) for n in range(1, 6)]
    assert [again.wait_s for again in waits if again] == [5, 10, 20, 40, 60]


def test_the_last_attempt_is_the_last() -> None:
    lost = RequestError("replica_lost", "")
    assert another(row(attempt=3), lost, 1.0) is None
    assert another(row(attempt_limit=1), lost, 1.0) is None
    assert another(row(attempt_limit=None), lost, 1.0) is None, "a job from before there were limits"


def test_a_cancelled_job_is_not_tried_again() -> None:
    assert another(row(cancel_requested=True), RequestError("replica_lost", ""), 1.0) is None


def test_without_memory_once_at_a_lower_resolution_and_it_says_so() -> None:
    full = RequestError("out_of_memory", "")
    again = another(row(), full, 1.0)
    assert again is not None
    assert again.values == {"min_resolution": 512, "lowered_min_resolution": 320, "advice": [LOWERED]}
    assert used(again.values)["min_resolution"] == 320
    assert another(row(attempt=2, values=again.values), full, 1.0) is None
    assert another(row(values={"min_resolution": 128}), full, 1.0) is None, "there is no lower one"


@pytest.mark.parametrize(("pixels", "lowered"), [(1024, 704), (512, 320), (192, 128), (128, None)])
def test_a_lower_resolution_is_about_half_the_area(pixels: int, lowered: int | None) -> None:
    assert lower_resolution(pixels) == lowered
