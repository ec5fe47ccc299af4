"""Rows as other people have them: few of them, few columns, words for truth, columns that move together, categories."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from analytics.questions.report import OutcomeReport, analyze
from analytics.stores.mapping import read_mapping


def rows(n: int, seed: int = 0, **columns: Any) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    steps = rng.integers(5, 50, n)
    return pd.DataFrame({"inference_steps": steps, "audio_drift_ms": 100 - steps + rng.normal(0, 10, n), **columns})


def one(frame: pd.DataFrame, **more: Any) -> OutcomeReport:
    return analyze(frame, **more).outcomes[0]


def effects(frame: pd.DataFrame, **more: Any) -> dict[str, Any]:
    return {effect.parameter: effect for effect in one(frame, **more).effects}


def test_two_columns_are_enough() -> None:
    found = one(rows(200))
    assert found.effects[0].verdict == "associated"
    low, high = found.effects[0].interval or (0, 0)
    assert low < high < 0
    assert found.recommendation is None


@pytest.mark.parametrize("n", [0, 1, 5, 30])
def test_too_few_is_an_answer(n: int) -> None:
    found = one(rows(n))
    assert [effect.verdict for effect in found.effects] == ["too_few"]
    assert (found.thresholds, found.recommendation) == ((), None)


def test_an_outcome_that_is_none_is_refused_with_what_there_is() -> None:
    with pytest.raises(ValueError, match="audio_drift_ms"):
        analyze(rows(50), ["lip_match"])
    with pytest.raises(ValueError, match="neither a number"):
        analyze(rows(50, encoder="libx264"), ["encoder"])


def test_an_outcome_without_a_single_value_is_too_few() -> None:
    found = one(rows(100).assign(audio_drift_ms=np.nan))
    assert found.effects[0].verdict == "too_few"
    assert found.n == 0


def test_words_for_truth_and_numbers_as_text() -> None:
    frame = rows(600)
    fast = np.random.default_rng(1).random(600) < 0.5
    frame["audio_drift_ms"] += 20 * fast
    frame["keep_resolution"] = np.where(fast, "yes", "no")
    frame["inference_steps"] = frame["inference_steps"].astype(str)
    frame.loc[3, "inference_steps"] = "many"
    found = effects(frame)
    assert found["keep_resolution"].estimate == pytest.approx(20, abs=3)
    assert (found["keep_resolution"].low, found["keep_resolution"].high) == ("false", "true")
    assert found["inference_steps"].verdict == "associated"
    assert any("1 values are no int" in words for words in analyze(frame).warnings)


def test_categories_are_compared_by_their_largest_difference() -> None:
    names = np.random.default_rng(2).choice(["a", "b", "c"], 900)
    frame = rows(900, model_name=names)
    frame["audio_drift_ms"] += np.select([names == "a", names == "b"], [30.0, 0.0], 10.0)
    found = effects(frame)["model_name"]
    assert (found.low, found.high, found.categorical) == ("b", "a", True)
    assert found.estimate == pytest.approx(30, abs=3)
    assert found.verdict == "associated"


def test_a_parameter_that_only_goes_along_with_the_cause_is_not_blamed() -> None:
    rng = np.random.default_rng(3)
    steps = rng.integers(5, 50, 3000)
    along = 512 + 64 * np.round((steps + rng.normal(0, 8, 3000)) / 10)
    drift = 60.0 * (steps < 20) + rng.normal(0, 10, 3000)
    found = effects(pd.DataFrame({"inference_steps": steps, "min_resolution": along, "audio_drift_ms": drift}))
    assert found["inference_steps"].verdict == "associated"
    assert found["min_resolution"].verdict == "not_shown"
    assert abs(found["min_resolution"].raw) > 10


def test_parameters_that_cannot_be_told_apart_say_so() -> None:
    frame = rows(500)
    frame["min_resolution"] = 64 * frame["inference_steps"]
    found = effects(frame)
    for name, other in (("inference_steps", "min_resolution"), ("min_resolution", "inference_steps")):
        assert any(other in words for words in found[name].warnings)
        assert other not in found[name].adjusted_for


def test_the_length_is_not_adjusted_for_itself() -> None:
    rng = np.random.default_rng(4)
    length = rng.uniform(3, 30, 600)
    frame = rows(600, audio_s=length, duration_s=length)
    frame["audio_drift_ms"] += 2 * length
    found = effects(frame)["duration_s"]
    assert found.verdict == "associated"
    assert "audio_s" not in found.adjusted_for


def test_few_inputs_are_held_fixed() -> None:
    which = np.random.default_rng(5).integers(0, 4, 600)
    frame = rows(600, audio_hash=[f"a{k}" for k in which], portrait_hash="p")
    frame["audio_drift_ms"] += 200.0 * which
    found = one(frame)
    assert "only 4 different inputs" in found.warnings[0]
    assert found.effects[0].adjusted_for == ("input",)
    assert found.effects[0].estimate == pytest.approx(found.effects[0].raw, abs=60)


def test_repeated_rows_of_an_input_are_not_new_evidence() -> None:
    rng = np.random.default_rng(6)
    inputs = rng.integers(0, 60, 1200)
    steps, own = rng.integers(5, 50, 60)[inputs], rng.normal(0, 10, 60)[inputs]
    frame = pd.DataFrame({"inference_steps": steps, "audio_drift_ms": own + rng.normal(0, 1, 1200)})
    alone = effects(frame)["inference_steps"]
    grouped = effects(frame.assign(audio_hash=inputs.astype(str), portrait_hash="p"))["inference_steps"]
    assert grouped.interval[1] - grouped.interval[0] > 2 * (alone.interval[1] - alone.interval[0])


def test_outliers_do_not_hide_an_effect() -> None:
    frame = rows(500)
    frame.loc[::50, "audio_drift_ms"] = 1e5
    found = effects(frame)["inference_steps"]
    assert found.verdict == "associated"
    assert found.estimate == pytest.approx(-22, abs=6)


def test_few_failures_are_tested_exactly() -> None:
    rng = np.random.default_rng(7)
    steps = rng.integers(5, 50, 800)
    failed = (steps > 45) & (rng.random(800) < 0.15)
    frame = pd.DataFrame({"inference_steps": steps, "status": np.where(failed, "error", "ok")})
    found = effects(frame, outcomes=["status"])["inference_steps"]
    assert 4 < failed.sum() < 30
    assert found.fisher < 0.01
    assert found.verdict == "associated"
    assert np.isfinite(found.odds)


def test_a_users_own_columns_are_studied(tmp_path) -> None:
    (tmp_path / "mapping.yaml").write_text(
        "columns:\n  mouth_gain: {span: g, kind: parameter, type: float}\n"
        "  skew_ms: {log: s, kind: outcome, type: float, unit: ms}\n"
    )
    gain = np.random.default_rng(8).uniform(0, 1, 400)
    frame = rows(400, mouth_gain=gain, skew_ms=50 * gain + np.random.default_rng(9).normal(0, 5, 400))
    found = one(frame, outcomes=["skew_ms"], mapping=read_mapping(tmp_path / "mapping.yaml"))
    assert found.unit == "ms"
    own = {effect.parameter: effect for effect in found.effects}
    assert own["mouth_gain"].verdict == "associated"
    assert own["inference_steps"].verdict == "not_shown"


def test_the_same_rows_are_answered_from_memory_and_other_rows_are_not() -> None:
    frame = rows(300)
    first = analyze(frame)
    assert analyze(frame.copy(deep=True)) is first
    changed = frame.copy(deep=True)
    changed.loc[7, "audio_drift_ms"] += 1e-9
    assert analyze(changed) is not first
    assert analyze(frame, budget=3.0) is not first


def test_a_sample_is_taken_of_very_many_rows_and_said() -> None:
    found = analyze(rows(20_500))
    assert found.truncated
    assert "a random sample of 20000 of 20500" in " ".join(found.warnings)


def separated(n: int = 900) -> pd.DataFrame:
    """Small pictures are made on one device only, large ones on the other, which lets the sound drift 80 ms less."""
    rng = np.random.default_rng(3)
    slow = rng.random(n) < 0.5
    resolution = np.where(slow, rng.choice([256, 384], n), rng.choice([512, 768, 1024], n))
    frame = rows(n, min_resolution=resolution, device=np.where(slow, "cpu", "cuda:0"))
    frame["audio_drift_ms"] += 0.05 * resolution + 80 * slow
    return frame


def test_a_device_that_separates_the_values_leaves_the_effect_inside_each_device() -> None:
    found = effects(separated())["min_resolution"]
    assert found.raw is not None
    assert found.raw < 0
    low, high = found.interval or (0, 0)
    assert low < 0.05 * (float(found.high) - float(found.low)) < high
    assert high - low < 20
    assert (found.simpson, found.simpson_by) == (True, "device")


def test_a_jump_where_the_device_changes_is_not_called_a_step_of_the_parameter() -> None:
    found = {each.parameter: each for each in one(separated()).thresholds}
    assert found["min_resolution"].at is None
