"""`run.json`: how the other commands find what `up` started."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

MARK = "SONOSCOPE_RUN"
"""Environment variable that every process of one `up` carries, so that `down` ends exactly those."""


@dataclass
class Run:
    """A running (or dead) `up`."""

    run_id: str
    pid: int
    started: float
    """Creation time of the supervisor's process: a pid alone may belong to somebody else by now."""
    url: str
    dashboard_url: str | None
    token_path: str | None
    console_url: str | None = None
    grpc_address: str | None = None
    children: dict[str, int] = field(default_factory=dict)
    drain_s: float = 0.0
    """What runs when it is stopped has so long to end."""

    @property
    def alive(self) -> bool:
        """True while the supervisor lives."""
        try:
            process = psutil.Process(self.pid)
            return abs(process.create_time() - self.started) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def write(self, data_dir: Path) -> None:
        """Replaces `run.json` as a whole."""
        part = data_dir / f".run.{secrets.token_hex(4)}.part"
        part.write_text(json.dumps(asdict(self), indent=2))
        part.replace(data_dir / "run.json")


def read_run(data_dir: Path) -> Run | None:
    """What `run.json` says, or None where there is none or it cannot be read."""
    try:
        return Run(**json.loads((data_dir / "run.json").read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def marked_processes(run_id: str) -> list[psutil.Process]:
    """Every living process of this user that was started by the run, whoever its parent is by now; never the caller."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARK) == run_id and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


def end_processes(processes: list[psutil.Process], grace_s: float) -> int:
    """Asks the processes to end, and kills what is left after `grace_s` seconds; returns how many were killed."""
    _each(processes, "terminate")
    _, left = psutil.wait_procs(processes, timeout=grace_s)
    _each(left, "kill")
    psutil.wait_procs(left, timeout=grace_s)
    return len(left)


def _each(processes: list[psutil.Process], method: str) -> None:
    for process in processes:
        try:
            getattr(process, method)()
        except psutil.NoSuchProcess:
            continue
