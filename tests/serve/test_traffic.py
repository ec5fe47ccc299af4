"""A share of live traffic with another setting: whom it may touch, in which blocks, and what is refused."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from analytics.questions.experiment import experiment
from serve.admission import Admission
from serve.jobs import JobTable
from serve.settings import Settings
from serve.traffic import AS_IT_WAS, Traffic, TrafficExperiment
from serve.uploads import AssetStore
from telemetry import fields
from telemetry.redact import Redactor
from telemetry.segments import read_lines
from telemetry.tracing import setup
from tests.serve.test_admission import form, request

STEPS = {"name": "steps-10", "share": 0.2, "settings": {"inference_steps": 10}}


def drawn(count: int, asked: tuple[str, ...] = (), labels: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    traffic = Traffic(TrafficExperiment.model_validate(STEPS), random.Random(7))
    return [traffic.draw(asked, labels) for _ in range(count)]


def test_each_block_has_its_share_in_both_arms_and_the_place_is_drawn() -> None:
    made = drawn(500)
    blocks: dict[str, list[str]] = {}
    for one in made:
        blocks.setdefault(one["block"], []).append(one["arm"])
    assert len(blocks) == 100
    assert all(Counter(arms) == {"inference_steps=10": 1, AS_IT_WAS: 4} for arms in blocks.values())
    places = Counter(arms.index("inference_steps=10") for arms in blocks.values())
    assert len(places) == 5
    assert all(one.get("inference_steps") == (10 if one["arm"] != AS_IT_WAS else None) for one in made)


@pytest.mark.parametrize(("asked", "labels"), [(("inference_steps",), ()), ((), ("experiment",))])
def test_what_a_request_says_itself_is_not_drawn(asked: tuple[str, ...], labels: tuple[str, ...]) -> None:
    assert drawn(20, asked, labels) == [{}] * 20


@pytest.mark.parametrize(
    ("wrong", "says"),
    [({"settings": {"inference_step": 10}}, "inference_steps"), ({"settings": {"fps": 1000}}, "fps"), ({"share": 0.0}, "share"),
     ({"settings": {"seed": 1}}, "seed"), ({"settings": {"duration": 3.0}}, "duration_s"), ({"name": "a b"}, "name")],
)  # fmt: skip
def test_a_mistake_is_refused_at_the_start(tmp_path: Path, wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Settings.model_validate({"data_dir": tmp_path, "traffic": STEPS | wrong})


def test_the_arm_is_on_the_record_and_a_key_that_comes_again_is_the_same_request(tmp_path: Path) -> None:
    settings = Settings.model_validate({"data_dir": tmp_path, "traffic": STEPS | {"share": 0.5}})
    settings.prepare()
    table, telemetry = JobTable(settings.jobs_url), setup("test", tmp_path)
    door = Admission(settings, table, AssetStore(settings.assets_dir), telemetry, Redactor(b"k" * 32))

    async def four() -> list[str]:
        headers, body = form()
        return [await door.accept(request({**headers, "idempotency-key": f"k{k // 2}"}, body)) for k in range(8)]

    ids = asyncio.run(four())
    assert ids[::2] == ids[1::2]
    telemetry.shutdown()
    rows = [row["values"] for id in ids[::2] if (row := table.get(id)) is not None]
    assert sorted(row["inference_steps"] for row in rows) == [10, 10, 25, 25]
    assert fields.defaults()["inference_steps"] == 25
    assert {(row["experiment"], row["randomized"]) for row in rows} == {("steps-10", True)}
    events = [json.loads(line) for line in read_lines(settings.journal_dir, "events")]
    assert [event["arm"] for event in events] == [row["arm"] for row in rows]


def test_the_analysis_may_call_what_it_finds_a_cause() -> None:
    random_ = np.random.default_rng(5)
    frame = pd.DataFrame(drawn(300))
    frame["inference_steps"] = frame["inference_steps"].fillna(25)
    frame["audio_drift_ms"] = random_.normal(20, 8, len(frame)) + np.where(frame["inference_steps"] == 10, 30.0, 0.0)
    (effect,) = experiment(frame, "steps-10", ["audio_drift_ms"])
    assert effect.word == "causes"
    assert abs(effect.estimate or 0.0) == pytest.approx(30, abs=5)
