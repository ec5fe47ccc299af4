"""One real service for the whole session: Ray, Serve and the supervisor, as a user starts them."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import psutil
import pytest

from analytics.record import Record, load
from analytics.stores.local import LocalStore
from sonoscope.client import Client
from sonoscope.run import Run, marked_processes, read_run
from tests.servers.mail import PASSWORD, USER, MailServer
from tests.service.browsing import CHROMIUM, FLAGS

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

MEDIA = Path(__file__).parents[2] / "sonoscope" / "media"
PORTRAIT = MEDIA / "portrait_astronaut.png"
SPEECH = {"en": MEDIA / "speech_en.wav", "zh": MEDIA / "speech_zh.wav"}
FINAL = ("succeeded", "failed", "cancelled")


def sonoscope(data_dir: Path, *arguments: object, timeout: float = 240, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs the command line as a user does."""
    command = [sys.executable, "-m", "sonoscope", *map(str, arguments)]
    environment = {**os.environ, "SONOSCOPE_DATA_DIR": str(data_dir), "SONOSCOPE_CONFIG": str(data_dir / "none.toml"), **env}
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=environment)


@dataclass
class Service:
    """A running service and its data."""

    run: Run
    data_dir: Path

    @property
    def url(self) -> str:
        return self.run.url

    def client(self) -> Client:
        return Client(self.url)

    def download(self, request_id: str, path: Path) -> None:
        with self.client() as client:
            client.download(request_id, path)

    def record(self, id: str) -> Record:
        """The record of a request, which must be there."""
        found = load(LocalStore(self.data_dir / "journal"), id)
        assert found is not None, id
        return found

    def replica(self, stage: str) -> psutil.Process:
        """The process of a stage's replica."""
        found = [p for p in marked_processes(self.run.run_id) if f":{stage}" in _title(p) and "Replica" in _title(p)]
        assert len(found) == 1, (stage, [_title(p) for p in marked_processes(self.run.run_id)])
        return found[0]

    def generate(
        self, *, portrait: Any = None, audio: Any = None, headers: dict[str, str] | None = None, **form: str
    ) -> httpx.Response:
        """POST /generate with files or bytes."""
        portrait = PORTRAIT.read_bytes() if portrait is None else portrait
        audio = SPEECH["zh"].read_bytes() if audio is None else audio
        files = {"portrait": ("portrait.png", portrait), "audio": ("audio.wav", audio)}
        return httpx.post(f"{self.url}/generate", files=files, data=form, headers=headers, timeout=120)

    def wait(self, job_id: str, until: tuple[str, ...] = FINAL, timeout_s: float = 90) -> dict[str, Any]:
        """The job once it is in one of these states."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            job = httpx.get(f"{self.url}/jobs/{job_id}", timeout=30).json()
            if job["state"] in until:
                return job
            time.sleep(0.05)
        raise AssertionError(f"job {job_id} is still {job}")

    def submit(self, audio: bytes, **form: str) -> dict[str, Any]:
        """Hands a job in and returns at once."""
        answer = self.generate(audio=audio, headers={"Prefer": "respond-async"}, **form)
        assert answer.status_code == 202, answer.text
        assert answer.headers["location"] == f"/jobs/{answer.json()['job_id']}"
        return answer.json()

    def until_encoding(self, job_id: str) -> None:
        """Waits until the first frames are encoded."""
        end = time.monotonic() + 120
        while time.monotonic() < end:
            job = httpx.get(f"{self.url}/jobs/{job_id}").json()
            if job["frames"]:
                return
            assert job["state"] in ("queued", "running"), job
            time.sleep(0.02)
        raise AssertionError("never started to encode")

    def settle(self) -> None:
        """Waits until the encoder has let go of its unfinished file."""
        end = time.monotonic() + 10
        while self.stray_files() and time.monotonic() < end:
            time.sleep(0.05)

    @staticmethod
    def long_speech(seconds: float = 40.0) -> bytes:
        """English speech of this length, as WAV."""
        with wave.open(str(SPEECH["en"])) as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        buffer = io.BytesIO()
        with wave.open(buffer, "wb") as file:
            file.setparams((1, 2, 16_000, 0, "NONE", "not compressed"))
            file.writeframes(np.resize(samples, int(seconds * 16_000)).tobytes())
        return buffer.getvalue()

    @property
    def fault_plan(self) -> Path:
        """The plan of known defects, empty unless a test writes one; a test chooses its requests by a department of its own."""
        return self.data_dir / "faults.yaml"

    def stray_files(self) -> list[Path]:
        """Unfinished files anywhere in the data folder."""
        return [path for path in self.data_dir.rglob("*.part") if path.is_file()]


@contextmanager
def service_of_its_own(data_dir: Path, **env: str) -> Iterator[Service]:
    """`sonoscope up -d` on a free port, without console and dashboard, with these settings; `down` at the end."""
    plain = {"SONOSCOPE_PORT": "0", "SONOSCOPE_DASHBOARD": "false", "SONOSCOPE_CONSOLE": "false"}
    started = sonoscope(data_dir, "up", "-d", **plain, **env)
    try:
        run = read_run(data_dir)
        assert started.returncode == 0, started.stderr
        assert run is not None
        yield Service(run, data_dir)
    finally:
        sonoscope(data_dir, "down")


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


ALERTS = """
every: 10s
sinks:
  operators: {{kind: email, host: 127.0.0.1, port: {port}, ca_file: {ca_file}, username: {user}, password: {{env: MAIL_PASSWORD}},
              from: sonoscope@example.org, to: [operators@example.org]}}
