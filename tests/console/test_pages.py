"""Every page over every state of the store, in both languages: it draws, and says what to do where there is nothing to draw."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from analytics.board import Board, Held
from analytics.stores.local import LocalStore
from console import data
from console.texts import TEXTS
from telemetry.decisions import DecisionLog
from telemetry.errors import RequestError
from tests.analytics.conftest import SECOND, START, Service
from tests.analytics.questions.test_arms import replayed
from tests.planted_incidents import incident
from tests.planted_pictures import recognised_rows

PAGES = (
    "overview", "parameters", "why", "failures", "recognition", "request", "compare", "experiments", "capacity", "explain_file",
    "generate", "alerts", "audit",
)  # fmt: skip
NEEDS_ROWS = PAGES[:-4]


def script(page: str) -> str:
    return f"""
from console.frame import draw
from console.views import {page}
draw({page}.page, needs_rows={page in NEEDS_ROWS})
"""


def run(page: str, **query: str) -> AppTest:
    """One run of a page with these words in its URL; whatever it raised fails the test."""
    app = AppTest.from_string(script(page), default_timeout=600)  # a busy machine is no failure
    for key, value in {"since": "all", **query}.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception, app.exception[0].stack_trace
    return app


def words(app: AppTest) -> str:
    """Everything that a reader can read."""
    kinds = (
        *app.error,
        *app.info,
        *app.warning,
        *app.success,
        *app.markdown,
        *app.caption,
        *app.header,
        *app.subheader,
        *app.metric,
    )
    return "\n".join(str(getattr(one, "value", "")) + str(getattr(one, "label", "")) for one in kinds)


@pytest.fixture(autouse=True)
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SONOSCOPE_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("SONOSCOPE_ROWS", raising=False)
    monkeypatch.delenv("SONOSCOPE_RULES_FILE", raising=False)
    data.store.clear()
    data.board.clear()
    data.rules.clear()


@pytest.fixture
def small(tmp_path: Path) -> LocalStore:
    """Forty requests: four of them drifted, two failed."""
    service = Service(tmp_path)
    for number in range(40):
        error = RequestError("out_of_memory", "Too little memory.", stage="run_inference") if number % 20 == 7 else None
        context = service.context(number)
        service.receive(context)
        service.stage(context, "run_inference", START + number * SECOND, 900.0)
        values = {"inference_steps": 10 + number, "latency_s": 2.0, "portrait_hash": "a" * 64, "audio_hash": "b" * 64}
        drift = {} if error else {"audio_drift_ms": 150.0 if number % 10 == 1 else 20.0, "sync_reason": "measured"}
        service.finish(context, START + number * SECOND, error, **values, **drift)
    service.telemetry.shutdown()
    return service.store


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("page", PAGES)
def test_an_empty_store_says_how_to_get_a_first_request(page: str, language: str) -> None:
    app = run(page, lang=language)
    if page in NEEDS_ROWS:
        assert "sonoscope demo" in words(app)


@pytest.mark.parametrize("page", PAGES)
def test_a_store_that_is_down_says_why_and_what_to_do(page: str, tmp_path: Path) -> None:
    (tmp_path / "parquet").mkdir()
    (tmp_path / "parquet" / "manifest.json").write_text("{")
    app = run(page)
    assert "sonoscope doctor" in words(app)


@pytest.mark.parametrize("page", PAGES)
def test_a_filter_that_cannot_be_read_shows_where(page: str, small: LocalStore) -> None:
    app = run(page, filter="inference_steps >")
    assert "The filter cannot be read" in words(app)


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("page", PAGES)
def test_a_small_store_is_drawn(page: str, language: str, small: LocalStore) -> None:
    app = run(page, lang=language)
    title = TEXTS[page][language == "zh"]
    assert app.header[0].value == title
    assert "40" in app.sidebar.caption[0].value


def test_the_overview_counts_what_is_there(small: LocalStore) -> None:
    shown = {metric.label: metric.value for metric in run("overview").metric}
    assert shown["Requests"] == "40"
    assert shown["Ended well"] == "95.0%"
    assert shown["Drift > 100 ms"] == "10.5%"


def test_the_filter_of_the_url_narrows_the_overview(small: LocalStore) -> None:
    shown = {metric.label: metric.value for metric in run("overview", filter="audio_drift_ms > 100.0").metric}
    assert shown["Requests"] == "4"


def test_what_a_viewer_chooses_is_in_the_url(small: LocalStore) -> None:
    app = run("overview")
    app.sidebar.text_input[0].set_value("inference_steps > 20").run()
    assert app.query_params["filter"] == "inference_steps > 20"
    app.sidebar.selectbox[0].set_value("zh").run()
    assert app.query_params["lang"] == "zh"
    assert app.header[0].value == "总览"


def test_a_request_is_shown_with_its_error_and_its_events(small: LocalStore) -> None:
    app = run("request", request="request-0007")
    assert "out_of_memory" in words(app)
    assert any("Too little memory" in error.value for error in app.error)


def test_a_known_cause_stands_on_the_request_and_among_the_failures(small: LocalStore) -> None:
    for language, suggestion in (("en", "Lower min_resolution"), ("zh", "降低 min_resolution")):
        assert any(suggestion in info.value for info in run("request", request="request-0007", lang=language).info)
        rules = next(one.value for one in run("failures", lang=language).dataframe if "rule" in one.value)
        assert dict(zip(rules["rule"], rules[TEXTS["rule_n"][language == "zh"]], strict=True)) == {"few_steps": 10, "memory": 2}


def test_a_bad_file_of_rules_is_named_and_the_page_is_drawn(
    small: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rules.yaml").write_text("- {id: own}")
    monkeypatch.setenv("SONOSCOPE_RULES_FILE", str(tmp_path / "rules.yaml"))
    for page in ("request", "failures"):
        assert "own: when: Field required" in words(run(page, request="request-0007"))


def test_an_unknown_request_says_so(small: LocalStore) -> None:
    assert "no record of nobody" in words(run("request", request="nobody"))


def test_nobody_reads_on_a_public_address(small: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SONOSCOPE_CONSOLE_HOST", "0.0.0.0")
    for page in PAGES:
        assert "not on loopback" in words(run(page))


def test_rows_of_tests_and_drills_are_always_in_sight(tmp_path: Path) -> None:
    service = Service(tmp_path)
    service.request(1, synthetic=True)
    service.telemetry.shutdown()
    assert any("tests or drills" in warning.value for warning in run("overview").sidebar.warning)


@pytest.fixture
def with_a_bad_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """2,000 rows in which the requests of one host drift."""
    path = tmp_path / "rows.parquet"
    incident("host", 2_000).frame.to_parquet(path)
    monkeypatch.setenv("SONOSCOPE_ROWS", str(path))


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("page", ["parameters", "why", "failures", "capacity"])
def test_analysis_pages_draw_planted_rows(page: str, language: str, with_a_bad_host: None) -> None:
    app = run(page, lang=language, bad="audio_drift_ms > 100.0")
    assert not app.error
    assert len(words(app)) > 100


@pytest.fixture
def replayed_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine blocks of a replay whose change takes 60 ms of drift away."""
    rows = replayed({"fps": 25.0})
    rows["started_at"] = pd.Timestamp("2026-11-25", tz="UTC") + pd.to_timedelta(range(len(rows)), unit="s")
    rows.to_parquet(tmp_path / "rows.parquet")
    monkeypatch.setenv("SONOSCOPE_ROWS", str(tmp_path / "rows.parquet"))


