"""What is wrong among requests and where it comes from, on staged incidents and by hand."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from analytics.questions.complaint import complaint
from analytics.questions.diagnosis import diagnose
from analytics.questions.rows import observe
from analytics.questions.symptoms import symptoms

SWEEP = Path(__file__).parents[2] / "fixtures" / "sweep.parquet"


@pytest.fixture
def sweep() -> pd.DataFrame:
    return pd.read_parquet(SWEEP)


def quiet(n: int = 300, seed: int = 3) -> pd.DataFrame:
    """Requests of four hosts with nothing wrong."""
    random = np.random.default_rng(seed)
    return pd.DataFrame({
        "request_id": [f"r{k}" for k in range(n)], "started_at": pd.date_range("2026-11-24T08:00Z", periods=n, freq="10s"),
        "status": "ok", "fps": 25.0, "video_fps": 25.0, "audio_s": random.uniform(3, 20, n).round(2), "video_s": 10.0,
        "inference_steps": random.choice([10, 20, 25], n), "min_resolution": random.choice([256, 512], n),
        "host": random.choice(["h1", "h2", "h3", "h4"], n), "department": random.choice(["film", "news", "ads"], n),
        "audio_offset_ms": random.normal(-4, 12, n), "duration_drift_ms": random.uniform(0, 40, n), "frozen_tail_ms": 0.0,
        "has_logs": True, "has_trace": True,
    })  # fmt: skip


def test_the_two_faults_of_the_real_sweep_are_told_apart(sweep: pd.DataFrame) -> None:
    told = diagnose(sweep)
    assert [cause.symptom for cause in told.causes[:2]] == ["sound_late", "frames_relabelled"]
    assert [[place.what for place in cause.where] for cause in told.causes[:2]] == [["department = claims"], ["department = film"]]
    assert (told.causes[0].bad_here, told.causes[0].bad_elsewhere) == (37, 0)


def test_the_faultless_part_of_the_real_sweep_shows_no_incident(sweep: pd.DataFrame) -> None:
    assert not diagnose(sweep[sweep["department"] == "press"]).causes


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    told = diagnose(quiet())
    assert not told.causes
    assert told.sentence().startswith("Nothing found")


def test_nothing_that_was_planted_is_read() -> None:
    frame = quiet()
    frame["fault_injected"] = np.where(frame["host"] == "h2", "audio_late", None)
    assert not diagnose(frame).causes


def test_symptoms_in_one_place_are_one_cause_named_by_what_the_others_follow_from() -> None:
    frame = quiet()
    rows = (frame["host"] == "h2").to_numpy()
    frame.loc[rows, "duration_drift_ms"] = -700.0
    frame.loc[rows, "audio_offset_ms"] += 150
    told = diagnose(frame)
    assert len(told.causes) == 1
    assert told.causes[0].symptom == "tail_cut"
    assert told.causes[0].also == ("sound_late",)


def test_a_place_says_when_it_began_there() -> None:
    frame = quiet(600)
    late = (frame["host"] == "h2") & (frame["started_at"] >= "2026-11-24T08:50Z")
    frame.loc[late, "audio_offset_ms"] += 120
    cause = diagnose(frame).causes[0]
    assert [place.what for place in cause.where] == ["host = h2"]
    assert abs(pd.Timestamp(cause.since or cause.began or 0) - pd.Timestamp("2026-11-24T08:50Z")) < pd.Timedelta("2min")


def test_a_symptom_that_is_everywhere_alike_is_a_cause_without_a_place() -> None:
    frame = quiet()
    frame["has_logs"] = np.arange(len(frame)) % 9 != 0
    cause = diagnose(frame).causes[0]
    assert (cause.symptom, cause.where) == ("logs_missing", ())
    assert "everywhere alike" in cause.sentence()


def test_a_portrait_without_a_face_that_is_sent_again_and_again_is_one_failure() -> None:
    frame = quiet()
    frame["portrait_hash"] = [f"p{k}" for k in range(len(frame))]
    again = (frame["host"] == "h3") & (frame["started_at"] > "2026-11-24T08:30Z")
    frame.loc[again, ["status", "error_type", "portrait_hash"]] = ["error", "face_not_found", "p-no-face"]
    assert not diagnose(frame).causes


def test_a_video_made_smaller_for_want_of_memory_is_a_symptom_of_what_was_asked() -> None:
    frame = quiet()
    frame["lowered_min_resolution"] = np.where((frame["host"] == "h2") & (frame["min_resolution"] == 512), 320.0, np.nan)
    (cause,) = diagnose(frame).causes
    assert cause.symptom == "resolution_lowered"
    assert {place.what for place in cause.where} == {"host = h2", "min_resolution >= 500 px"}


def test_how_often_a_failing_request_was_tried_is_not_why_it_fails() -> None:
    frame = quiet()
    failed = frame["department"] == "film"
    frame["status"] = np.where(failed, "error", "ok")
    frame["error_type"] = np.where(failed, "encoder_timeout", "")
    frame.loc[~failed, "error_type"] = None
    frame["attempt"] = np.where(failed, 3, 1)
    cause = diagnose(frame).causes[0]
    assert [place.what for place in cause.where] == ["department = film"]
    assert not cause.same_as


def test_a_service_without_a_log_store_has_no_missing_logs() -> None:
    assert not diagnose(quiet().assign(has_logs=False)).causes


def test_no_rows_at_all_is_an_answer() -> None:
    told = diagnose(quiet().iloc[:0])
    assert told.verdict == "no_data"
    assert told.to_dict()["causes"] == []


def test_a_late_file_is_explained_with_its_like_its_place_and_its_twin(sweep: pd.DataFrame) -> None:
    row = sweep[(sweep["department"] == "claims") & sweep["audio_offset_ms"].notna()].iloc[0]
    said = complaint(sweep, {**row.to_dict(), "audio_start_s": 0.12}, row["request_id"])
    text = "\n".join(said.sentences())
    assert f"{row['audio_offset_ms']:.0f} ms late" in text
    assert "starts 120 ms late in the container" in text
    assert "37 of 175 requests" in text
    assert "department = claims" in text
    assert said.twin is not None and sweep.set_index("request_id").loc[said.twin.twin, "department"] == "press"  # noqa: PT018
    assert said.confirm[:2] == ("--where", said.causes[0].expression)


def test_every_number_of_an_explained_file_comes_from_a_query_that_is_told(sweep: pd.DataFrame) -> None:
    row = sweep[(sweep["department"] == "film") & (sweep["fps"] == 25)].iloc[0]
    said = complaint(sweep, row.to_dict(), row["request_id"])
    assert said.shows[0] == "frames_relabelled"
    assert len(said.queries) >= 3
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("requests", sweep)
        for query in said.queries:
            assert connection.execute(query.sql).fetchone() == query.result, query.says


def test_a_file_of_somebody_else_is_judged_by_what_was_measured_on_it(sweep: pd.DataFrame) -> None:
    measured = {"audio_offset_ms": -214.0, "duration_drift_ms": 428.0, "offset_start_ms": 0.0, "offset_end_ms": -420.0, "fps": 24.0}
    said = complaint(sweep, measured)
    assert said.shows == ("frames_relabelled",)
    assert said.twin is None
    assert "no record of this file" in " ".join(said.sentences())
    assert "department = film" in " ".join(said.sentences())


def test_a_file_with_nothing_wrong_says_so(sweep: pd.DataFrame) -> None:
    said = complaint(sweep, {"audio_offset_ms": 4.0, "sync_confidence": 0.97, "duration_drift_ms": 20.0, "frozen_tail_ms": 0.0})
    assert said.sentences()[-1] == "This file shows nothing that is wrong by itself."
    assert said.sentences("zh")[-1] == "此文件本身未显示问题。"


@pytest.mark.parametrize("name", ["video_fps", "status", "started_at"])
def test_a_service_that_does_not_record_something_is_looked_at_all_the_same(sweep: pd.DataFrame, name: str) -> None:
    assert symptoms(observe(sweep.drop(columns=name)))
    diagnose(sweep.drop(columns=name))
