"""A service of its own that asks for keys: who may do what, what a department sees; and that it comes back and goes as told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import pytest

from serve.jobs import JobTable
from sonoscope.run import Run, marked_processes, read_run
from tests.servers.keycloak import Keycloak, keycloak, missing_keycloak
from tests.service.browsing import CHROMIUM
from tests.service.conftest import PORTRAIT, Service, sonoscope
from tests.service.logging_in import story

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.service
DOC = Path(__file__).parents[2] / "docs" / "security.md"
Cli = Callable[..., subprocess.CompletedProcess[str]]
WHO = {
    "viewer": ("film", "viewer"),
    "operator": ("film", "operator"),
    "auditor": ("court", "auditor"),
    "other department": ("news", "operator"),
}
ENV: dict[str, Any] = {
    "SONOSCOPE_ACCESS": "on", "SONOSCOPE_PORT": "0", "SONOSCOPE_DASHBOARD": "false", "SONOSCOPE_CONSOLE_PORT": "0",
    "RAY_ADDRESS": "127.0.0.1:1",  # of a cluster that somebody has on this machine: `up` starts a Ray of its own
}  # fmt: skip


@dataclass
class Locked:
    """The running service, its folder, and a key for each of WHO."""

    run: Run
    data_dir: Path
    keys: dict[str, str]
    output: str

    def ask(self, who: str, method: str, path: str, **more: Any) -> httpx.Response:
        headers = dict(more.pop("headers", {}))
        if who in self.keys:
            headers["Authorization"] = f"Bearer {self.keys[who]}"
        return httpx.request(method, self.run.url + path, headers=headers, timeout=60, **more)


@pytest.fixture(scope="module")
def issuer() -> Iterator[Keycloak | None]:
    """Whose people may log in; none where there is no Keycloak: what wants it is skipped, keys are tried all the same."""
    if missing_keycloak() is not None:
        yield None
        return
    with keycloak() as server:
        yield server


def by_log_in(issuer: Keycloak | None) -> dict[str, Any]:
    """The settings of the issuer."""
    if issuer is None:
        return {}
    told = {"ISSUER": issuer.issuer, "AUDIENCE": "sonoscope", "CONSOLE__CLIENT_ID": issuer.client_id}
    told["CONSOLE__CLIENT_SECRET"] = issuer.client_secret
    return {f"SONOSCOPE_OIDC__{name}": value for name, value in told.items()}


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory, issuer: Keycloak | None) -> Iterator[Locked]:
    data_dir = tmp_path_factory.mktemp("locked")
    refused = sonoscope(data_dir, "up", "-d", **ENV)
    assert refused.returncode == 1
    assert "sonoscope keys add" in refused.stderr
    made = {
        who: sonoscope(data_dir, "keys", "add", who, "--department", department, "--role", role)
        for who, (department, role) in WHO.items()
    }
    keys = {who: done.stdout.strip() for who, done in made.items()}
    started = sonoscope(data_dir, "up", "-d", **ENV, **by_log_in(issuer))
    try:
        assert started.returncode == 0, started.stderr
        run = read_run(data_dir)
        assert run is not None
        yield Locked(run, data_dir, keys, started.stdout)
    finally:
        sonoscope(data_dir, "down")


@pytest.fixture(scope="module")
def made(locked: Locked) -> dict[str, Any]:
    """A video of the department film, made with an operator's key, and the ids of its inputs."""
    audio = Service.long_speech(1.0)
    sent = (PORTRAIT.read_bytes(), audio)
    ids = [locked.ask("operator", "POST", "/assets", files={"file": data}).json()["asset_id"] for data in sent]
    order = {"portrait_image": ids[0], "audio_clip": ids[1], "min_resolution": 128, "seed": 1, "inference_steps": 1}
    answer = locked.ask(
        "operator", "POST", "/generate", json={"prompt": order}, headers={"X-Department": "news", "X-Consent-Reference": "C-17"}
    )
    assert answer.status_code == 200, answer.text
    return answer.json() | {"order": order, "asset_id": ids[0]}


