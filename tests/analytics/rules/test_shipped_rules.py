"""Each shipped rule over requests that it is about and over requests that it is not about, written by the real writers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from analytics.filters import parse
from analytics.record import Record, load
from analytics.requests import joined
from analytics.rules.engine import matches, survey
from analytics.rules.schema import SHIPPED, load_rules, read_rules
from analytics.stores.base import Range
from telemetry.errors import RequestError
from tests.analytics.conftest import SECOND, START, Service

RULES = {rule.id: rule for rule in read_rules(SHIPPED)}
GOOD: dict[str, Any] = {
    "inference_steps": 25, "fps": 25.0, "video_fps": 25.0, "duration_drift_ms": 20.0, "frozen_tail_ms": 40.0,
    "audio_drift_ms": 12.0, "audio_offset_ms": 12.0, "audio_start_ms": 0.0, "queue_wait_ms": 3.0,
    "sync_reason": "measured", "replica": "r1", "host": "h1",
    "portrait_hash": "a" * 64, "min_resolution": 512, "source_prefix": "batch/1",
}  # fmt: skip
ALONE: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "invisible_characters": ({"invisible_characters": ["U+200B"]}, [{}, {"invisible_characters": []}]),
    "duration_unlike_audio": ({"requested_duration_s": 9.0}, [{}, {"duration_s": 5.0}]),
    "few_steps": ({"inference_steps": 19}, [{"inference_steps": 20}, {"inference_steps": 5, "operation": "recognize"}]),
    "no_face": ({"error": "face_not_found"}, [{}, {"error": "image_undecodable"}]),
    "memory": ({"error": "out_of_memory"}, [{}, {"error": "replica_lost"}]),
    "resolution_lowered": ({"lowered_min_resolution": 320}, [{}]),
    # A request of the test takes two seconds.
    "long_queue": ({"queue_wait_ms": 5001.0}, [{"queue_wait_ms": 4900.0}, {"queue_wait_ms": 900.0}]),
    "clock_skew": ({"clock_skew": True}, [{}, {"clock_skew": False}]),
    "cut_tail": (
        {"duration_drift_ms": -1000.0},
        [{"duration_drift_ms": -41.0}, {"duration_drift_ms": 900.0}, {"duration_drift_ms": -900.0, "video_fps": 30.0}],
    ),
    "frozen_tail": ({"frozen_tail_ms": 1700.0}, [{"frozen_tail_ms": 480.0}]),
    "frames_relabelled": ({"video_fps": 24.0}, [{"video_fps": 25.01}, {"fps": 30.0, "video_fps": 30.0}, {"video_fps": None}]),
    "late_sound": ({"audio_start_ms": 120.0}, [{"audio_start_ms": 21.0}, {"audio_offset_ms": 120.0}]),
}
IN_GROUP = {
    "bad_replica": ({"audio_drift_ms": 150.0}, "replica", {"status": "error", "error": "image_undecodable"}),
    "low_confidence_path": ({"sync_reason": "not_sure"}, "source_prefix", {"sync_reason": "no_face"}),
}
RECOGNITION = {"operation": "recognize", "sync_reason": None, "fps": None, "video_fps": None, "inference_steps": None}


def write(service: Service, number: int, values: dict[str, Any]) -> None:
    """One whole request; `error` is the type of the error that it ends with."""
    given = {**GOOD, **values}
    kind = given.pop("error", None)
    error = RequestError(kind, "It broke.", stage="preprocess_image") if kind else None
    context = replace(service.context(number), operation=given.pop("operation", "generate"))
    service.receive(context, portrait_hash=given["portrait_hash"])
    service.finish(context, START + number * SECOND, error, **given)


def record(service: Service, number: int) -> Record:
    found = load(service.store, f"request-{number:04}")
    assert found is not None
    return found


def holding(service: Service, number: int) -> set[str]:
    """The rules that hold for a request."""
    with joined(service.store, Range()) as view:
        return {match.rule.id for match in matches(record(service, number), list(RULES.values()), view)}


def test_every_shipped_rule_is_tested_here() -> None:
    assert RULES.keys() == ALONE.keys() | IN_GROUP.keys()


@pytest.mark.parametrize("id", ALONE)
def test_a_rule_holds_for_what_it_is_about_and_for_nothing_else(service: Service, id: str) -> None:
    about, others = ALONE[id]
    for number, values in enumerate([about, *others]):
        write(service, number, values)
    assert id in holding(service, 0)
    for number in range(1, len(others) + 1):
        assert id not in holding(service, number), others[number - 1]


def test_nothing_holds_for_a_good_request(service: Service) -> None:
    write(service, 0, {})
    assert holding(service, 0) == set()


@pytest.mark.parametrize("id", IN_GROUP)
def test_a_rule_about_one_value_holds_where_that_value_is_worse_than_the_rest(service: Service, id: str) -> None:
    bad, field, other = IN_GROUP[id]
    for number in range(24):
        values = bad if number % 4 == 0 else other if number % 8 == 1 else {}
        write(service, number, {**values, field: f"v{number % 4}"})
    assert id in holding(service, 0)
    assert id not in holding(service, 1)
    assert id not in holding(service, 2)


def test_a_folder_whose_pictures_are_recognised_with_little_confidence_is_named(service: Service) -> None:
    for number in range(24):
        sure = number % 4 != 0
        write(service, number, {**RECOGNITION, "low_confidence": not sure, "source_prefix": f"v{number % 4}"})
    assert holding(service, 0) == {"low_confidence_path"}
    assert holding(service, 1) == set()


@pytest.mark.parametrize("id", IN_GROUP)
def test_a_rule_about_one_value_is_silent_where_all_values_are_alike(service: Service, id: str) -> None:
    bad, field, _ = IN_GROUP[id]
    for number in range(24):
        write(service, number, {**(bad if number % 3 == 0 else {}), field: f"v{number % 4}"})
    assert id not in holding(service, 0)


def test_a_group_of_one_value_has_nothing_to_be_worse_than(service: Service) -> None:
    for number in range(10):
        write(service, number, {"audio_drift_ms": 150.0})
    assert "bad_replica" not in holding(service, 0)


def test_a_survey_counts_every_rule_that_held(service: Service) -> None:
    for number in range(12):
        write(service, number, {"inference_steps": 10, "audio_drift_ms": 150.0 if number < 3 else 20.0} if number < 8 else {})
    with joined(service.store, Range()) as view:
        (found,) = survey(view, load_rules())
    assert (found.rule.id, found.n, found.held, found.rest) == ("few_steps", 8, 3, 0.0)
    assert len(found.counter) == 3
    with joined(service.store, Range()) as view:
        (among,) = survey(view, load_rules(), parse("audio_drift_ms > 100.0"))
    assert (among.n, among.held, among.rest) == (3, 3, None)
