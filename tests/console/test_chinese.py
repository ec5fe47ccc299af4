"""In Chinese every sentence, warning and baseline is Chinese, with full-width punctuation; names of fields stay as they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from analytics.baseline import Baseline
from analytics.questions.notes import NOTES
from analytics.questions.phrases import PHRASES
from analytics.questions.sentences import TEMPLATES
from console import data
from tests.console.test_pages import NEEDS_ROWS, run
from tests.planted import planted
from tests.planted_incidents import incident

ENGLISH = re.compile(r"\b[a-z]{2,} [a-z]{2,}\b")
"""Two words after each other are a sentence; a name of a field is one word."""
HALF_WIDTH = re.compile(r"[\u4e00-\u9fff] ?[,;:()]|[,;:()] ?[\u4e00-\u9fff]")


@pytest.fixture(params=["bad host", "few steps"])
def rows(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The planted rows; those with few steps bring copies, drills and weights, so that there is much to warn of."""
    frame = incident("host", 1_500).frame if request.param == "bad host" else planted(1_500)
    frame.to_parquet(tmp_path / "rows.parquet")
    monkeypatch.setenv("SONOSCOPE_ROWS", str(tmp_path / "rows.parquet"))
    monkeypatch.setenv("SONOSCOPE_DATA_DIR", str(tmp_path))
    data.store.clear()
    data.board.clear()
    return request.param


def said(app: AppTest) -> list[str]:
    """Lines of every sentence and warning, without code and without the names in tables."""
    kinds = (*app.warning, *app.info, *app.success, *app.caption, *app.markdown, *app.error)
    lines = [line for one in kinds for line in str(one.value).splitlines()]
    return [re.sub(r"`[^`]*`|:\w+/\w+:|</?\w+[^>]*>", "", line) for line in lines]


@pytest.mark.parametrize("page", NEEDS_ROWS)
def test_no_english_sentence_and_no_warning_shows_on_a_chinese_page(page: str, rows: str) -> None:
    lines = said(run(page, lang="zh", bad="audio_drift_ms > 100.0"))
    assert lines
    assert [line for line in lines if ENGLISH.search(line)] == []
    assert [line for line in lines if HALF_WIDTH.search(line)] == []


def test_there_is_something_to_warn_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted(1_500).to_parquet(tmp_path / "rows.parquet")
    monkeypatch.setenv("SONOSCOPE_ROWS", str(tmp_path / "rows.parquet"))
    data.board.clear()
    assert any("⚠" in line for line in said(run("parameters", lang="zh")))


@pytest.mark.parametrize("table", [PHRASES, TEMPLATES, NOTES], ids=["phrases", "sentences", "notes"])
def test_every_template_takes_the_same_values_and_has_full_width_punctuation(table: dict[str, dict[str, str]]) -> None:
    for key, words in table.items():
        assert set(re.findall(r"{(\w+)}", words["en"])) == set(re.findall(r"{(\w+)}", words["zh"])), key
        assert not re.search(r"[,;:()]", re.sub(r"{[^}]*}", "", words["zh"])), key


def test_a_baseline_speaks_both_languages() -> None:
    one = Baseline("run_inference", 9_200.0, 214, 3_000.0, 3_500.0, 4_000.0)
    assert one.sentence == one.said("en") == "run_inference took 9.2 s, usually 3.0–4.0 s (n = 214)"
    assert one.said("zh") == "run_inference 用时 9.2 s，通常为 3.0–4.0 s（n = 214）"
    assert "too few" in Baseline("run_inference", 9_200.0, 2).sentence
