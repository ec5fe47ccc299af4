"""What becomes an observation, what is left out, and that it is said."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analytics.questions.prepare import Options, prepare
from analytics.questions.schema import Schema


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "request_id": ["a", "b", "b", "c", "d", None, None], "inference_steps": [10, 20, 20, 30, 40, 50, np.nan],
            "attempt": [1, 1, 1, 2, 1, 1, 1], "replay_of": [None, None, None, None, "a", None, None],
            "replica": ["x", "x", "x", "y", "y", "x", "x"], "started_at": pd.to_datetime(range(7), unit="s", utc=True),
            "audio_hash": ["p", "p", "p", "q", None, None, "p"], "portrait_hash": ["f"] * 7,
            "sampling_weight": [1, 3, 3, 1, 1, 0, 1],
        }
    )  # fmt: skip


def test_one_row_a_request(frame: pd.DataFrame) -> None:
    made = prepare(frame)
    assert made.numbers("inference_steps").tolist() == [10, 20, 30, 40, 50]
    assert any(words == "1 duplicate rows left out" for words in made.warnings)
    assert any(words == "1 rows without any parameter left out" for words in made.warnings)
    assert made.repeats == 2


def test_retries_replays_and_first_requests_go_where_asked(frame: pd.DataFrame) -> None:
    assert prepare(frame, options=Options(retries=False)).numbers("inference_steps").tolist() == [10, 20, 50]
    assert prepare(frame, options=Options(warm_up=False)).numbers("inference_steps").tolist() == [20, 40, 50]


def test_weights_have_mean_one_and_bad_ones_are_said(frame: pd.DataFrame) -> None:
    made = prepare(frame)
    assert made.weights.mean() == pytest.approx(1)
    assert made.weights[1] == pytest.approx(3 * made.weights[0])
    assert any("1 sampling weights are not positive" in words for words in made.warnings)
    assert prepare(frame.assign(weight=1.0)).weights.tolist() == [1.0] * 5


def test_the_same_input_is_one_cluster_and_an_unknown_one_stands_alone(frame: pd.DataFrame) -> None:
    clusters = prepare(frame).clusters
    assert clusters[0] == clusters[1]
    assert len(set(clusters[1:])) == 4


def test_drills_go_where_people_are_and_stay_where_they_are_alone(frame: pd.DataFrame) -> None:
    some = frame.assign(synthetic=[False, "true", True, False, None, False, False])
    assert prepare(some).numbers("inference_steps").tolist() == [10, 30, 40, 50]
    assert prepare(frame.assign(synthetic=True)).n == 5


def test_missing_values_are_counted(frame: pd.DataFrame) -> None:
    made = prepare(frame.assign(expand_ratio=[0.1, np.inf, 0.1, None, 0.2, 0.3, 0.1]))
    assert made.missing["expand_ratio"] == pytest.approx(2 / 6)


def test_a_cut_answer_and_a_sample_are_truncated(frame: pd.DataFrame) -> None:
    assert prepare(frame, truncated=True).truncated
    sample = prepare(frame, options=Options(max_rows=3))
    assert (sample.n, sample.truncated) == (3, True)
    assert prepare(frame, options=Options(max_rows=3)).frame.equals(sample.frame)


def test_the_schema_is_what_the_table_and_the_frame_share(frame: pd.DataFrame) -> None:
    schema = Schema.of(frame.assign(whatever=1, audio_drift_ms=2.0))
    assert [column.name for column in schema.parameters] == ["inference_steps"]
    assert [column.name for column in schema.outcomes] == ["audio_drift_ms"]
    assert schema.get("whatever") is None
    assert schema.clusters == ("portrait_hash", "audio_hash")
    with pytest.raises(KeyError, match="inference_steps"):
        schema.column("whatever")
