"""Servers that alerts are sent to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.servers.hook import HookServer
from tests.servers.mail import MailServer


@pytest.fixture
def mail_server(tmp_path: Path) -> Iterator[Callable[[str], MailServer]]:
    """`mail_server(tls)` starts one."""
    started: list[MailServer] = []

    def start(tls: str) -> MailServer:
        server = MailServer(tmp_path, tls)
        server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def hook() -> Iterator[HookServer]:
    server = HookServer()
    yield server
    server.stop()
