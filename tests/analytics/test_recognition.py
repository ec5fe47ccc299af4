"""Labels, confidence and folders are counted over the recognitions alone, and the worst folder comes first."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from analytics.filters import parse
from analytics.recognition import FOLDERS, LABELS, Recognised, recognised
from analytics.requests import from_file
from tests.planted_pictures import recognised_rows


def found(frame: pd.DataFrame, folder: Path, where: str | None = None) -> Recognised:
    frame.to_parquet(folder / "rows.parquet")
    with from_file(folder / "rows.parquet") as view:
        return recognised(view, parse(where) if where else None)


def test_the_folder_that_fails_comes_first_and_counts_agree(tmp_path: Path) -> None:
    rows = recognised_rows(600)
    seen = found(rows, tmp_path)
    assert (seen.pictures, seen.failed) == (600, int((rows["status"] == "error").sum()))
    folders = seen.folders.to_pandas()
    assert folders["folder"].iloc[0] == "uploads/b"
    assert folders["failed"].sum() == seen.failed
    assert folders["pictures"].sum() == 600
    totals = folders.groupby("folder")[["failed", "pictures"]].sum()
    assert totals.loc["uploads/b", "failed"] / totals.loc["uploads/b", "pictures"] > 0.75
    assert seen.low_share == pytest.approx(0.3, abs=0.06)
    labels = seen.labels.to_pandas()
    assert labels["count"].sum() == 600 - seen.failed
    assert labels["count"].is_monotonic_decreasing
    scores = seen.scores.to_pandas()
    assert scores["count"].sum() == 600 - seen.failed
    assert scores.loc[scores["from"] < 0.29, "count"].sum() == seen.low_confidence


def test_generations_are_not_counted(tmp_path: Path) -> None:
    rows = recognised_rows(50)
    rows.loc[:9, "operation"] = "generate"
    assert found(rows, tmp_path).pictures == 40


def test_a_filter_narrows_it(tmp_path: Path) -> None:
    rows = recognised_rows(300)
    seen = found(rows, tmp_path, 'source_prefix = "uploads/a"')
    assert seen.pictures == int((rows["source_prefix"] == "uploads/a").sum())


def test_nothing_recognised_is_an_answer(tmp_path: Path) -> None:
    seen = found(recognised_rows(5).iloc[:0], tmp_path)
    assert (seen.pictures, seen.low_share, seen.sure) == (0, None, None)


def test_what_is_not_drawn_is_counted(tmp_path: Path) -> None:
    rows = recognised_rows(400)
    rows["status"], rows["top1_score"] = "ok", 0.5
    rows["top1_label"] = [f"label {k % 30}" for k in range(400)]
    rows["source_prefix"] = [f"folder {k % 40}" for k in range(400)]
    seen = found(rows, tmp_path)
    assert seen.other_labels == 30 - LABELS
    assert seen.other_folders == 40 - FOLDERS
    assert seen.labels.num_rows == LABELS
