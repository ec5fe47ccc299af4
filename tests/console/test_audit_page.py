"""The page Audit over the service's own routes, by HTTP: what was done, by whom, and at which entry the chain is broken."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI

from console import data
from console.views import audit as view
from serve import access, audit_views
from serve.access import Gate, Locked
from serve.answers import Identified, install_errors
from serve.audit import ACTIONS, Trail
from serve.keys import KeyTable
from telemetry.redact import Redactor
from tests.console.test_pages import run, words
from tests.servers.process import free_port, wait_for


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The database behind a service's audit routes on loopback: 130 entries of two persons."""
    path = tmp_path / "jobs.db"
    trail = Trail(f"sqlite:///{path}")
    for number in range(130):
        person = "lin" if number % 2 else "kai"
        trail.note("video", {"who": person, "department": "film", "request_id": f"r{number}"})
    audit_views.install(trail, Redactor.from_file(tmp_path / "redact.key"))
    app = FastAPI()
    app.add_middleware(Locked)
    app.add_middleware(Identified)
    install_errors(app)
    app.include_router(audit_views.router)
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_for(lambda: server.started, 30, lambda: "the service does not start")
    monkeypatch.setenv("SONOSCOPE_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("SONOSCOPE_DATA_DIR", str(tmp_path))
    data.store.clear()
    data.board.clear()
    yield path
    server.should_exit = True
    thread.join()
    access.lock(None)


def test_the_page_knows_every_action() -> None:
    assert set(view.ACTIONS) == set(ACTIONS)


def test_entries_are_shown_page_by_page_and_by_person(jobs: Path) -> None:
    app = run("audit")
    assert app.dataframe[0].value["seq"].tolist() == list(range(130, 30, -1))
    app.button(key="audit-older").click().run()
    assert app.dataframe[0].value["seq"].tolist() == list(range(30, 0, -1))
    mine = run("audit", who="lin").dataframe[0].value
    assert set(mine["who"]) == {"lin"}
    assert len(mine) == 65


@pytest.mark.parametrize(("language", "whole", "broken"), [("en", "The chain holds: 130", "first broken entry is 42"),
                                                         ("zh", "链完整：共 130", "第一条损坏的记录是 42")])  # fmt: skip
def test_the_first_broken_entry_is_named(language: str, whole: str, broken: str, jobs: Path) -> None:
    app = run("audit", lang=language)
    app.button(key="audit-verify").click().run()
    assert whole in words(app)
    with sqlite3.connect(jobs) as connection:
        connection.execute("UPDATE audit SET entry = replace(entry, 'lin', 'kai') WHERE seq IN (42, 44)")
    app.button(key="audit-verify").click().run()
    assert broken in words(app)
    assert not app.exception
    app.text_input(key="write-who").input("kai").run()
    app.button(key="audit-show").click().run()
    assert not app.exception
    assert app.dataframe[0].value["seq"].tolist() == list(range(42, 0, -1)), "up to the broken one, without the filter"


def test_a_key_that_is_no_auditors_sees_no_entry(jobs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = KeyTable(f"sqlite:///{jobs}")
    access.lock(Gate(keys, b"key", lambda _: None))
    monkeypatch.setenv("SONOSCOPE_API_KEY", keys.add("op", "film", "operator"))
    app = run("audit")
    assert "may not read the audit trail" in words(app)
    assert not app.dataframe
    monkeypatch.setenv("SONOSCOPE_API_KEY", keys.add("au", "court", "auditor"))
    assert len(run("audit").dataframe[0].value) == 100