alerts:
- {{id: same_error, where: 'status = "error"', among: 'department = "story"', condition: {{kind: repeated}}, sinks: [operators]}}
"""
"""What the service of the tests watches: one department, so that no other test sends mail."""


TRAFFIC = '{"name": "margin", "share": 0.5, "department": "trial", "parameters": {"expand_ratio": 0.2}}'
"""The experiment in the traffic of one department."""


@pytest.fixture(scope="session")
def mail_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    """Where the alerts of `service` go."""
    server = MailServer(tmp_path_factory.mktemp("mail"), "starttls")
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory, mail_server: MailServer) -> Iterator[Service]:
    """`sonoscope up -d` on free ports in a folder of its own; `down` at the end leaves no process."""
    data_dir = tmp_path_factory.mktemp("service")
    (data_dir / "faults.yaml").write_text("[]")
    (data_dir / "alerts.yaml").write_text(ALERTS.format(port=mail_server.port, ca_file=mail_server.ca_file, user=USER))
    env = {
        "SONOSCOPE_PORT": "0",
        "SONOSCOPE_DASHBOARD": "false",
        "SONOSCOPE_CONSOLE": "false",
        "SONOSCOPE_MAX_UPLOAD_BYTES": str(8 * 2**20),
        "SONOSCOPE_FAULTS_FILE": str(data_dir / "faults.yaml"),
        "SONOSCOPE_ALERTS_FILE": str(data_dir / "alerts.yaml"),
        "MAIL_PASSWORD": PASSWORD,
        "SONOSCOPE_WEBHOOK_ALLOW_PRIVATE": "true",
        "SONOSCOPE_JOB_LEASE_S": "6",
        "SONOSCOPE_SERVICE_VERSION": "under test",
        "SONOSCOPE_TRAFFIC_EXPERIMENT": TRAFFIC,
    }
    started = sonoscope(data_dir, "up", "-d", **env)
    try:
        run = read_run(data_dir)
        for _ in range(2):  # on a machine that is busy with other things Ray gives its start up after 30 s, and is started again
            if started.returncode == 0 or run is None or not run.alive:
                break
            started = sonoscope(data_dir, "up", "-d", **env)
            run = read_run(data_dir)
        log = data_dir / "logs" / "service.log"
        assert started.returncode == 0, started.stderr + (log.read_text()[-3000:] if log.exists() else "")
        assert run is not None
        yield Service(run, data_dir)
    finally:
        sonoscope(data_dir, "down")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, without a window; no longer than a module, for playwright's event loop is in the way of those of other tests."""
    playwright = pytest.importorskip("playwright.sync_api", reason="the extra `dev` brings playwright")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS])
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A window of somebody who was never here."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(90_000)  # a slow machine has everything else to do, too
    yield context.new_page()
    context.close()


@pytest.fixture(scope="session")
def cli() -> Callable[..., subprocess.CompletedProcess[str]]:
    """`cli(data_dir, *arguments, **env)`: the command line in a process of its own."""
    return sonoscope