@pytest.mark.parametrize(("language", "cause"), [("en", "fps = 25.0 instead of as it was causes"), ("zh", "导致")])
def test_an_experiment_says_what_its_change_causes(language: str, cause: str, replayed_rows: None) -> None:
    app = run("experiments", lang=language)
    assert cause in words(app)
    assert app.selectbox(key="choose-experiment").value == "e"
    assert len(app.selectbox(key="choose-block").options) == 9
    assert app.dataframe[0].value.iloc[0]["outcome"] == "audio_drift_ms"


def test_a_range_without_experiments_says_how_to_make_one(small: LocalStore) -> None:
    assert "sonoscope replay" in words(run("experiments"))


@pytest.fixture
def with_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows of 400 pictures of three folders, of which one fails."""
    path = tmp_path / "rows.parquet"
    recognised_rows(400).to_parquet(path)
    monkeypatch.setenv("SONOSCOPE_ROWS", str(path))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_recognition_is_drawn_with_its_worst_folder_on_top(language: str, with_pictures: None) -> None:
    app = run("recognition", lang=language)
    assert not app.error
    shown = {metric.label: metric.value for metric in app.metric}
    assert shown[TEXTS["pictures"][language == "zh"]] == "400"
    assert app.dataframe[0].value["folder"].iloc[0] == "uploads/b"
    assert len(app.get("plotly_chart")) == 3


@pytest.mark.parametrize(("language", "said"), [("en", "now 2 of 3: replicas are starting"), ("zh", "当前 2 / 3：副本正在启动")])
def test_capacity_shows_what_the_autoscaler_decided(language: str, said: str, small: LocalStore, tmp_path: Path) -> None:
    log = DecisionLog(tmp_path)
    for second, (running, target, reason) in enumerate([(0, 2, "load"), (2, 3, "load"), (2, 3, "starting")]):
        at_ns = time.time_ns() - (3 - second) * SECOND
        log.write(at_ns=at_ns, stage="run_inference", jobs=9, work_s=90.0, wanted=3, running=running, target=target, reason=reason)
    app = run("capacity", lang=language)
    assert said in words(app)
    assert not app.exception


def test_why_these_names_the_bad_host_first(with_a_bad_host: None) -> None:
    app = run("why", bad="audio_drift_ms > 100.0")
    assert "host = h3" in next(one.value for one in app.markdown if one.value.startswith("**"))


def test_a_stores_truncation_is_always_in_sight(small: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    class Cut(Board):
        def ready(self, wait_s: float | None) -> Held | None:
            held = super().ready(wait_s)
            return held and replace(held, truncated=True)

    monkeypatch.setattr(data, "Board", Cut)
    for page in ("overview", "failures"):
        assert any("there are more requests" in one.value for one in run(page).sidebar.warning)


def test_both_languages_are_complete_and_take_the_same_values() -> None:
    for key, (english, chinese) in TEXTS.items():
        assert english, key
        assert chinese, key
        assert set(re.findall(r"{(\w+)}", english)) == set(re.findall(r"{(\w+)}", chinese)), key


def test_every_word_that_a_page_asks_for_is_in_the_table() -> None:
    folder = Path(data.__file__).parent
    asked = {key for path in folder.rglob("*.py") for key in re.findall(r"""(?:\.t|\btext)\(\s*"(\w+)\"""", path.read_text())}
    assert asked <= TEXTS.keys()
    assert asked


def test_pages_stay_thin() -> None:
    for path in (Path(data.__file__).parent / "views").glob("*.py"):
        assert len(path.read_text().splitlines()) <= 170, path.name
