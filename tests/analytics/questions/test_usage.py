"""Who asked for what, and the report as a file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analytics.questions.sentences import lint
from analytics.questions.usage import export, table, usage
from tests.planted_incidents import incident


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    made = incident(None, 900, 6).frame
    return made.assign(
        device_s=made["run_inference_ms"] / 1000, department=made["department"].where(made["department"] != "lab", None)
    )


def test_every_request_is_in_one_group(frame: pd.DataFrame) -> None:
    found = usage(frame)
    assert sum(one.n for one in found) == len(frame)
    assert sum(one.estimate or 0 for one in found) == pytest.approx(1)
    assert sum(one.failed for one in found) == (frame["status"] == "error").sum()
    assert sum(one.video_s for one in found) == pytest.approx(frame["video_s"].sum())


def test_groups_have_their_settings_and_results(frame: pd.DataFrame) -> None:
    film = next(one for one in usage(frame, by=("department",)) if one.who["department"] == "film")
    mine = frame[frame["department"] == "film"]
    assert film.settings["inference_steps"] == mine["inference_steps"].median()
    assert film.settings["model_name"] == "lite"
    assert film.results["audio_drift_ms"] == pytest.approx(mine["audio_drift_ms"].median())


def test_who_is_not_known_is_a_group_of_its_own(frame: pd.DataFrame) -> None:
    unknown = [one for one in usage(frame, by=("department",)) if one.who["department"] is None]
    assert [one.n for one in unknown] == [int(frame["department"].isna().sum())]


def test_dates_are_those_of_utc(frame: pd.DataFrame) -> None:
    found = usage(frame, by=("date",))
    assert [one.who["date"] for one in found] == sorted(frame["started_at"].dt.strftime("%Y-%m-%d").unique())


def test_sampled_rows_count_for_all_that_they_stand_for(frame: pd.DataFrame) -> None:
    one, ten = usage(frame, by=())[0], usage(frame.assign(sampling_weight=10.0), by=())[0]
    assert ten.requests == pytest.approx(10 * one.requests)
    assert ten.device_s == pytest.approx(10 * one.device_s)
    assert ten.n == one.n


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_the_report_is_written_and_read_again(frame: pd.DataFrame, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"used{ending}"
    found = usage(frame, by=("department", "date"))
    export(found, path)
    read = pd.read_csv(path) if ending == ".csv" else pd.read_parquet(path)
    assert read["requests"].sum() == pytest.approx(len(frame))
    assert {"department", "date", "failed", "device_s", "inference_steps", "audio_drift_ms_median"} <= set(read.columns)
    with pytest.raises(ValueError, match=r"\.csv or \.parquet"):
        export(found, tmp_path / "used.xlsx")


def test_few_columns_and_no_rows_do(frame: pd.DataFrame) -> None:
    assert usage(frame.head(0)) == ()
    assert [one.n for one in usage(frame[["audio_s"]])] == [900]
    assert len(table(usage(frame.head(1)))) == 1
    empty = usage(frame.assign(video_s=np.nan), by=())[0]
    assert empty.video_s == 0


def test_sentences_keep_the_contract(frame: pd.DataFrame) -> None:
    for one in (*usage(frame, by=("department",)), *usage(frame, by=())):
        json.dumps(one.to_dict())
        assert lint(one.sentence()) == lint(one.sentence("zh")) == []
