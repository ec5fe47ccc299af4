"""The audit trail over HTTP: who may read it, page by page, as a file that is harmless in a spreadsheet, and where it is broken."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from serve import access, audit_views
from serve.access import Gate, Locked
from serve.answers import Identified, install_errors
from serve.audit import Trail, write
from serve.keys import KeyTable
from telemetry.redact import Redactor
from telemetry.roles import ROLES

pytestmark = pytest.mark.anyio
COUNT = 1201


class Door:
    """The routes behind a gate with a key for each role, over a trail of COUNT entries of two persons and departments."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "jobs.db"
        url = f"sqlite:///{self.path}"
        self.trail, keys, redactor = Trail(url), KeyTable(url), Redactor.from_file(folder / "redact.key")
        self.keys = {role: keys.add(role, "film", role) for role in ROLES}
        self.trail.note("cancel", {"who": "=HYPERLINK(1)", "department": "film", "request_id": "@SUM", "more": "x"})
        with self.trail._engine.begin() as connection:
            for number in range(COUNT - 1):
                person = "lin" if number % 2 else "kai"
                about = {"department": "film" if number % 5 else "news", "owner_hash": redactor.hash(person), "who": person}
                write(connection, "video", {**about, "request_id": f"r{number}"})
        audit_views.install(self.trail, redactor)
        access.lock(Gate(keys, b"key", lambda _: None))
        app = FastAPI()
        app.add_middleware(Locked)
        app.add_middleware(Identified)
        install_errors(app)
        app.include_router(audit_views.router)
        self._transport = httpx.ASGITransport(app)

    async def ask(self, path: str, role: str = "auditor", query: dict[str, Any] | None = None, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.keys[role]}"}
        async with httpx.AsyncClient(transport=self._transport, base_url="http://door") as client:
            return await client.get(path, params={**(query or {}), **more}, headers=headers)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    yield Door(tmp_path)
    access.lock(None)


async def test_only_an_auditor_reads_it(door: Door) -> None:
    for path in ("/audit", "/audit/export", "/audit/verify"):
        statuses = {role: (await door.ask(path, role)).status_code for role in ROLES}
        assert statuses == {"viewer": 403, "operator": 403, "auditor": 200}
    refused = (await door.ask("/audit", "operator")).json()["error"]
    assert refused["type"] == "forbidden"


async def test_its_pages_hold_each_entry_once_the_newest_first(door: Door) -> None:
    seen: list[int] = []
    before: dict[str, int] = {}
    while True:
        page = (await door.ask("/audit", query={"limit": 700, **before})).json()
        seen += [entry["seq"] for entry in page["entries"]]
        if page["next_before"] is None:
            break
        before = {"before": page["next_before"]}
    assert seen == list(range(COUNT, 0, -1))


async def test_filters_choose_by_department_person_action_and_time(door: Door) -> None:
    news = (await door.ask("/audit", department="news", limit=1000)).json()["entries"]
    assert len(news) == 240
    assert {entry["department"] for entry in news} == {"news"}
    for by in ({"who": "lin"}, {"owner": "lin"}):
        lin = (await door.ask("/audit", query={"limit": 1000, "before": 101, **by})).json()["entries"]
        assert {entry["who"] for entry in lin} == {"lin"}
        assert len(lin) == 49
    assert [e["seq"] for e in (await door.ask("/audit", action="cancel")).json()["entries"]] == [1]
    assert (await door.ask("/audit", since="2100-01-01")).json() == {"entries": [], "next_before": None}
    assert (await door.ask("/audit", until="2000-01-01T00:00:00Z")).json()["entries"] == []
    bad = await door.ask("/audit", since="yesterday")
    assert (bad.status_code, bad.json()["error"]["field"]) == (422, "since")


async def test_the_csv_holds_every_entry_and_no_formula(door: Door) -> None:
    answer = await door.ask("/audit/export", format="csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [int(row["seq"]) for row in rows] == list(range(1, COUNT + 2)), "with the entry that tells of the export"
    assert (rows[0]["who"], rows[0]["request_id"]) == ("'=HYPERLINK(1)", "'@SUM")
    assert json.loads(rows[0]["more"]) == {"more": "x"}
    assert (rows[-1]["action"], rows[-1]["who"]) == ("export", "auditor")
    assert "audit.csv" in answer.headers["content-disposition"]


@pytest.mark.parametrize("cell", ["=1", "+1", "-1", "@x", "\t=1", "\r=1"])
def test_a_text_that_begins_as_a_formula_is_defused(cell: str) -> None:
    assert audit_views.harmless(cell) == f"'{cell}"
    assert audit_views.harmless("1=1") == "1=1"
    assert audit_views.harmless(-1) == -1


async def test_json_lines_are_the_entries_themselves(door: Door) -> None:
    answer = await door.ask("/audit/export", format="jsonl", department="news")
    told = [json.loads(line) for line in answer.text.splitlines()]
    assert told == list(door.trail.entries(department="news"))
    assert len(told) == 240


def test_an_export_is_written_while_it_is_read(door: Door) -> None:
    taken = 0

    def entries() -> Iterator[dict[str, Any]]:
        nonlocal taken
        for entry in door.trail.entries():
            taken += 1
            yield entry

    assert len(list(islice(audit_views.csv_lines(entries()), 11))) == 11
    assert taken == 10, "the names, and ten entries: no entry is read before its line is asked for"


async def test_a_changed_entry_is_found_with_its_number(door: Door) -> None:
    whole = (await door.ask("/audit/verify")).json()
    assert (whole["holds"], whole["entries"], whole["first_fault"]) == (True, COUNT, None)
    with sqlite3.connect(door.path) as connection:
        connection.execute("UPDATE audit SET entry = replace(entry, 'kai', 'lin') WHERE seq IN (402, 900)")
    broken = (await door.ask("/audit/verify")).json()
    assert (broken["holds"], broken["first_fault"]["seq"], broken["faults"][0]["seq"]) == (False, 402, 402)
