"""People's scores against the meter."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analytics.questions.agreement import agreement
from analytics.questions.sentences import lint


def scored(bad: int, good: int, apart: float, seed: int = 1) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    drift = np.abs(np.concatenate([random.normal(30 + apart, 20, bad), random.normal(30, 20, good)]))
    return pd.DataFrame({"user_score": [-1] * bad + [1] * good, "audio_drift_ms": drift})


def test_a_meter_that_people_agree_with_is_said_to() -> None:
    found = agreement(scored(20, 30, 60.0))
    assert found.estimate is not None
    assert found.estimate > 0.95
    assert found.interval is not None
    assert 0.8 < found.interval[0] < found.estimate <= found.interval[1] <= 1.0
    assert (found.n, found.bad, found.good, found.verdict) == (50, 20, 30, "associated")
    assert "n = 50" in found.sentence()


def test_the_interval_keeps_its_width_where_the_two_are_apart_altogether() -> None:
    found = agreement(pd.DataFrame({"user_score": [-1] * 6 + [1] * 6, "audio_drift_ms": [200.0] * 6 + [10.0] * 6}))
    assert found.estimate == 1.0
    assert found.interval is not None
    assert found.interval[0] < 0.9


def test_chance_is_not_called_agreement_and_ties_are_half() -> None:
    found = agreement(scored(30, 30, 0.0, seed=3))
    assert found.verdict == "not_shown"
    assert "is not shown" in found.sentence()
    tied = agreement(pd.DataFrame({"user_score": [-1, 1] * 8, "audio_drift_ms": [5.0] * 16}))
    assert tied.estimate == pytest.approx(0.5)


def test_too_few_is_an_answer_and_what_was_not_measured_is_counted() -> None:
    frame = pd.concat([scored(4, 9, 60.0), pd.DataFrame({"user_score": [-1, 0], "audio_drift_ms": [None, 5.0]})], ignore_index=True)
    found = agreement(frame)
    assert (found.verdict, found.estimate) == ("too_few", None)
    assert (found.bad, found.good, found.undecided, found.unmeasured) == (4, 9, 1, 1)
    assert "Too few" in found.sentence()


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    # A shift of one standard deviation: the share is Phi(1 / sqrt 2) = 0.760. 200 draws, binomial error 1.5 %.
    random = np.random.default_rng(7)
    hits = 0
    for _ in range(200):
        drift = np.concatenate([random.normal(101, 1, 15), random.normal(100, 1, 25)])
        bounds = agreement(pd.DataFrame({"user_score": [-1] * 15 + [1] * 25, "audio_drift_ms": drift})).interval
        assert bounds is not None
        hits += bounds[0] <= 0.760 <= bounds[1]
    assert 0.90 <= hits / 200 <= 0.99


def test_its_sentences_keep_the_contract_in_both_languages() -> None:
    for frame in (scored(20, 30, 60.0), scored(30, 30, 0.0, seed=3), scored(2, 2, 0.0)):
        found = agreement(frame)
        assert lint(found.sentence()) == lint(found.sentence("zh")) == []