def asked(made: dict[str, Any]) -> dict[str, tuple[str, str, dict[str, Any]]]:
    """Each route by its name in the OpenAPI document: how it is asked. What makes something is asked wrongly: 422 means let in."""
    id, job, nothing = made["request_id"], made["job_id"], {"data": {"nothing": "x"}, "files": {"x": b""}}
    return {
        "POST /generate": ("POST", "/generate", nothing),
        "POST /recognize": ("POST", "/recognize", nothing),
        "POST /assets": ("POST", "/assets", nothing),
        "GET /assets/{asset_id}": ("GET", f"/assets/{made['asset_id']}", {}),
        "GET /videos/{request_id}.mp4": ("GET", f"/videos/{id}.mp4", {}),
        "GET /videos/{request_id}/link": ("GET", f"/videos/{id}/link", {}),
        "GET /jobs": ("GET", "/jobs", {}),
        "GET /jobs/{job_id}": ("GET", f"/jobs/{job}", {}),
        "GET /jobs/{job_id}/events": ("GET", f"/jobs/{job}/events", {}),
        "POST /jobs/{job_id}/retry": ("POST", f"/jobs/{job}/retry", {}),
        "DELETE /jobs/{job_id}": ("DELETE", f"/jobs/{job}", {}),
        "POST /requests/{request_id}/score": ("POST", f"/requests/{id}/score", {"json": {"user_score": 1}}),
        "GET /audit": ("GET", "/audit", {}),
        "GET /audit/export": ("GET", "/audit/export", {}),
        "GET /audit/verify": ("GET", "/audit/verify", {}),
        "GET /metrics": ("GET", "/metrics", {}),
        "GET /openapi.json": ("GET", "/openapi.json", {}),
        "GET /healthz": ("GET", "/healthz", {}),
        "GET /readyz": ("GET", "/readyz", {}),
    }


def test_who_may_do_what_is_what_the_document_says(locked: Locked, made: dict[str, Any]) -> None:
    routes = asked(made)
    paths = locked.ask("viewer", "GET", "/openapi.json").json()["paths"]
    named = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    assert named | {"GET /openapi.json"} == routes.keys(), "a route that is not in the table of docs/security.md"
    lines = ["| route | nobody | " + " | ".join(WHO) + " |", "| --- " * (len(WHO) + 2) + "|"]
    for name, (method, path, more) in routes.items():
        statuses = [locked.ask(who, method, path, **more).status_code for who in ("nobody", *WHO)]
        lines.append(f"| `{name}` | " + " | ".join(map(str, statuses)) + " |")
    table = "\n".join(lines)
    assert table in DOC.read_text("utf-8"), table


def test_a_department_sees_its_own_and_nothing_else(locked: Locked, made: dict[str, Any]) -> None:
    listed = {who: [job["request_id"] for job in locked.ask(who, "GET", "/jobs").json()] for who in WHO}
    assert listed == {"viewer": [made["request_id"]], "operator": [made["request_id"]], "auditor": [made["request_id"]],
                      "other department": []}  # fmt: skip
    stolen = locked.ask("other department", "POST", "/generate", json={"prompt": made["order"]})
    assert (stolen.status_code, stolen.json()["error"]["type"]) == (404, "asset_not_found")
    row = Service(locked.run, locked.data_dir).record(made["request_id"]).request
    assert row["department"] == "film", "what the key says, not what a header claims"


def test_a_link_opens_the_video_and_nothing_else(locked: Locked, made: dict[str, Any]) -> None:
    link = locked.ask("viewer", "GET", f"/videos/{made['request_id']}/link", params={"seconds": 60}).json()["url"]
    opened = locked.ask("nobody", "GET", link)
    assert (opened.status_code, opened.headers["content-type"]) == (200, "video/mp4")
    assert opened.headers["x-content-type-options"] == "nosniff"
    assert locked.ask("nobody", "GET", link.replace(".mp4", "/link")).status_code == 401
    too_long = locked.ask("viewer", "GET", f"/videos/{made['request_id']}/link", params={"seconds": 1e9})
    assert (too_long.status_code, too_long.json()["error"]["field"]) == (422, "seconds")


def test_the_trail_says_who_asked_for_what_and_who_saw_it(cli: Cli, locked: Locked, made: dict[str, Any]) -> None:
    assert locked.ask("auditor", "GET", f"/videos/{made['request_id']}.mp4").status_code == 200
    done = cli(locked.data_dir, "audit", "list", "--request", made["request_id"], "--json")
    told = json.loads(done.stdout)
    assert [entry["action"] for entry in told[:2]] == ["generate", "ended"]
    assert told[0].items() >= {"who": "operator", "department": "film", "consent_reference": "C-17"}.items()
    assert told[0]["settings"]["min_resolution"] == 128
    assert (told[1]["state"], told[-1]["action"], told[-1]["who"], told[-1]["of"]) == ("succeeded", "video", "auditor", "court")
    assert cli(locked.data_dir, "audit", "verify").returncode == 0


