"""The rows of a real sweep with two real faults: what the analysis says of them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from analytics.questions.contrast import contrast
from analytics.questions.report import analyze

SWEEP = Path(__file__).parents[1] / "fixtures" / "sweep.parquet"


@pytest.fixture(scope="module")
def sweep() -> pd.DataFrame:
    return pd.read_parquet(SWEEP)


def test_the_meter_reads_the_fault_that_was_muxed_in(sweep: pd.DataFrame) -> None:
    offsets = sweep.groupby("department")["audio_offset_ms"].median()
    assert offsets["claims"] - offsets["press"] == pytest.approx(120, abs=15)
    assert abs(offsets["press"]) < 20


def test_relabelled_frames_show_in_the_container_and_in_the_offset(sweep: pd.DataFrame) -> None:
    film = sweep[sweep["department"] == "film"]
    struck, spared = film[film["fps"] >= 25], film[film["fps"] < 25]
    assert (struck["video_fps"] == 24).all()
    assert struck["duration_drift_ms"].min() > 150
    assert spared["duration_drift_ms"].abs().max() < 60
    assert struck["audio_offset_ms"].median() < -100


def test_the_faulty_department_is_among_the_first_explanations(sweep: pd.DataFrame) -> None:
    found = contrast(sweep, (sweep["audio_drift_ms"] > 80).to_numpy(), filtered=("audio_drift_ms",))
    explanations = [one.what for one in found.differences if one.role == "explanation"]
    assert "department = claims" in explanations[:2]


def test_without_the_faults_no_setting_is_said_to_move_the_offset(sweep: pd.DataFrame) -> None:
    clean = sweep[sweep["department"] == "press"]
    report = analyze(clean, ["audio_drift_ms"])
    found = {one.parameter for one in report.outcomes[0].effects if one.verdict == "associated"}
    assert found <= {"duration_s"}
