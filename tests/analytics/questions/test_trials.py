"""The experiments among rows, and two of them against each other."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analytics.questions.trials import effects, trials, versus
from tests.analytics.questions.test_experiment import replay


def named(name: str, effect: float, start: str) -> pd.DataFrame:
    frame = replay(effect=effect)
    times = pd.Timestamp(start, tz="UTC") + pd.to_timedelta(np.arange(len(frame)), unit="s")
    inputs = {"portrait_hash": frame["block"], "audio_hash": "a", "request_id": name + frame["request_id"]}
    arm = "inference_steps=" + frame["inference_steps"].astype(str)
    return frame.assign(experiment=name, started_at=times, ended_at=times, arm=arm, **inputs)


def test_experiments_are_listed_with_what_varied_in_them() -> None:
    frame = pd.concat([named("old", 8.0, "2026-01-01"), named("new", 8.0, "2026-02-01")], ignore_index=True)
    newest, oldest = trials(frame)
    assert (newest.name, oldest.name) == ("new", "old")
    assert (newest.requests, newest.blocks, newest.failed) == (90, 30, 0)
    assert newest.factors == ("inference_steps",)
    assert newest.arms == {"inference_steps=15": 30, "inference_steps=25": 30, "inference_steps=35": 30}
    assert newest.randomized
    assert not newest.replay
    assert trials(pd.DataFrame({"request_id": ["a"]})) == []


def test_a_sweep_is_shown_by_its_parameters() -> None:
    found = effects(named("s", 8.0, "2026-01-01"), "s")
    assert [one.factor for one in found] == ["inference_steps", "inference_steps"]
    assert found[0].sentence()


def test_two_experiments_are_paired_by_input_and_settings_and_never_a_cause() -> None:
    frame = pd.concat([named("old", 8.0, "2026-01-01"), named("new", 8.0, "2026-02-01")], ignore_index=True)
    frame.loc[frame["experiment"] == "new", "audio_drift_ms"] += 40
    (found,) = versus(frame, "old", "new")
    assert found.estimate == pytest.approx(40)
    assert found.blocks == 90
    assert found.sentence().startswith("experiment = new instead of old goes with audio_drift_ms")
