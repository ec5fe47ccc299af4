"""The worker as the adapter holds it: started, spoken to, listened to for a while at a time, ended."""

from __future__ import annotations

import json
import os
import select
import shutil
import socket
import subprocess
import tempfile
import weakref
from pathlib import Path
from typing import Any

from deployments.models.sonic import wire
from deployments.models.sonic.installed import Installed

_LOG_BYTES = 4_000


class WorkerGone(Exception):
    """The worker ended. The text says how, for a log and an error message."""


class WorkerProcess:
    """A Python of the user's that loads Sonic at once. It ends with `close`, with this object, and with this process."""

    def __init__(self, installed: Installed, *, device: str, dtype: str):
        """Starts it; it says `ready` when Sonic is loaded. `device` is "cpu" or "cuda:N". Raises OSError."""
        home = Path(tempfile.mkdtemp(prefix="sonoscope-sonic-"))
        (home / "checkpoints").symlink_to(installed.checkpoints.absolute())
        settings = {
            "checkout": str(installed.checkout.absolute()),
            "home": str(home),
            "device_id": -1 if device == "cpu" else int(device.partition(":")[2] or 0),
            "dtype": dtype,
        }
        worker = Path(__file__).with_name("worker.py")
        self._log = home / "worker.log"
        self._connection, theirs = socket.socketpair()
        try:
            with theirs, self._log.open("wb") as log:
                self._process = subprocess.Popen(
                    [str(installed.python), str(worker), json.dumps(settings)],
                    stdin=theirs.fileno(),
                    stdout=log,
                    stderr=log,
                    cwd=home,
                    env=_environment(),
                    start_new_session=True,
                )
        except OSError:
            self._connection.close()
            shutil.rmtree(home)
            raise
        self.loaded = False
        self._ended: WorkerGone | None = None
        self._end = weakref.finalize(self, _end, self._process, self._connection, home)

    @property
    def pid(self) -> int:
        """The worker's process id."""
        return self._process.pid

    def ask(self, head: dict[str, Any], payload: wire.Bytes = b"") -> None:
        """Sends an order. Raises WorkerGone."""
        try:
            wire.send(self._connection, head, payload)
        except OSError:
            raise self._gone() from None

    def hear(self, seconds: float) -> tuple[dict[str, Any], bytearray] | None:
        """The next message, or None where none begins within `seconds`. Raises WorkerGone."""
        if not select.select([self._connection], [], [], seconds)[0]:
            return None
        try:
            return wire.receive(self._connection)
        except EOFError:
            raise self._gone() from None

    def last_words(self) -> str:
        """The last line of what it printed."""
        with self._log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _LOG_BYTES))
            lines = log.read().decode(errors="replace").strip().splitlines()
        return lines[-1].strip()[:300] if lines else ""

    def close(self) -> None:
        """Ends it at once."""
        self._end()

    def _gone(self) -> WorkerGone:
        if self._ended is not None:  # its log is gone with it
            return self._ended
        status = self._process.wait()
        how = f"signal {-status}" if status < 0 else f"status {status}"
        words = self.last_words()
        self.close()
        self._ended = WorkerGone(f"ended with {how}" + (f", last words: {words}" if words else ""))
        return self._ended


def _environment() -> dict[str, str]:
    """Ours, without what would lead its Python to our packages, and without a way to download what is missing."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    return kept | {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def _end(process: subprocess.Popen[bytes], connection: socket.socket, home: Path) -> None:
    connection.close()
    process.kill()
    process.wait()
    shutil.rmtree(home, ignore_errors=True)
