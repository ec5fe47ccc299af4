"""A replay read as one change: what was set together is one arm, and only what was drawn at random is called a cause."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from analytics.questions.arms import arms, rows_of
from analytics.questions.sentences import lint


def replayed(change: dict[str, Any], blocks: int = 9, originals: int = 3, effect: float = -60.0, seed: int = 1) -> pd.DataFrame:
    """Requests with 160 ms of drift, replayed as they were and changed; their originals are among the rows."""
    random = np.random.default_rng(seed)
    before = {"inference_steps": 5, "dynamic_scale": 1.5}
    label = " ".join(f"{name}={value}" for name, value in change.items())
    rows: list[dict[str, Any]] = [
        {"request_id": f"o{number}", "audio_drift_ms": 160.0, "status": "ok", **before} for number in range(originals)
    ]
    for block in range(blocks):
        for arm, settings in (("as it was", {}), (label, change)):
            drift = 160 + random.normal(0, 5) + (effect if settings else 0)
            labels = {"experiment": "e", "block": f"b{block}", "arm": arm, "replay_of": f"o{block % originals}", "randomized": True}
            made = {"request_id": f"{block}-{arm}", "audio_drift_ms": drift, "status": "ok"}
            rows.append(made | labels | before | settings)
    return pd.DataFrame(rows)


def test_one_changed_setting_is_named_as_the_cause() -> None:
    (found,) = arms(replayed({"inference_steps": 25}), "e")
    sentence = found.effect.sentence()
    assert sentence.startswith("inference_steps = 25 instead of as it was causes audio_drift_ms to change by -5")
    assert "原设置" in found.effect.sentence("zh")
    assert lint(sentence, causal=True) == []
    assert found.effect.word == "causes"
    assert found.reference_median == pytest.approx(160, abs=8)
    assert found.median == pytest.approx(100, abs=8)
    assert (found.before, found.originals, found.effect.blocks) == (160.0, 3, 9)


def test_settings_that_were_changed_together_are_one_change() -> None:
    (found,) = arms(replayed({"inference_steps": 25, "dynamic_scale": 1.0}), "e")
    assert found.effect.sentence().startswith("settings = inference_steps=25 dynamic_scale=1.0 instead of as it was causes")


def test_no_difference_is_not_shown_and_few_blocks_are_too_few() -> None:
    assert arms(replayed({"inference_steps": 25}, effect=0.0), "e")[0].effect.word == "not shown"
    assert arms(replayed({"inference_steps": 25}, blocks=5), "e")[0].effect.word == "too few"


def test_rows_that_were_not_drawn_at_random_only_go_along() -> None:
    frame = replayed({"inference_steps": 25})
    frame["randomized"] = frame["randomized"].where(frame["request_id"] != "0-as it was", False)
    assert arms(frame, "e")[0].effect.word == "goes with"


def test_refusals_of_a_busy_service_are_no_outcome() -> None:
    frame = replayed({"inference_steps": 25})
    busy = frame.tail(1).assign(request_id="busy", status="error", error_type="overloaded", audio_drift_ms=np.nan)
    found = arms(pd.concat([frame, busy], ignore_index=True), "e")
    assert [one.effect.outcome for one in found] == ["audio_drift_ms"]
    assert len(rows_of(frame, "e")) == 18


def test_failures_are_asked_about_where_there_are_any() -> None:
    frame = replayed({"inference_steps": 25})
    failed = frame["arm"] == "as it was"
    frame["status"] = frame["status"].where(~failed, "error")
    found = {one.effect.outcome: one for one in arms(frame, "e")}
    assert found["status"].effect.estimate == pytest.approx(-1.0)
    assert (found["status"].reference_median, found["status"].median) == (1.0, 0.0)


def test_an_experiment_without_rows_says_nothing() -> None:
    assert arms(replayed({"inference_steps": 25}), "other") == []
    assert arms(replayed({"inference_steps": 25}).drop(columns="arm"), "e") == []
    assert arms(pd.DataFrame({"request_id": ["a"]}), "e") == []
