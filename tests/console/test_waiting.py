"""A page paints at once: what takes long comes later, the rest of the page is there, and a sample is stated."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from analytics.questions import of_store
from console import data, frame, waiting
from tests.console.test_pages import run, words
from tests.planted_incidents import incident


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """2,000 rows in which the requests of one host drift."""
    path = tmp_path / "rows.parquet"
    incident("host", 2_000).frame.to_parquet(path)
    monkeypatch.setenv("SONOSCOPE_ROWS", str(path))
    monkeypatch.setenv("SONOSCOPE_DATA_DIR", str(tmp_path))
    data.board.clear()
    return path


def until_it_says(app: AppTest, text: str) -> None:
    """Looks again, as the browser does, until the answer is on the page."""
    end = time.monotonic() + 120
    while text not in words(app):
        assert time.monotonic() < end, words(app)
        time.sleep(0.1)
        app.run()


def test_a_page_is_there_before_its_answer(rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "WAIT_S", 0.0)
    app = run("why", bad="audio_drift_ms > 100.0")
    assert app.header[0].value == "Why these?"
    assert "Analysing" in words(app)
    assert "host = h3" not in words(app)
    until_it_says(app, "host = h3")


def test_a_page_is_there_before_its_rows(rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame, "WAIT_S", 0.0)
    app = run("overview")
    assert "Joining" in words(app)
    assert app.sidebar.text_input[0].label == "Filter"
    until_it_says(app, "Ended well")


@pytest.mark.parametrize(
    ("page", "limit", "said"),
    [("why", "COMPARED", "random sample"), ("parameters", "ROWS", "random sample"), ("capacity", "TIMED", "counted over all")],
)
def test_a_sample_is_stated(page: str, limit: str, said: str, rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert said not in words(run(page, bad="audio_drift_ms > 100.0"))
    monkeypatch.setattr(of_store, limit, 1_000)
    waiting.ANSWERS.clear()
    shown = words(run(page, bad="audio_drift_ms > 100.0"))
    assert said in shown
    assert "of 2,000 requests" in shown


def test_looking_again_asks_the_rows_nothing_where_nothing_has_changed(rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = run("overview")
    monkeypatch.setattr("console.views.overview.health", lambda *asked: pytest.fail("computed again"))
    app.run()
    assert not app.exception


def test_a_range_that_moves_with_the_clock_moves_in_steps() -> None:
    first = frame.steady("1h")
    assert 0 <= time.time_ns() - 3_600 * 10**9 - first < 2 * 3_600 * 10**9 / frame.STEPS
    assert frame.steady("2026-11-22T18:00:00Z") == 1_795_370_400 * 10**9
