"""API keys and the gate: what opens the door, for how long, to what, and how often."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from serve import access
from serve.access import HEADERS, Gate, Locked, lock
from serve.answers import Identified
from serve.keys import Caller, KeyTable
from telemetry.roles import SCOPES

LINK_KEY = b"k" * 32


@pytest.fixture
def keys(tmp_path: Path) -> KeyTable:
    return KeyTable(f"sqlite:///{tmp_path / 'jobs.db'}")


def test_a_key_says_who_has_it_and_its_secret_is_stored_nowhere(keys: KeyTable, tmp_path: Path) -> None:
    key = keys.add("lin", "film", "operator", per_minute=9, at_once=2)
    caller = keys.caller(key)
    assert caller == Caller(key.split("_")[1], "lin", "film", "operator", 9, 2)
    secret = key.split("_", 2)[2].encode()  # it may hold one itself
    assert all(secret not in path.read_bytes() for path in tmp_path.glob("jobs.db*"))


@pytest.mark.parametrize(
    "change",
    [lambda key: key[:-1] + ("A" if key[-1] != "A" else "B"), lambda key: key[:-1], lambda key: key.upper(), lambda _: "",
     lambda _: "sono_000000000000_" + "A" * 43, lambda key: key + "\n"],
)  # fmt: skip
def test_nothing_but_the_whole_key_is_the_key(keys: KeyTable, change: Callable[[str], str]) -> None:
    assert keys.caller(change(keys.add("lin", "film", "viewer"))) is None


def test_a_key_ends_when_it_says_or_when_it_is_revoked(keys: KeyTable) -> None:
    over = keys.add("a", "film", "viewer", expires=time.time() - 1)
    ended = keys.add("b", "film", "viewer")
    assert keys.revoke(ended.split("_")[1])
    assert not keys.revoke(ended.split("_")[1])
    assert [keys.caller(over), keys.caller(ended)] == [None, None]
    assert not keys.any_valid()


def test_a_rotated_key_keeps_its_rights_and_the_old_one_its_grace(keys: KeyTable) -> None:
    old = keys.add("lin", "film", "operator", per_minute=5)
    new = keys.rotate(old.split("_")[1], after_s=60)
    assert new is not None
    first, second = keys.caller(old), keys.caller(new)
    assert first is not None
    assert second is not None
    assert (second.name, second.department, second.role, second.per_minute) == ("lin", "film", "operator", 5)
    assert second.key_id != first.key_id
    ends = next(row["expires"] for row in keys.list() if row["key_id"] == first.key_id)
    assert ends == pytest.approx(time.time() + 60, abs=5)


def test_only_an_auditor_sees_every_department_and_only_an_operator_makes() -> None:
    seen = {role: Caller("k", "n", "film", role).sees("news") for role in SCOPES}
    assert seen == {"viewer": False, "operator": False, "auditor": True}
    assert {role for role in SCOPES if Caller("k", "n", "film", role).may("write")} == {"operator"}


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def refused() -> list[str]:
    return []


class Door:
    """A client of an application in this process."""

    def __init__(self, app: Starlette, gate: Gate):
        self._app = app
        self.gate = gate

    def get(self, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        return self._ask("GET", path, headers)

    def post(self, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        return self._ask("POST", path, headers)

    def _ask(self, method: str, path: str, headers: dict[str, str] | None) -> httpx.Response:
        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(self._app), base_url="http://door") as client:
                return await client.request(method, path, headers=headers)

        return asyncio.run(ask())


@pytest.fixture
def door(keys: KeyTable, clock: Clock, refused: list[str]) -> Iterator[Door]:
    async def told(request: Request) -> PlainTextResponse:
        caller = access.caller_of(request)
        return PlainTextResponse("nobody" if caller is None else f"{caller.name} of {caller.department}")

    routes = [Route(path, told, methods=["GET", "POST"]) for path in ("/healthz", "/jobs", "/videos/a.mp4", "/videos/b.mp4")]
    app = Starlette(routes=routes)
    app.add_middleware(Locked)
    app.add_middleware(Identified)
    gate = Gate(keys, LINK_KEY, refused.append, clock)
    lock(gate)
    yield Door(app, gate)
    lock(None)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_without_a_key_only_health_answers(door: Door, refused: list[str]) -> None:
    assert door.get("/healthz").text == "nobody"
    answer = door.get("/jobs")
    assert (answer.status_code, answer.json()["error"]["type"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.headers["x-request-id"]
    assert door.get("/no-such-route").status_code == 401, "which routes there are is nobody's business"
    assert door.get("/jobs", headers=bearer("sono_0_wrong")).status_code == 401
    assert refused == ["unauthorized"] * 3


def test_either_header_shows_the_key_and_the_role_decides(door: Door, keys: KeyTable, refused: list[str]) -> None:
    viewer, operator = keys.add("lin", "film", "viewer"), keys.add("kai", "news", "operator")
    assert door.get("/jobs", headers={"X-API-Key": viewer}).text == "lin of film"
    assert door.post("/jobs", headers=bearer(operator)).text == "kai of news"
    answer = door.post("/jobs", headers=bearer(viewer))
    assert (answer.status_code, answer.json()["error"]["type"]) == (403, "forbidden")
    assert refused == ["forbidden"]
    assert {name.decode() for name in HEADERS} <= {name.lower() for name in answer.headers}


def test_a_key_that_asks_too_often_is_told_when_to_come_back(door: Door, keys: KeyTable, clock: Clock) -> None:
    key = bearer(keys.add("lin", "film", "viewer", per_minute=3))
    assert [door.get("/jobs", headers=key).status_code for _ in range(4)] == [200, 200, 200, 429]
    clock.now += 20
    answer = door.get("/jobs", headers=key)
    assert (answer.json()["error"]["type"], answer.headers["retry-after"]) == ("rate_limited", "40")
    clock.now += 41
    assert door.get("/jobs", headers=key).status_code == 200


def test_what_a_key_may_not_do_counts_against_its_rate(door: Door, keys: KeyTable) -> None:
    key = bearer(keys.add("lin", "film", "viewer", per_minute=2))
    assert [door.post("/jobs", headers=key).status_code for _ in range(3)] == [403, 403, 429]


def test_a_revoked_key_is_believed_for_some_seconds_at_most(door: Door, keys: KeyTable, clock: Clock) -> None:
    key = keys.add("lin", "film", "viewer")
    assert door.get("/jobs", headers=bearer(key)).status_code == 200
    keys.revoke(key.split("_")[1])
    clock.now += access.REMEMBER_S + 0.1
    assert door.get("/jobs", headers=bearer(key)).status_code == 401


def test_a_signed_link_opens_one_path_for_reading_and_for_its_time(door: Door, clock: Clock) -> None:
    link = door.gate.link("/videos/a.mp4", 60)
    assert door.get(link).text == "nobody"
    assert door.post(link).status_code == 401
    assert door.get(link.replace("a.mp4", "b.mp4")).status_code == 401
    assert door.get(link.replace("expires=1", "expires=2")).status_code == 401
    assert door.get(link[:-1] + ("0" if link[-1] != "0" else "1")).status_code == 401
    assert door.get(link.partition("&")[0] + "&signature=ä").status_code == 401
    clock.now += 61
    assert door.get(link).status_code == 401


def test_a_table_of_an_older_version_gets_its_keys(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    KeyTable(f"sqlite:///{path}")
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE api_keys")
    assert not KeyTable(f"sqlite:///{path}").any_valid()
