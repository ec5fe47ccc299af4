"""When an outcome changed, what came with it, and how seldom noise is taken for a change."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from analytics.questions.change import changes
from analytics.questions.sentences import lint
from tests.planted_incidents import traffic

N = 1500


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return traffic(N, np.random.default_rng(31))


def drift(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).lognormal(2.5, 0.8, N)


def test_a_step_is_found_at_its_time_with_its_size(frame: pd.DataFrame) -> None:
    made = changes(frame.assign(audio_drift_ms=drift(1) + np.where(np.arange(N) >= 900, 12, 0)), "audio_drift_ms")
    assert len(made) == 1
    assert made[0].between is not None
    low, high = (pd.Timestamp(one) for one in made[0].between)
    assert low - pd.Timedelta("1min") <= frame["started_at"][900] <= high + pd.Timedelta("1min")
    assert made[0].estimate == pytest.approx(12, abs=2)
    assert made[0].unit == "ms"
    assert "dynamic_scale" in made[0].adjusted_for


def test_two_steps_are_two_changes(frame: pd.DataFrame) -> None:
    place = np.arange(N)
    made = changes(frame.assign(audio_drift_ms=drift(2) + np.where((place >= 500) & (place < 1000), 25, 0)), "audio_drift_ms")
    assert [round(one.estimate or 0, -1) for one in made] in ([20, -20], [30, -30], [20, -30], [30, -20])


@pytest.mark.parametrize("version", ["model_version", "service_version"])
def test_the_version_that_came_with_it_is_named(version: str, frame: pd.DataFrame) -> None:
    place, random = np.arange(N), np.random.default_rng(3)
    new = (place >= 800) & (random.random(N) < 0.8)
    shown = frame.assign(**{version: np.where(new, "3.0", "2.9")}, audio_drift_ms=drift(3) + np.where(new, 20, 0))
    made = changes(shown, "audio_drift_ms")
    assert made[0].came[0].field == version
    assert made[0].came[0].value == "3.0"
    assert f"{version} = 3.0" in made[0].sentence()


def test_what_only_coincides_is_not_named(frame: pd.DataFrame) -> None:
    place, random = np.arange(N), np.random.default_rng(4)
    shown = frame.assign(model_version=np.where((place >= 800) & (random.random(N) < 0.5), "3.0", "2.9"))
    made = changes(shown.assign(audio_drift_ms=drift(4) + np.where(place >= 800, 20, 0)), "audio_drift_ms")
    assert made[0].came[0].remains == pytest.approx(1, abs=0.3)
    assert "came with it" not in made[0].sentence()


def test_people_who_ask_for_more_are_no_change_of_the_service(frame: pd.DataFrame) -> None:
    """From noon on everybody asks for strong motion, which always drifted more."""
    scale = np.where(np.arange(N) >= 700, 1.5, 1.0) + np.where(np.random.default_rng(5).random(N) < 0.2, 0.5, 0.0) % 1.0
    shown = frame.assign(dynamic_scale=np.round(scale, 1), audio_drift_ms=drift(5) + 30 * (scale - 1))
    assert changes(shown, "audio_drift_ms")[0].verdict == "not_shown"


def test_failures_and_the_mix_of_answers_change_too(frame: pd.DataFrame) -> None:
    place, random = np.arange(N), np.random.default_rng(6)
    status = np.where((place >= 600) & (random.random(N) < 0.2), "error", "ok")
    label = np.where((place >= 600) & (random.random(N) < 0.4), "cat", random.choice(["dog", "cow", "car"], N))
    failed = changes(frame.assign(status=status), "status")[0]
    assert failed.estimate == pytest.approx(0.2, abs=0.05)
    answered = changes(frame.assign(top1_label=label), "top1_label")[0]
    assert answered.value == "cat"
    assert answered.unit == "share"


def test_noise_is_seldom_taken_for_a_change() -> None:
    alarms = 0
    for seed in range(40):
        random = np.random.default_rng(seed)
        frame = traffic(200, np.random.default_rng(900 + seed)).assign(audio_drift_ms=random.pareto(1.5, 200))
        alarms += changes(frame, "audio_drift_ms")[0].verdict == "associated"
    assert alarms <= 2  # 1 % of 40 expected


@pytest.mark.parametrize("rows", [0, 1, 30])
def test_too_few_is_an_answer(frame: pd.DataFrame, rows: int) -> None:
    made = changes(frame.assign(audio_drift_ms=drift(7)).head(rows), "audio_drift_ms")
    assert (len(made), made[0].verdict) == (1, "too_few")
    assert lint(made[0].sentence()) == lint(made[0].sentence("zh")) == []


def test_without_times_or_values_there_is_no_answer_but_no_crash(frame: pd.DataFrame) -> None:
    shown = frame.assign(audio_drift_ms=drift(8))
    assert changes(shown.drop(columns="started_at"), "audio_drift_ms")[0].verdict == "too_few"
    assert changes(shown.assign(audio_drift_ms=np.nan), "audio_drift_ms")[0].verdict == "too_few"
    assert changes(shown.assign(audio_drift_ms=1.0), "audio_drift_ms")[0].verdict == "not_shown"
    with pytest.raises(KeyError, match="lip_match"):
        changes(shown, "lip_match")


def test_sentences_keep_the_contract(frame: pd.DataFrame) -> None:
    shown = frame.assign(audio_drift_ms=drift(9) + np.where(np.arange(N) >= 900, 30, 0))
    for outcome in ("audio_drift_ms", "encoder"):
        for one in changes(shown, outcome):
            json.dumps(one.to_dict())
            assert lint(one.sentence()) == lint(one.sentence("zh")) == []
