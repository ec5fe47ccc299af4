"""A share of the traffic at another setting: drawn in blocks, never against what a client asked for, and read as a cause."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from analytics.questions.trials import effects, trials
from serve.schema import parse_order
from serve.settings import Settings
from serve.traffic import AS_IT_WAS, Assignment, TrafficExperiment

FASTER = TrafficExperiment(name="fewer-steps", share=0.25, parameters={"inference_steps": 15})


def admitted(assignment: Assignment, **given: Any) -> dict[str, Any]:
    values = parse_order(given)
    return values | assignment.of(values, given)


BLOCKS = [(0.25, (4, 1)), (0.5, (2, 1)), (0.1, (10, 1)), (0.01, (100, 1)), (0.4, (5, 2)), (0.99, (100, 99))]


@pytest.mark.parametrize(("share", "block"), BLOCKS)
def test_every_block_has_both_arms_in_the_share_that_was_asked_for(share: float, block: tuple[int, int]) -> None:
    assert TrafficExperiment(name="e", share=share, parameters={"fps": 20}).block == block


def test_a_request_gets_its_arm_and_the_labels_that_say_so() -> None:
    assignment = Assignment(FASTER, lambda size, changed: [False] * (size - changed) + [True] * changed)
    rows = [admitted(assignment) for _ in range(8)]
    assert [row["inference_steps"] for row in rows] == [15, 25, 25, 25, 15, 25, 25, 25]
    assert [row["arm"] for row in rows[:2]] == ["inference_steps=15", AS_IT_WAS]
    assert all(row["randomized"] is True and row["experiment"] == "fewer-steps" for row in rows)
    assert len({row["block"] for row in rows[:4]}) == 1
    assert rows[0]["block"] != rows[4]["block"]


def test_the_order_inside_a_block_is_random() -> None:
    assignment = Assignment(FASTER)
    arms = [[admitted(assignment)["arm"] != AS_IT_WAS for _ in range(4)] for _ in range(80)]
    assert all(sum(block) == 1 for block in arms)
    assert len({block.index(True) for block in arms}) == 4  # one place in four missed by chance: 4 * 0.75**80


@pytest.mark.parametrize("given", [{"inference_steps": "30"}, {"experiment": "mine"}, {"replay_of": "r1"}, {"synthetic": "true"}])
def test_what_somebody_asked_for_is_never_changed(given: dict[str, Any]) -> None:
    row = admitted(Assignment(FASTER), **given)
    assert row == parse_order(given) | {"seed": row["seed"]}


def test_it_may_be_kept_to_a_department() -> None:
    assignment = Assignment(FASTER.model_copy(update={"department": "claims"}))
    assert assignment.of({"inference_steps": 25, "department": "sales"}, {}) == {}
    assert assignment.of({"inference_steps": 25, "department": "claims"}, {})["experiment"] == "fewer-steps"


def test_without_an_experiment_nothing_is_touched() -> None:
    assert Assignment(None).of({"inference_steps": 25}, {}) == {}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"parameters": {"inference_steps": 500}}, "inference_steps must be"),
        ({"parameters": {"seed": 1}}, "seed cannot be"),
        ({"parameters": {"stepz": 1}}, "stepz is not a parameter"),
        ({"parameters": {}}, "at least 1 item"),
        ({"share": 1.0}, "less than or equal to 0.99"),
        ({"name": "two words"}, "match pattern"),
    ],
)
def test_a_bad_experiment_is_refused_before_the_service_starts(change: dict[str, Any], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        Settings(traffic_experiment=FASTER.model_dump() | change)  # pyright: ignore[reportArgumentType]


def traffic(effect_ms: float, seed: int = 3) -> pd.DataFrame:
    """400 requests whose clients choose their resolution by themselves, which costs drift; the experiment changes the steps."""
    random = np.random.default_rng(seed)
    places = iter(random.integers(0, 4, 200).tolist())  # as `shuffled`, and the same at every run
    assignment = Assignment(FASTER, lambda size, changed: np.roll([True] + [False] * 3, next(places)).tolist())
    rows: list[dict[str, Any]] = []
    for number in range(400):
        size = int(random.choice([256, 512]))
        row = admitted(assignment, min_resolution=size)
        drift = 100.0 + (60.0 if size == 256 else 0.0) + (effect_ms if row["arm"] != AS_IT_WAS else 0.0) + random.normal(0, 10)
        rows.append({**row, "request_id": str(number), "status": "ok", "audio_drift_ms": drift})
    return pd.DataFrame(rows)


def test_live_traffic_answers_what_the_change_causes_and_nothing_else() -> None:
    """The clients' own choice of resolution goes with far more drift, and nobody drew it at random: it is no finding here."""
    frame = traffic(40.0)
    (found,) = [one for one in effects(frame, "fewer-steps") if one.to_dict()["outcome"] == "audio_drift_ms"]
    told = found.to_dict()
    assert told["word"] == "causes"
    assert "inference_steps = 15 instead of as it was causes audio_drift_ms" in told["sentence"]
    assert told["interval"][0] < 40.0 < told["interval"][1]
    assert trials(frame)[0].factors == ("inference_steps",)
    (nothing,) = [one.to_dict() for one in effects(traffic(0.0), "fewer-steps") if one.to_dict()["outcome"] == "audio_drift_ms"]
    assert nothing["word"] == "not shown"
