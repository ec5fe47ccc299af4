"""What is planted is found, and what is not planted is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from analytics.questions.report import OutcomeReport, Report, analyze
from analytics.questions.sentences import lint
from analytics.questions.wording import sentences, to_json

from ...planted import Truth, planted


def of(report: Report, name: str = "audio_drift_ms") -> OutcomeReport:
    return next(one for one in report.outcomes if one.column.name == name)


def answers(one: OutcomeReport) -> dict[str, Any]:
    return {effect.parameter: effect for effect in one.effects}


@pytest.fixture(scope="module")
def report() -> Report:
    return analyze(planted(7000), ["audio_drift_ms", "status"])


@pytest.fixture(scope="module")
def drift(report: Report) -> OutcomeReport:
    return of(report)


def test_the_step_is_found_where_it_is_and_as_high_as_it_is(drift: OutcomeReport) -> None:
    (found,) = [one for one in drift.thresholds if one.kind == "step"]
    assert (found.parameter, found.at, found.side) == ("inference_steps", 20.0, "below")
    assert found.rise == pytest.approx(60, abs=5)
    low, high = answers(drift)["inference_steps"].interval
    assert low < -60 < high


def test_the_pair_acts_together_and_no_other_pair_does(drift: OutcomeReport) -> None:
    found = [one.pair for one in drift.interactions if one.verdict == "associated"]
    assert found == [("dynamic_scale", "duration_s")]


def test_a_confounder_that_turns_the_sign_is_flagged_and_named(drift: OutcomeReport) -> None:
    found = answers(drift)["min_resolution"]
    assert found.simpson
    assert found.simpson_by == "device"
    assert found.raw > 0 > found.interval[1]


def test_what_does_nothing_and_what_never_varied_are_told_apart(drift: OutcomeReport) -> None:
    found = answers(drift)
    assert found["expand_ratio"].verdict == found["keep_resolution"].verdict == "not_shown"
    assert found["fps"].verdict == "never_varied"
    assert found["fps"].estimate is None


def test_failures_follow_what_drives_the_memory(report: Report) -> None:
    found = answers(of(report, "status"))
    assert {name for name, one in found.items() if one.verdict == "associated"} == {"min_resolution", "duration_s"}
    assert found["duration_s"].odds > 2
    assert found["duration_s"].unit == "share"


def test_missing_answers_are_an_outcome_and_bound_the_finding(drift: OutcomeReport) -> None:
    assert drift.answered is not None
    assert drift.answered.share == pytest.approx(0.85, abs=0.05)
    lacking = {one.parameter: one for one in drift.answered.effects}["inference_steps"]
    assert lacking.verdict == "associated"
    assert lacking.estimate > 0
    low, high = drift.bounds["inference_steps"]
    assert low < answers(drift)["inference_steps"].estimate < high < 0


def test_duplicates_weights_and_drills_are_said(report: Report) -> None:
    words = " ".join(report.warnings)
    assert "duplicate rows left out" in words
    assert "weighted by sampling_weight" in words
    assert "test or a drill" in words


def test_the_recommended_settings_were_seen_often_and_keep_the_budget() -> None:
    rows = planted(7000)
    one = of(analyze(rows, ["audio_drift_ms"], budget=15.0))
    advice = one.recommendation
    assert advice is not None
    assert advice.values["inference_steps"] >= 20
    assert advice.expected_cost <= advice.budget == 15.0
    assert advice.evidence_n >= 20
    assert set(advice.values) <= {"inference_steps", "min_resolution", "dynamic_scale"}
    assert of(analyze(rows, ["audio_drift_ms"], budget=0.001)).recommendation is None


@pytest.mark.parametrize(
    "truth",
    [Truth(step_at=31, step=25), Truth(step_at=14, step=-40, heavy_tails=False), Truth(step_at=26, noise=25, together=3.0)],
    ids=str,
)
def test_other_places_sizes_and_noises(truth: Truth) -> None:
    one = of(analyze(planted(8000, 5, truth)))
    (found,) = [one for one in one.thresholds if one.parameter == "inference_steps"]
    assert found.at == pytest.approx(truth.step_at, abs=1)
    assert found.interval is not None
    assert found.interval[0] <= truth.step_at <= found.interval[1] + 1
    assert found.side == ("below" if truth.step > 0 else "above")
    assert found.rise == pytest.approx(abs(truth.step), rel=0.25)


def test_every_sentence_keeps_the_contract_in_both_languages(report: Report) -> None:
    for one in report.outcomes:
        for language in ("en", "zh"):
            said = sentences(one, "s", language)
            assert said
            assert [fault for text in said for fault in lint(text)] == []


def test_the_json_has_the_fixed_shape(report: Report, drift: OutcomeReport) -> None:
    made = to_json(report, drift)
    assert {"n", "outcome", "effects", "interactions", "thresholds", "recommendation", "warnings"} <= made.keys()
    for effect in made["effects"]:
        assert {"parameter", "n", "unit", "raw", "adjusted", "q", "simpson", "verdict"} <= effect.keys()
        assert effect["verdict"] in ("associated", "not_shown", "too_few", "never_varied")
        assert effect["adjusted"]["for"] is not None
    assert {"parameter", "at", "ci", "rise", "kind"} <= made["thresholds"][0].keys()
    assert {"settings", "expected", "evidence_n"} <= made["recommendation"].keys()


def test_shuffled_outcomes_give_no_more_findings_than_promised() -> None:
    """At a false discovery rate of 5 % no more than 5 % of the shuffled data sets may have any finding; 40 of them: at most 6."""
    rows = planted(700, truth=Truth(heavy_tails=False)).drop(columns=["latency_s", "device_s", "status"])
    with_findings = 0
    for seed in range(40):
        shuffled = rows.assign(audio_drift_ms=np.random.default_rng(seed).permutation(rows["audio_drift_ms"].to_numpy()))
        one = of(analyze(shuffled))
        found = [*one.effects, *one.interactions, *(one.answered.effects if one.answered else ())]
        with_findings += any(finding.verdict == "associated" for finding in found)
    assert with_findings <= 6


def test_the_frame_is_not_changed() -> None:
    rows = planted(500)
    before = rows.copy(deep=True)
    analyze(rows)
    pd.testing.assert_frame_equal(rows, before)
