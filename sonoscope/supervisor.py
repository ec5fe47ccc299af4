"""`up`: starts the service's processes, restarts what dies, and on a signal ends exactly what it started."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from serve.grpc.options import grpc_environment
from serve.settings import Settings
from sonoscope import console
from sonoscope.run import MARK, Run, end_processes, marked_processes, read_run

BACKOFF_S = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Waits before the next start of a child that keeps dying; after a minute of life it counts as well again."""
GRACE_S = 25.0
"""Serve's shutdown took 6 s and Ray's 2 s when measured; a busy machine takes several times as long."""


class AlreadyRunning(Exception):
    """Another `up` works on the same data folder."""


class PortTaken(Exception):
    """A port of ours cannot be had; the message names the setting, the port and the way out."""


def free_port(setting: str, host: str, wanted: int) -> int:
    """`wanted`, or a free port for 0. Raises PortTaken where the wanted one cannot be had."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, wanted))
        except OSError as error:
            way_out = f"SONOSCOPE_{setting.upper()}=0 picks any free one"
            raise PortTaken(f"{setting} {wanted} on {host}: {error.strerror}; {way_out}") from None
        return probe.getsockname()[1]


def environment(settings: Settings, run_id: str) -> dict[str, str]:
    """The environment of every child: settings resolved, Ray's authentication set on purpose, dependencies' telemetry off."""
    token = settings.data_dir / "ray.token"
    return {
        # Ray itself would let each of its dozens of logs grow to 10 GB.
        "RAY_ROTATION_MAX_BYTES": str(settings.log_bytes),
        "RAY_ROTATION_BACKUP_COUNT": "1",
        **os.environ,
        MARK: run_id,
        "SONOSCOPE_DATA_DIR": str(settings.data_dir),
        "SONOSCOPE_HOST": settings.host,
        "SONOSCOPE_PORT": str(settings.port),
        "SONOSCOPE_DASHBOARD_PORT": str(settings.dashboard_port),
        **({} if settings.grpc_port is None else grpc_environment(settings.grpc_port, settings.max_upload_bytes)),
        # Ray's services bind all interfaces whatever address they are given: the token keeps others on this machine out.
        "RAY_AUTH_MODE": settings.ray_auth_mode,
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "serve.proxy:middlewares",
        "ORT_DISABLE_TELEMETRY": "1",
        # Threads that wait must not spin while the encoder wants the core: 10 s at 512 px took 1.92 s spinning, 1.66 s passive.
        "OMP_WAIT_POLICY": "PASSIVE",
        "STREAMLIT_BROWSER_GATHER_USAGE_STATS": "false",
        "PYTHONUNBUFFERED": "1",
    }


@dataclass
class Child:
    """One supervised process."""

    name: str
    command: list[str]
    process: subprocess.Popen[bytes] | None = None
    failures: int = 0
    started: float = 0.0
    not_before: float = field(default=0.0)
    env: dict[str, str] = field(default_factory=dict)

    def start(self, env: dict[str, str], log: Path) -> None:
        """Starts the process in a session of its own, so that a Ctrl-C in the terminal reaches only the supervisor."""
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                self.command,
                env=env | self.env,
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self.started = time.monotonic()

    def check(self, now: float) -> bool:
        """True when the process has died; sets when it may be started again."""
        if self.process is None or self.process.poll() is None:
            return False
        self.failures = 0 if now - self.started > 60 else self.failures + 1
        self.not_before = now + BACKOFF_S[min(self.failures, len(BACKOFF_S) - 1)]
        self.process = None
        return True


class Supervisor:
    """Keeps the children of one data folder alive until `stop()`."""

    def __init__(self, settings: Settings, say: Callable[[str], None]):
        self._settings = settings.model_copy(
            update={
                "port": free_port("port", settings.host, settings.port),
                # Ray's gRPC proxy binds every address of the machine, whatever `host` is.
                "grpc_port": None if settings.grpc_port is None else free_port("grpc_port", "0.0.0.0", settings.grpc_port),
                "dashboard_port": free_port("dashboard_port", "127.0.0.1", settings.dashboard_port) if settings.dashboard else 0,
                "console": settings.console and console.installed(),
                "console_port": free_port("console_port", settings.console_host, settings.console_port) if settings.console else 0,
            }
        )
        self._say = say
        self._run_id = secrets.token_hex(8)
        self._stop = threading.Event()
        self._children = [
            Child("service", [sys.executable, "-m", "sonoscope.service"]),
            Child("compactor", _compactor(self._settings)),
        ]
        if self._settings.forwarded:
            self._children.append(Child("forwarder", [sys.executable, "-m", "sonoscope", "forward"]))
        if self._settings.alerts_file is not None:
            self._children.append(Child("alerts", [sys.executable, "-m", "sonoscope", "alerts", "watch"]))
        self.run = self._describe()
        if self._settings.console:
            told = console.environment(self._settings, self.run.url)
            self._children.append(Child("console", console.command(self._settings), env=told))

    def _describe(self) -> Run:
        settings = self._settings
        host = "127.0.0.1" if settings.host == "0.0.0.0" else settings.host
        return Run(
            run_id=self._run_id,
            pid=os.getpid(),
            started=psutil.Process().create_time(),
            url=f"http://{host}:{settings.port}",
            dashboard_url=f"http://127.0.0.1:{settings.dashboard_port}" if settings.dashboard else None,
            grpc_address=None if settings.grpc_port is None else f"{host}:{settings.grpc_port}",
            console_url=f"http://{settings.console_host}:{settings.console_port}" if settings.console else None,
            drain_s=settings.drain_s,
            token_path=str(settings.data_dir / "ray.token") if settings.ray_auth_mode == "token" else None,
        )

    def serve_forever(self) -> None:
        """Runs until `stop()` or a signal. Raises AlreadyRunning."""
        claim(self._settings)
        _write_token(self._settings)
        if self._settings.console:
            console.write_login(self._settings)
        env = environment(self._settings, self._run_id)
        logs = self._settings.data_dir / "logs"
        logs.mkdir(exist_ok=True)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: self._stop.set())
        try:
            while not self._stop.is_set():
                self._look(env, logs)
                rotate(logs, self._settings.log_bytes)
                self._stop.wait(0.2)
        finally:
            self._end()

    def stop(self) -> None:
        """Makes `serve_forever` end its children and return."""
        self._stop.set()

    def _look(self, env: dict[str, str], logs: Path) -> None:
        now = time.monotonic()
        for child in self._children:
            if child.check(now):
                self._say(f"{child.name} ended; it starts again in {child.not_before - now:.0f} s (log: {logs / child.name}.log)")
                # What the dead process leaves behind (Ray's processes) would hold its ports.
                ours = {other.process.pid for other in self._children if other.process}
                if child.name == "service":
                    end_processes([one for one in marked_processes(self._run_id) if one.pid not in ours], GRACE_S)
            if child.process is None and now >= child.not_before:
                child.start(env, logs / f"{child.name}.log")
                assert child.process is not None
                self.run.children[child.name] = child.process.pid
                self.run.write(self._settings.data_dir)

    def _end(self) -> None:
        processes = [psutil.Process(c.process.pid) for c in self._children if c.process and c.process.poll() is None]
        end_processes(processes, GRACE_S + self._settings.drain_s)
        end_processes(marked_processes(self._run_id), 3.0)
        (self._settings.data_dir / "run.json").unlink(missing_ok=True)


def _compactor(settings: Settings) -> list[str]:
    command = [sys.executable, "-m", "telemetry.compact", str(settings.data_dir), "--every", str(settings.compact_every_s)]
    if settings.retention_max_age_s is not None:
        command += ["--max-age-s", str(settings.retention_max_age_s)]
    if settings.retention_max_bytes is not None:
        command += ["--max-bytes", str(settings.retention_max_bytes)]
    for kind in settings.forwarded:
        command += ["--forwarded", kind]
    return command


def claim(settings: Settings) -> None:
    """Makes the data folder ours: what a dead run left is ended. Raises AlreadyRunning where a run is alive."""
    settings.prepare()
    run = read_run(settings.data_dir)
    if run is not None:
        if run.alive and run.pid != os.getpid():
            raise AlreadyRunning(f"sonoscope is up already at {run.url} (process {run.pid}); `sonoscope down` ends it")
        end_processes(marked_processes(run.run_id), GRACE_S)
    for folder in (settings.assets_dir, settings.videos_dir, settings.cache_dir):
        for unfinished in folder.glob(".*.part"):
            unfinished.unlink(missing_ok=True)


def rotate(logs: Path, max_bytes: int) -> None:
    """Moves what a log beyond `max_bytes` holds to `NAME.log.1`, over what was there.

    Copied and cut, not renamed: the child has the file open for appending and goes on at the new end. What it writes between the
    copy and the cut is lost.
    """
    for log in logs.glob("*.log"):
        if log.stat().st_size > max_bytes:
            shutil.copyfile(log, log.with_name(f"{log.name}.1"))
            os.truncate(log, 0)


def bring_down(data_dir: Path) -> Run | None:
    """Ends the run of a data folder; returns what was ended, or None where nothing ran."""
    run = read_run(data_dir)
    if run is None:
        return None
    if run.alive:
        # The supervisor itself waits for its children as long as twice the grace and then kills them.
        end_processes([psutil.Process(run.pid)], 3 * GRACE_S + run.drain_s)
    end_processes(marked_processes(run.run_id), GRACE_S)
    (data_dir / "run.json").unlink(missing_ok=True)
    return run


def _write_token(settings: Settings) -> None:
    path = settings.data_dir / "ray.token"
    if settings.ray_auth_mode == "token" and not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
