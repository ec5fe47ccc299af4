"""The page on which one drops a file: what it asks, what it shows, and what a stranger's file can do."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from console import data, explaining
from console.explaining import ExplainError, explain
from tests.sonoscope.test_explain_command import ROWS, clip

SCRIPT = """
from console.frame import draw
from console.views import explain_file
draw(explain_file.page, needs_rows=False)
"""


@pytest.fixture(autouse=True)
def _rows_of_the_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SONOSCOPE_ROWS", str(ROWS))
    monkeypatch.setenv("SONOSCOPE_DATA_DIR", str(tmp_path))
    data.store.clear()
    data.board.clear()


def test_a_dropped_file_of_ours_is_explained_by_the_command_line_within_bounds(tmp_path: Path) -> None:
    import pandas as pd

    rows = pd.read_parquet(ROWS)
    late = rows[(rows["department"] == "claims") & (rows["audio_offset_ms"] > 100)]["request_id"].iloc[0]
    told = explain(clip(tmp_path / "late.mp4", f"request_id={late}").read_bytes(), None)
    assert told["request_id"] == late
    assert told["causes"][0]["where"][0]["what"] == "department = claims"


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_page_shows_the_cause_without_a_further_click(tmp_path: Path, lang: str, monkeypatch: pytest.MonkeyPatch) -> None:
    app = AppTest.from_string(SCRIPT, default_timeout=120)
    app.query_params["since"], app.query_params["lang"] = "all", lang
    app.run()
    assert not app.exception
    app.get("file_uploader")[0].set_value(("x.mp4", clip(tmp_path / "x.mp4", "holiday", 2.0, 3.0).read_bytes(), "video/mp4")).run()
    assert not app.exception, app.exception[0].stack_trace
    words = " ".join(one.value for one in app.markdown)
    assert ("the picture ends before the sound" if lang == "en" else "画面先于声音结束") in words


def test_what_is_no_video_is_refused_in_words() -> None:
    with pytest.raises(ExplainError, match="no media file"):
        explain(b"<script>alert(1)</script>", None)


def test_a_file_that_takes_too_long_is_ended_with_all_its_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explaining, "SECONDS", 0.5)
    with pytest.raises(ExplainError, match="longer than"):
        explaining._run(["/bin/sh", "-c", "sleep 60"], Path.cwd())


def test_a_file_beyond_the_bound_is_not_even_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explaining, "MOST_BYTES", 10)
    with pytest.raises(ExplainError, match="larger"):
        explain(b"x" * 11, None)
