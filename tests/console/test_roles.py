"""Who sees what in the console: every page in every role, as the table of docs/security.md says."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from streamlit import config
from streamlit.testing.v1 import AppTest

from analytics.alerts.ledger import NAME, Known, Ledger
from console import access, data, service
from console.explaining import explain
from console.texts import TEXTS
from telemetry.decisions import DecisionLog
from telemetry.errors import RequestError
from tests.analytics.conftest import SECOND, START, Service
from tests.console.test_explain_file import ROWS, clip
from tests.console.test_pages import PAGES, run

DOCUMENT = Path(__file__).parents[2] / "docs" / "security.md"
CLAIMS: dict[str, dict[str, Any]] = {
    "viewer": {"sub": "1", "name": "Viola", "roles": ["viewer"], "department": "film"},
    "operator": {"sub": "2", "name": "Oskar", "roles": ["operator"], "department": "film"},
    "auditor": {"sub": "3", "name": "Audrey", "roles": ["auditor"], "department": "office"},
    "other department": {"sub": "4", "name": "Olga", "roles": ["operator"], "department": "claims"},
}
PEOPLE = ("nobody", *CLAIMS)
ALERTS = """
sinks: {log: {kind: log}}
alerts: [{id: drift, where: audio_drift_ms > 100, condition: {kind: count, above: 1}, sinks: [log]}]
"""
LOGIN = json.dumps({"role_claim": "roles", "department_claim": "department", "roles": {}, "hours": 8.0})


@pytest.fixture(autouse=True)
def _locked(two: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SONOSCOPE_DATA_DIR", str(two.folder))
    monkeypatch.setenv("SONOSCOPE_CONSOLE_LOGIN", LOGIN)
    monkeypatch.setenv("SONOSCOPE_ALERTS_FILE", str(two.folder / "alerts.yaml"))
    monkeypatch.delenv("SONOSCOPE_ROWS", raising=False)
    config.set_option("server.address", "0.0.0.0")
    data.store.clear()
    data.board.clear()
    data.rules.clear()


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Service:
    """Film has the even requests, claims the odd ones; each has failures of a kind of its own."""
    made = Service(tmp_path_factory.mktemp("two"))
    for number in range(40):
        department = ("film", "claims")[number % 2]
        kind = {"film": "out_of_memory", "claims": "face_not_found"}[department]
        error = RequestError(kind, f"Words of {department}.", stage="run_inference") if number % 10 in (4, 5) else None
        plain = made.context(number)
        context = replace(plain, identity={**plain.identity, "department": department})
        made.receive(context)
        made.stage(context, "run_inference", START + number * SECOND, 900.0)
        values = {"inference_steps": 10 + number, "latency_s": 2.0, "portrait_hash": department * 8, "audio_hash": "b" * 64}
        made.finish(context, START + number * SECOND, error, **values, **({} if error else {"audio_drift_ms": 20.0 + number}))
    made.telemetry.shutdown()
    (made.folder / "alerts.yaml").write_text(ALERTS)
    ledger = Ledger(made.folder / NAME)
    for number, department in enumerate(("film", "claims")):
        ledger.keep(Known("drift", f"folder = {department}", "firing", time.time(), value=1.0, requests=(f"request-000{number}",)))
    ledger.close()
    seen = {"stage": "run_inference", "jobs": 1, "work_s": 4.0, "wanted": 1, "running": 1, "target": 1, "reason": "load"}
    DecisionLog(made.folder).write(at_ns=time.time_ns(), **seen)
    return made


def log_in(monkeypatch: pytest.MonkeyPatch, person: str, **changed: Any) -> None:
    """Puts claims where Streamlit's log-in has them: how they come there is tried with a real issuer in a browser."""
    claims = None if person == "nobody" else {"iat": time.time(), **CLAIMS[person], **changed}
    monkeypatch.setattr(access, "logged_in", lambda: (claims, "token" if claims else None))


def sent(app: AppTest) -> str:
    """All that a page sends to the browser: words, tables, charts, choices."""
    found = [str(one.proto) for one in app.get("markdown")]
    for kind in KINDS:
        for one in app.get(kind):
            value = getattr(one, "value", None)
            found.append(f"{getattr(one, 'proto', '')}\n{value.to_string() if hasattr(value, 'to_string') else value}")
    return "\n".join(found)


def asked(page: str, department: str) -> AppTest:
    """A page with whatever it needs to have something to show of a department."""
    own = {"film": "request-0004", "claims": "request-0005"}[department]
    return run(page, **{"request": {"request": own}, "why": {"bad": "inference_steps > 30"}}.get(page, {}))


