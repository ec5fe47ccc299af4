"""For one bad request the nearest good one, and where the two part."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from analytics.questions.sentences import lint
from analytics.questions.twin import twin
from tests.planted_incidents import incident


@pytest.fixture
def frame() -> pd.DataFrame:
    """Forty good requests at 20 and 40 steps; r0 is bad, and r7 had its input."""
    n = 40
    steps = np.where(np.arange(n) % 2 == 0, 20, 40)
    made = pd.DataFrame({
        "request_id": [f"r{k}" for k in range(n)], "operation": "generate", "model_name": "lite", "status": "ok",
        "inference_steps": steps, "dynamic_scale": 1.0, "audio_hash": [f"a{k}" for k in range(n)], "portrait_hash": "p",
        "audio_s": np.linspace(4, 8, n), "run_inference_ms": steps * 100.0, "encode_video_ms": np.linspace(200, 240, n),
        "audio_drift_ms": np.linspace(5, 10, n), "host": "h1",
    })  # fmt: skip
    made.loc[0, ["audio_drift_ms", "encode_video_ms"]] = [200.0, 900.0]
    made.loc[0, "host"] = "h2"
    made.loc[7, "audio_hash"] = "a0"
    return made


def good(frame: pd.DataFrame) -> np.ndarray:
    return (frame["audio_drift_ms"] < 100).to_numpy(bool)


def test_the_same_input_comes_first_even_at_other_settings(frame: pd.DataFrame) -> None:
    found = twin(frame, "r0", good=good(frame))
    assert (found.twin, found.same_input) == ("r7", True)
    assert [one.field for one in found.fields if one.kind == "parameter" and one.unlike] == ["inference_steps"]


def test_else_the_nearest_in_parameters_and_length(frame: pd.DataFrame) -> None:
    frame.loc[7, "audio_hash"] = "a7"
    found = twin(frame, "r0", good=good(frame))
    assert (found.twin, found.same_input) == ("r2", False)
    assert found.estimate == pytest.approx(0.0, abs=0.1)


def test_they_part_where_a_stage_was_slow_against_the_usual(frame: pd.DataFrame) -> None:
    frame.loc[7, "audio_hash"] = "a7"
    found = twin(frame, "r0", good=good(frame))
    assert found.parts_at is not None
    assert (found.parts_at.field, found.parts_at.bad) == ("encode_video_ms", 900.0)
    assert found.parts_at.usual is not None
    assert found.parts_at.usual[1] < 240
    by_field = {one.field: one for one in found.fields}
    assert by_field["host"].unlike
    assert not by_field["run_inference_ms"].unlike
    assert "encode_video" in found.sentence()


def test_events_part_where_the_first_differs(frame: pd.DataFrame) -> None:
    went = {"r0": ["request_received", "input_start", "request_failed"], "r7": ["request_received", "input_start", "input_success"]}
    events = {id: [{"event_type": one} for one in types] for id, types in went.items()}
    assert twin(frame, "r0", good=good(frame), events=events).events == ("request_failed", "input_success")
    assert twin(frame, "r0", good=good(frame), events={**events, "r0": events["r7"]}).events is None


def test_without_a_list_good_means_ended_well_and_drifted_little() -> None:
    planted = incident("host", 800, 2)
    bad = str(planted.frame["request_id"][planted.inside].iloc[0])
    found = twin(planted.frame, bad)
    chosen = planted.frame.set_index("request_id").loc[found.twin or ""]
    assert chosen["status"] == "ok"
    assert chosen["audio_drift_ms"] <= planted.frame["audio_drift_ms"].median()


def test_no_good_request_is_an_answer(frame: pd.DataFrame) -> None:
    found = twin(frame, "r0", good=np.zeros(len(frame), bool))
    assert (found.verdict, found.twin) == ("no_data", None)
    assert lint(found.sentence()) == lint(found.sentence("zh")) == []
    assert twin(frame.head(1), 0).verdict == "no_data"


def test_a_request_that_is_not_there_is_said_so(frame: pd.DataFrame) -> None:
    with pytest.raises(KeyError, match="there is no request x among the 40"):
        twin(frame, "x")
    with pytest.raises(KeyError, match="no row 99"):
        twin(frame, 99)


def test_failed_requests_have_a_twin_although_they_have_no_times(frame: pd.DataFrame) -> None:
    frame["status"] = np.where(frame.index == 0, "error", "ok")
    frame.loc[0, ["run_inference_ms", "encode_video_ms", "audio_drift_ms"]] = np.nan
    found = twin(frame, "r0")
    assert found.twin == "r7" or not found.same_input
    json.dumps(found.to_dict())
    assert lint(found.sentence()) == lint(found.sentence("zh")) == []
