"""`sonoscope alerts`: what it prints, what it refuses, and the loop that `up` starts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from serve.settings import Settings
from sonoscope.cli import app
from sonoscope.supervisor import Supervisor
from telemetry.errors import RequestError
from tests.analytics.conftest import SECOND, Service
from tests.servers.hook import HookServer


@pytest.fixture
def hook() -> Iterator[HookServer]:
    server = HookServer()
    yield server
    server.stop()


@pytest.fixture
def alerts(tmp_path: Path, hook: HookServer) -> Path:
    path = tmp_path / "alerts.yaml"
    path.write_text(f"""
every: 0.2s
sinks: {{hook: {{kind: webhook, url: {hook.url}}}}}
alerts:
- {{id: failing, where: 'status = "error"', condition: {{kind: count, above: 1}}, sinks: [hook]}}
""")
    return path


@pytest.fixture
def failing(tmp_path: Path) -> Path:
    """A data folder with two failures of this moment."""
    service = Service(tmp_path)
    for number in range(2):
        error = RequestError("out_of_memory", "Too little.", stage="run_inference")
        service.finish(service.context(number), time.time_ns() - 3 * SECOND, error)
    service.telemetry.shutdown()
    return tmp_path


def run(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["alerts", *map(str, arguments)], env={"COLUMNS": "200"})
    return done.exit_code, done.output


def test_a_check_prints_what_fires_and_sends_it_once(alerts: Path, failing: Path, hook: HookServer) -> None:
    code, text = run("check", "--file", alerts, "--data-dir", failing)
    assert code == 0, text
    assert "firing" in text
    assert "1 messages sent, 0 waiting" in text
    run("check", "--file", alerts, "--data-dir", failing)
    ((_, body),) = hook.posts
    assert json.loads(body)["facts"]["incidents"][0]["fixes"][0]["rule"] == "memory"


def test_a_dry_run_sends_nothing_and_the_message_waits(alerts: Path, failing: Path, hook: HookServer) -> None:
    assert "1 waiting" in run("check", "--dry-run", "--file", alerts, "--data-dir", failing)[1]
    assert hook.posts == []
    run("check", "--file", alerts, "--data-dir", failing)
    assert len(hook.posts) == 1


def test_a_sink_that_refuses_is_shown_with_its_error(alerts: Path, failing: Path, hook: HookServer) -> None:
    hook.answers = [500]
    assert "webhook at 127.0.0.1 answered 500" in run("check", "--file", alerts, "--data-dir", failing)[1]


def test_a_silence_holds_messages_back_until_it_is_ended(alerts: Path, failing: Path, hook: HookServer) -> None:
    assert run("silence", "failing", "--for", "2h", "--file", alerts, "--data-dir", failing)[0] == 0
    assert "failing is silent until" in run("check", "--file", alerts, "--data-dir", failing)[1]
    assert hook.posts == []
    run("silence", "failing", "--end", "--file", alerts, "--data-dir", failing)
    run("check", "--file", alerts, "--data-dir", failing)
    assert len(hook.posts) == 1
    assert "there is no alert nothing" in run("silence", "nothing", "--file", alerts, "--data-dir", failing)[1]


def test_a_test_message_says_which_sink_took_it(alerts: Path, tmp_path: Path, hook: HookServer) -> None:
    assert run("test", "--file", alerts, "--data-dir", tmp_path) == (0, "hook: taken\n")
    hook.answers = [403]
    code, text = run("test", "--file", alerts, "--data-dir", tmp_path)
    assert code == 1
    assert "answered 403" in text


def test_without_a_file_it_says_how_to_name_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SONOSCOPE_ALERTS_FILE", raising=False)
    code, text = run("check", "--data-dir", tmp_path)
    assert code == 1
    assert "SONOSCOPE_ALERTS_FILE" in text


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("kind: webhook,", "kind: webhook, secret: {env: NOT_SET},", "NOT_SET is not set"),
        ("where: 'status = \"error\"'", "rule: nothing", "there is no rule nothing"),
        ("above: 1", "above: many", "failing.condition"),
    ],
)
def test_a_bad_file_ends_the_command_with_its_place(alerts: Path, tmp_path: Path, old: str, new: str, problem: str) -> None:
    alerts.write_text(alerts.read_text().replace(old, new))
    code, text = run("check", "--file", alerts, "--data-dir", tmp_path)
    assert code == 1
    assert problem in " ".join(text.split())


def test_the_loop_tells_what_begins_while_it_runs_and_ends_on_a_signal(alerts: Path, tmp_path: Path, hook: HookServer) -> None:
    command = [sys.executable, "-m", "sonoscope", "alerts", "watch", "--data-dir", str(tmp_path)]
    env = {**os.environ, "SONOSCOPE_ALERTS_FILE": str(alerts), "SONOSCOPE_CONFIG": str(tmp_path / "none.toml")}
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE) as process:
        service = Service(tmp_path)
        for number in range(2):
            service.finish(service.context(number), time.time_ns() - 3 * SECOND, RequestError("internal", "It broke."))
        end = time.monotonic() + 120
        while not hook.posts and time.monotonic() < end and process.poll() is None:
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    service.telemetry.shutdown()
    assert len(hook.posts) == 1


def test_up_starts_the_loop_only_where_a_file_is_named(alerts: Path, tmp_path: Path) -> None:
    quiet = {"data_dir": tmp_path, "port": 0, "dashboard": False, "console": False}
    children = {child.name for child in Supervisor(Settings(**quiet), print)._children}
    assert "alerts" not in children
    told = Supervisor(Settings(**quiet, alerts_file=alerts), print)._children
    assert next(child for child in told if child.name == "alerts").command[-2:] == ["alerts", "watch"]