def cell(page: str, person: str) -> str:
    """What a person sees on a page, by what reaches the browser."""
    department = "claims" if person == "other department" else "film"
    app = asked(page, department)
    shown = sent(app)
    refusals = [TEXTS[key][0] for key in ("logged_out", "may_not_generate", "may_not_audit")]
    if any(one in shown for one in refusals):
        return "refused"
    caption = next(one.value for one in app.sidebar.caption if "with trace and log" in one.value)
    both, mine, theirs = ("40 requests" in caption), FOREIGN["claims"], FOREIGN["film"]
    if both:
        return "all"
    assert "20 requests" in caption, caption
    foreign = (mine if department == "claims" else theirs).findall(shown)
    assert not foreign, (page, person, foreign)
    return "own"


def extra(row: str, person: str) -> str:
    """What a person can do beyond looking at a page of its own rows."""
    match row:
        case "a request of film, by its id":
            return "shown" if "out_of_memory" in sent(run("request", request="request-0004")) else "refused"
        case "judge a request of its department":
            app = asked("request", "claims" if person == "other department" else "film")
            return "yes" if "judge" in sent(app) else "no"
        case "an alert that names film's requests only":
            return "shown" if "folder = film" in sent(run("alerts")) else "refused"
        case "silence an alert":
            return "yes" if run("alerts").get("form") else "no"
        case _:
            return "shown" if TEXTS["scaling"][0] in sent(run("capacity")) else "refused"


EXTRA = (
    "a request of film, by its id", "judge a request of its department", "an alert that names film's requests only",
    "silence an alert", "what the autoscaler decided",
)  # fmt: skip
KINDS = (
    "caption", "error", "info", "warning", "success", "metric", "json", "code", "text_input", "text_area", "selectbox", "form",
    "multiselect", "arrow_data_frame", "dataframe", "button", "plotly_chart", "iframe", "link_button", "header", "subheader",
    "expander", "download_button",
)  # fmt: skip
FOREIGN = {
    "film": re.compile(r"claims|face_not_found|request-00\d[13579]"),
    "claims": re.compile(r"film|out_of_memory|request-00\d[02468]"),
}
"""What nobody of a department may be sent: the other one's name, failures and requests."""


def test_every_page_shows_each_person_what_the_document_says(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ["| page | nobody | viewer | operator | auditor | other department |", "| --- | --- | --- | --- | --- | --- |"]
    for page in PAGES:
        cells = []
        for person in PEOPLE:  # one after the other, so that what is kept for one would be seen by the next
            log_in(monkeypatch, person)
            cells.append(cell(page, person))
        rows.append(f"| {page} | {' | '.join(cells)} |")
    for row in EXTRA:
        cells = []
        for person in PEOPLE:
            log_in(monkeypatch, person)
            cells.append(extra(row, person))
        rows.append(f"| {row} | {' | '.join(cells)} |")
    table = "\n".join(rows)
    assert table in DOCUMENT.read_text("utf-8"), f"docs/security.md should say:\n{table}"


def test_what_nobody_else_is_sent_would_be_found_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    log_in(monkeypatch, "auditor")
    for page in ("failures", "alerts", "request", "why"):
        found = {department: bool(marks.search(sent(asked(page, "film")))) for department, marks in FOREIGN.items()}
        assert found["claims"], page
        assert found["film"] or page in ("request", "why"), page


def test_a_log_in_that_is_over_or_gives_no_role_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for changed, key in (
        ({"iat": time.time() - 9 * 3600}, "logged_out"),
        ({"roles": ["else"]}, "no_role"),
        ({"department": ""}, "no_role"),
    ):
        log_in(monkeypatch, "operator", **changed)
        app = run("overview")
        assert TEXTS[key][0] in sent(app)
        assert [one.value for one in app.header] == (["Sonoscope"] if key == "logged_out" else [])


def test_a_job_of_another_department_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Should the service show it: one with a log-in asks for tokens itself."""
    job = {"job_id": "job-1", "request_id": "request-0001", "state": "failed", "error": {"type": "face_not_found", "message": "-"}}
    monkeypatch.setattr(service, "job", lambda viewer, job_id: job)
    for person, seen in (("operator", False), ("other department", True)):
        log_in(monkeypatch, person)
        assert ("face_not_found" in sent(run("generate", job="job-1"))) == seen


def test_a_file_of_another_department_is_a_strangers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pandas as pd

    monkeypatch.setenv("SONOSCOPE_ROWS", str(ROWS))
    rows = pd.read_parquet(ROWS)
    late = rows[(rows["department"] == "claims") & (rows["audio_offset_ms"] > 100)]["request_id"].iloc[0]
    video = clip(tmp_path / "late.mp4", f"request_id={late}").read_bytes()
    assert explain(video, "claims")["record"]
    told = explain(video, "news")
    assert not told["record"]
    assert "claims" not in json.dumps(told)


def test_the_service_is_shown_the_persons_token_and_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SONOSCOPE_API_KEY", "sono_key")
    log_in(monkeypatch, "operator")
    assert service._shown(access.viewer()) == {"Authorization": "Bearer token"}
    monkeypatch.delenv("SONOSCOPE_CONSOLE_LOGIN")
    config.set_option("server.address", "127.0.0.1")
    assert service._shown(access.viewer()) == {"Authorization": "Bearer sono_key"}
