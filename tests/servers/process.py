"""A server process on loopback: started, awaited, paused, killed and started again on the same data."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx

GRACE_S = 5.0
"""A server that has not ended by then is killed: what it acknowledged is durable, and nobody reads its data again."""


def free_port() -> int:
    """A port that is free this moment, above those of Ray's workers and below those that the system gives to connections.

    So a server that is killed and started again finds it free.
    """
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(20_000, low) if low > 22_000 else 0
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])


class Server:
    """One server with a folder of its own; `url` is where it answers."""

    name = "server"
    ready_s = 60.0

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"sonoscope-{self.name}-"))
        self.folder.chmod(0o755)  # an unprivileged user may have to walk through it
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """What to run."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """With which environment."""
        return dict(os.environ)

    def user(self) -> str | None:
        """As whom; None = as we are."""
        return None

    def ready(self) -> bool:
        """Whether it answers. Raises httpx.TransportError while nobody listens."""
        return httpx.get(self.url, timeout=2.0).status_code < 500

    def start(self) -> None:
        """Starts it and waits until it is ready. Raises RuntimeError with the end of its log where it does not come up."""
        log = self.folder / "log.txt"
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                self.command(),
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=self.environment(),
                cwd=self.folder,
                user=self.user(),
                group="nogroup" if self.user() else None,
                start_new_session=True,
            )
        wait_for(self._is_up, self.ready_s, lambda: f"{self.name} did not start: {log.read_text()[-2000:]}")

    def pause(self) -> None:
        """It hears and answers nothing any more, and keeps its connections."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """It goes on."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """At once, as a lost machine."""
        self._signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait()

    def stop(self) -> None:
        """Ends it and removes its folder."""
        self._signal(signal.SIGTERM)
        try:
            if self.process is not None:
                self.process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _signal(self, number: int) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, number)

    def _is_up(self) -> bool:
        if self.process is None or self.process.poll() is not None:
            raise RuntimeError(f"{self.name} ended: {(self.folder / 'log.txt').read_text()[-2000:]}")
        try:
            return self.ready()
        except httpx.TransportError:
            return False


def wait_for(condition: Callable[[], bool], within_s: float, message: Callable[[], str]) -> None:
    """Returns once the condition holds. Raises RuntimeError with the message where it does not in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(message())
        time.sleep(0.1)
