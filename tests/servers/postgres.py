"""A real PostgreSQL of Debian's package: a cluster of its own in a temporary folder, on loopback, by an unprivileged user."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

from tests.servers.process import Server

USER = "sonoscope"


def postgres_bin() -> Path | None:
    """Where the newest installed version keeps its programs; None where there is none (Debian does not put them into PATH)."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parents[1].name))
    if found:
        return found[-1].parent
    named = shutil.which("initdb")
    return Path(named).resolve().parent if named else None


class Postgres(Server):
    """`url` is SQLAlchemy's address of its database."""

    name = "postgres"
    ready_s = 60.0

    def __init__(self) -> None:
        super().__init__()
        found = postgres_bin()
        assert found is not None, "ask postgres_bin() first"
        self._bin = found
        self._data = self.folder / "data"
        self._data.mkdir(mode=0o700)
        if user := self.user():
            for path in (self.folder, self._data):
                shutil.chown(path, user, "nogroup")
        subprocess.run(
            [self._bin / "initdb", "-D", self._data, "-U", USER, "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C"],
            check=True, capture_output=True, user=user, group="nogroup" if user else None, cwd=self.folder,
        )  # fmt: skip
        self.url = f"postgresql://{USER}@127.0.0.1:{self.port}/postgres"

    def command(self) -> list[str]:
        """Loopback only, and a socket in our folder."""
        options = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": self.folder,
            "shared_buffers": "16MB",
        }
        return [str(self._bin / "postgres"), "-D", str(self._data), *(f"--{name}={value}" for name, value in options.items())]

    def user(self) -> str | None:
        """It refuses to run as root."""
        return "nobody" if os.geteuid() == 0 else None

    def ready(self) -> bool:
        """Whether it takes connections; pg_isready asks as a client does."""
        asked = [str(self._bin / "pg_isready"), "-h", "127.0.0.1", "-p", str(self.port), "-q"]
        return subprocess.run(asked, check=False, timeout=10).returncode == 0

    def stop(self) -> None:
        """Fast shutdown: clients are cut off."""
        self._signal(signal.SIGINT)
        super().stop()
