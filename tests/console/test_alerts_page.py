"""The page Alerts: what fires, what is silent, what was, and what to do where nothing is configured."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from analytics.alerts.ledger import NAME, Known, Ledger
from analytics.alerts.standing import standing
from console import data
from telemetry.errors import RequestError
from tests.analytics.conftest import SECOND, START, Service
from tests.console.test_pages import run, words

NOW = time.time()


@pytest.fixture(autouse=True)
def alerts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An alerts file of two alerts, in the data folder of the test."""
    path = tmp_path / "alerts.yaml"
    path.write_text("""
sinks: {log: {kind: log}}
alerts:
- {id: failing, where: 'status = "error"', condition: {kind: count, above: 1}, sinks: [log]}
- {id: steps, rule: few_steps, condition: {kind: share, above: 0.5}, sinks: [log]}
""")
    monkeypatch.setenv("SONOSCOPE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("SONOSCOPE_ALERTS_FILE", str(path))
    monkeypatch.delenv("SONOSCOPE_ROWS", raising=False)
    monkeypatch.delenv("SONOSCOPE_RULES_FILE", raising=False)
    for cached in (data.store, data.board, data.rules):
        cached.clear()
    return path


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / NAME)


@pytest.mark.parametrize(("language", "word"), [("en", "since"), ("zh", "始于")])
def test_what_fires_is_shown_with_its_history_and_what_was_not_delivered(ledger: Ledger, language: str, word: str) -> None:
    fired = Known("failing", "host = h3", "firing", NOW - 60, value=7.0, requests=("r1", "r2"))
    ledger.keep(fired)
    ledger.note(fired, "fired", NOW)
    ledger.put("m", "mail", {}, NOW)
    ledger.refused(["m"], 0, "the box is down", NOW)
    app = run("alerts", lang=language)
    assert any("failing · host = h3" in error.value and word in error.value for error in app.error)
    assert "the box is down" in words(app)
    history = next(one.value for one in app.dataframe if "event" in one.value)
    assert history[["event", "alert", "requests"]].to_numpy().tolist() == [["fired", "failing", 2]]


def test_a_quiet_page_lists_what_is_watched(alerts: Path) -> None:
    app = run("alerts")
    assert "Nothing fires." in words(app)
    watched = next(one.value for one in app.dataframe if "window_s" in one.value)
    assert watched["where"].tolist() == ['status = "error"', "rule few_steps"]


def test_an_alert_is_silenced_and_speaks_again(tmp_path: Path, ledger: Ledger) -> None:
    app = run("alerts")
    app.selectbox(key="silence-alert").set_value("failing")
    app.selectbox(key="silence-hours").set_value(2.0)
    next(button for button in app.button if button.label == "Silence").click().run()
    (silence,) = standing(tmp_path / NAME, time.time()).silences
    assert silence["alert"] == "failing"
    assert 7000 < silence["until"] - time.time() <= 7200
    assert "failing is silent until" in words(app)
    app.selectbox(key="silence-alert").set_value("failing")
    app.selectbox(key="silence-hours").set_value(0.0)
    next(button for button in app.button if button.label == "Silence").click().run()
    assert standing(tmp_path / NAME, time.time() + 1).silences == ()


def test_without_a_file_or_with_a_bad_one_it_says_what_to_do(alerts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alerts.write_text(alerts.read_text().replace("above: 1", "above: many"))
    assert "failing.condition" in words(run("alerts"))
    monkeypatch.delenv("SONOSCOPE_ALERTS_FILE")
    assert "SONOSCOPE_ALERTS_FILE" in words(run("alerts"))


def test_the_request_page_shows_the_failures_like_this_one(tmp_path: Path) -> None:
    service = Service(tmp_path)
    for number in range(12):
        error = RequestError("encoder_timeout", f"No progress for {number} s", stage="encode_video") if number % 3 == 0 else None
        host = {"host": "h3"} if number % 3 == 0 else {"host": "h1"}
        service.finish(service.context(number), START + number * SECOND, error, **host)
    service.telemetry.shutdown()
    app = run("request", request="request-0009")
    assert "3 earlier failures read the same: No progress for <number> s. In common" in words(app)
    assert "host = h3" in words(app)
    near = next(one.value for one in app.dataframe if "alike" in one.value)
    assert near["request_id"].tolist() == ["request-0006", "request-0003", "request-0000"]
