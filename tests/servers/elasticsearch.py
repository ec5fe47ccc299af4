"""A real Elasticsearch of one node, unprivileged, with a small heap."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import httpx
import orjson

from tests.servers.fetch import ELASTICSEARCH, elasticsearch_home, java_home
from tests.servers.process import Server, free_port

DEFAULT = "8.19.20"


class Elasticsearch(Server):
    """`settings`: lines added to elasticsearch.yml. `users`: name -> (password, role), with security on."""

    name = "elasticsearch"
    ready_s = 240.0

    def __init__(
        self,
        version: str = DEFAULT,
        settings: dict[str, object] | None = None,
        roles: str = "",
        users: dict[str, tuple[str, str]] | None = None,
    ) -> None:
        super().__init__()
        self._version = version
        self._users = users or {}
        self._home = self.folder / "home"
        # The cache may lie where an unprivileged user cannot walk: links cost nothing, and what it writes to is a copy.
        shutil.copytree(
            elasticsearch_home(version), self._home, copy_function=_link, ignore=shutil.ignore_patterns("config", "logs")
        )
        shutil.copytree(elasticsearch_home(version) / "config", self._home / "config")
        for name in ("data", "tmp", "home/logs"):
            (self.folder / name).mkdir()
        self._config(settings or {}, roles)
        if user := self.user():
            written = [self._home / "config", *(self._home / "config").rglob("*")]
            for path in (self.folder, self.folder / "data", self.folder / "tmp", self._home / "logs", *written):
                shutil.chown(path, user, "nogroup")

    def command(self) -> list[str]:
        """The distribution's own script."""
        return [str(self._home / "bin" / "elasticsearch")]

    def environment(self) -> dict[str, str]:
        """A Java that is new enough, and 512 MB."""
        java = java_home(ELASTICSEARCH[self._version])
        return {
            "PATH": os.environ["PATH"], "HOME": str(self.folder), "ES_JAVA_HOME": str(java), "ES_JAVA_OPTS": "-Xms512m -Xmx512m",
            "ES_TMPDIR": str(self.folder / "tmp"),
        }  # fmt: skip

    def user(self) -> str | None:
        """It refuses to run as root."""
        return "nobody" if os.geteuid() == 0 else None

    def ready(self) -> bool:
        """This distribution has no answer at /: its health is asked; with security on, a refusal is an answer too."""
        return httpx.get(f"{self.url}/_cluster/health", timeout=2.0).status_code in (200, 401)

    def put_settings(self, path: str, settings: dict[str, object]) -> None:
        """Changes settings of the cluster or of an index while it runs."""
        headers = {"content-type": "application/json"}
        httpx.put(f"{self.url}{path}", content=orjson.dumps(settings), headers=headers, timeout=30.0).raise_for_status()

    def _config(self, settings: dict[str, object], roles: str) -> None:
        config = self._home / "config"
        given = {
            "network.host": "127.0.0.1", "http.port": self.port, "transport.port": free_port(), "discovery.type": "single-node",
            "path.data": str(self.folder / "data"), "xpack.security.enabled": bool(self._users),
            "cluster.routing.allocation.disk.threshold_enabled": False, **settings,
        }  # fmt: skip
        (config / "elasticsearch.yml").write_text(
            "".join(f"{key}: {orjson.dumps(value).decode()}\n" for key, value in given.items())
        )
        (config / "roles.yml").write_text(roles)
        if self._users:
            self._add_users(config)

    def _add_users(self, config: Path) -> None:
        tools, environment = self._home / "bin", {**self.environment(), "ES_PATH_CONF": str(config)}
        subprocess.run([tools / "elasticsearch-keystore", "create"], check=True, capture_output=True, env=environment)
        for name, (password, role) in self._users.items():
            command = [tools / "elasticsearch-users", "useradd", name, "-p", password, "-r", role]
            subprocess.run(command, check=True, capture_output=True, env=environment)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)