def test_a_key_for_one_job_at_once_gets_one(locked: Locked, made: dict[str, Any]) -> None:
    done = sonoscope(locked.data_dir, "keys", "add", "one", "--department", "small", "--role", "operator", "--at-once", "1")
    locked.keys["one"] = done.stdout.strip()
    files = {"portrait": PORTRAIT.read_bytes(), "audio": Service.long_speech(20.0)}
    first = locked.ask("one", "POST", "/generate", files=files, headers={"Prefer": "respond-async"})
    assert first.status_code == 202, first.text
    second = locked.ask("one", "POST", "/generate", files=files, headers={"Prefer": "respond-async"})
    assert (second.status_code, second.json()["error"]["type"]) == (429, "rate_limited")
    assert int(second.headers["retry-after"]) >= 1
    assert locked.ask("one", "DELETE", f"/jobs/{first.json()['job_id']}").status_code == 202


def test_the_command_line_takes_the_key_from_the_environment(cli: Cli, locked: Locked, tmp_path: Path) -> None:
    asked = ("generate", PORTRAIT, PORTRAIT, "-o", tmp_path / "out.mp4", "--json")
    assert json.loads(cli(locked.data_dir, *asked).stdout)["error"]["type"] == "unauthorized"
    with_key = cli(locked.data_dir, *asked, SONOSCOPE_API_KEY=locked.keys["operator"])
    assert json.loads(with_key.stdout)["error"]["type"] == "audio_undecodable"


def test_rays_own_ports_want_its_token(locked: Locked, tmp_path: Path) -> None:
    words = [word for process in marked_processes(locked.run.run_id) for word in process.cmdline()]
    address = next(word.partition("=")[2] for word in words if word.startswith("--gcs-address="))
    wrong = tmp_path / "token"
    wrong.write_text("0" * 64)
    joined = {}
    for token in (locked.data_dir / "ray.token", wrong):
        env = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
        script = "import ray, sys; ray.init(address=sys.argv[1], logging_level='ERROR')"
        done = subprocess.run([sys.executable, "-c", script, address], env=env, capture_output=True, text=True, timeout=120)
        joined[token.name] = done.returncode == 0
    assert joined == {"ray.token": True, "token": False}


@pytest.mark.browser
@pytest.mark.server
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH (apt install chromium)")
@pytest.mark.skipif(missing_keycloak() is not None, reason=str(missing_keycloak()))
@pytest.mark.timeout(480)
def test_people_who_log_in_see_and_do_what_their_role_allows(browser: Browser, locked: Locked, issuer: Keycloak) -> None:
    story(browser, locked.run, issuer)


@pytest.mark.chaos
@pytest.mark.timeout(480)
def test_up_restarts_what_died_and_down_ends_everything(cli: Cli, locked: Locked) -> None:
    run, data_dir = locked.run, locked.data_dir
    assert run.console_url is not None
    assert run.console_url in locked.output
    assert httpx.get(f"{run.console_url}/_stcore/health", timeout=30).text == "ok"
    first = psutil.Process(run.children["service"])
    first.kill()
    end = time.monotonic() + 120
    while (again := read_run(data_dir)) is None or again.children["service"] == first.pid:
        assert time.monotonic() < end
        time.sleep(0.2)
    assert cli(data_dir, "up", "-d", **ENV).returncode == 0
    files = {"portrait": PORTRAIT.read_bytes(), "audio": Service.long_speech(4.0)}
    job = locked.ask("operator", "POST", "/generate", files=files, headers={"Prefer": "respond-async"}).json()
    while locked.ask("operator", "GET", f"/jobs/{job['job_id']}").json()["state"] == "queued":
        time.sleep(0.05)
    assert cli(data_dir, "down").returncode == 0
    row = JobTable(f"sqlite:///{data_dir / 'jobs.db'}").get(job["job_id"])
    assert row is not None
    assert (row["state"], row["attempt"]) == ("succeeded", 1), "what runs has time to end"
    assert not marked_processes(run.run_id)
    assert not (data_dir / "run.json").exists()
    assert "Nothing was running" in cli(data_dir, "down").stdout
