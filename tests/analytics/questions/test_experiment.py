"""Randomised replays: paired in their block, a cause only where every row was drawn at random."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analytics.questions.experiment import experiment, experiments, sign_flip
from analytics.questions.sentences import lint


def replay(blocks: int = 30, effect: float = 8.0, seed: int = 1, *, randomized: bool = True) -> pd.DataFrame:
    """Each block is one input at 15, 25 and 35 steps; inputs differ far more than the settings do."""
    random = np.random.default_rng(seed)
    rows = []
    for block in range(blocks):
        base = random.lognormal(3, 1)
        for steps in (15, 25, 35):
            drift = base + random.normal(0, 3) + (effect if steps == 15 else 0)
            rows.append({"request_id": f"{block}-{steps}", "experiment": "steps", "block": f"b{block}", "randomized": randomized,
                         "inference_steps": steps, "fps": 25.0, "audio_drift_ms": drift, "status": "ok"})  # fmt: skip
    return pd.DataFrame(rows)


def test_the_effect_is_found_inside_blocks_and_called_a_cause() -> None:
    found = {one.level: one for one in experiment(replay(), "steps", ["audio_drift_ms"], reference=25)}
    assert found["15"].estimate == pytest.approx(8, abs=2)
    assert found["15"].interval is not None
    assert found["15"].interval[0] < 8 < found["15"].interval[1]
    assert " causes audio_drift_ms " in found["15"].sentence()
    assert "导致" in found["15"].sentence("zh")
    assert lint(found["15"].sentence(), causal=True) == []
    assert found["35"].verdict == "not_shown"
    assert lint(found["35"].sentence()) == lint(found["35"].sentence("zh")) == []


def test_one_row_that_was_not_drawn_at_random_takes_the_word_away() -> None:
    frame = replay()
    frame.loc[frame["request_id"] == "3-15", "randomized"] = False
    found = experiment(frame, "steps", ["audio_drift_ms"], reference=25)[0]
    assert not found.randomized
    assert lint(found.sentence()) == lint(found.sentence("zh")) == []
    assert "goes with" in found.sentence()
    assert lint(experiment(frame.drop(columns="randomized"), "steps", ["audio_drift_ms"])[0].sentence()) == []


def test_a_block_without_both_levels_does_not_count() -> None:
    frame = replay(8)
    frame = frame[~((frame["block"] == "b0") & (frame["inference_steps"] == 15))]
    found = {one.level: one for one in experiment(frame, "steps", ["audio_drift_ms"], reference=25)}
    assert (found["15"].blocks, found["35"].blocks) == (7, 8)


def test_too_few_blocks_say_so() -> None:
    found = experiment(replay(3), "steps", ["audio_drift_ms"])[0]
    assert found.verdict == "too_few"
    assert lint(found.sentence()) == lint(found.sentence("zh")) == []


def test_no_effect_is_seldom_found() -> None:
    frames = [replay(12, 0.0, seed) for seed in range(60)]
    found = [any(one.verdict == "associated" for one in experiment(frame, "steps", ["audio_drift_ms"])) for frame in frames]
    assert sum(found) <= 7  # 5 % of 60 expected; more than 7 has a chance of 1 %


def test_failures_are_an_outcome_and_lost_outcomes_a_warning() -> None:
    frame = replay()
    worse = frame["inference_steps"] == 15
    frame.loc[worse & (frame.index % 2 == 0), ["status", "audio_drift_ms"]] = ["error", np.nan]
    found = {
        one.outcome: one for one in experiment(frame, "steps", ["audio_drift_ms", "status"], reference=25) if one.level == "15"
    }
    assert found["status"].estimate == pytest.approx(0.5, abs=0.1)
    assert found["status"].unit == "share"
    assert any("missing in" in words for words in found["audio_drift_ms"].warnings)


def test_names_are_listed_and_unknown_ones_have_no_rows() -> None:
    frame = pd.concat([replay(5), replay(5).assign(experiment=None)])
    assert experiments(frame) == ["steps"]
    assert experiments(frame.drop(columns="experiment")) == []
    assert experiment(frame, "other", ["audio_drift_ms"]) == []
    with pytest.raises(KeyError, match="lip_match"):
        experiment(frame, "steps", ["lip_match"])


def test_the_sign_flip_is_exact_for_few_blocks() -> None:
    assert sign_flip(np.array([1.0, 2.0, 3.0, 4.0, 5.0])) == 2 / 32
    assert sign_flip(np.zeros(5)) == 1.0
    assert sign_flip(np.ones(40)) == pytest.approx(1e-4)
