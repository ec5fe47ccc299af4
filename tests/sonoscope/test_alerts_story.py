"""The story: the same three files fail in the same way, one e-mail names them and the fix, the fix is applied, the alert resolves.

Requests are written by the real writers, read by the command line from the files, and the mail server is a real one with TLS.
"""

from __future__ import annotations

import json
import time
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from sonoscope.cli import app
from telemetry.errors import RequestError
from telemetry.names import invisible
from tests.analytics.conftest import SECOND, Service
from tests.servers.mail import PASSWORD, USER, MailServer

FILES = ("百灵\u200b.png", "\ufeffbai-ling.jpg", "bai\u2060ling.webp")


@pytest.fixture
def mail_server(tmp_path: Path) -> Iterator[MailServer]:
    server = MailServer(tmp_path, "starttls")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def alerts(tmp_path: Path, mail_server: MailServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An alerts file: the same error three times in a row from one folder."""
    monkeypatch.setenv("MAIL_PASSWORD", PASSWORD)
    path = tmp_path / "alerts.yaml"
    path.write_text(f"""
sinks:
  operators: {{kind: email, host: 127.0.0.1, port: {mail_server.port}, ca_file: {mail_server.ca_file}, username: {USER},
              password: {{env: MAIL_PASSWORD}}, from: sonoscope@example.org, to: [operators@example.org]}}
alerts:
- {{id: same_error, where: 'status = "error"', window: 1h, condition: {{kind: repeated, times: 3}}, group_by: [source_prefix],
   sinks: [operators]}}
""")
    return path


class Operators:
    """Who sends files through the service: names are kept in their events, as `redact.keep_names` has it."""

    def __init__(self, folder: Path) -> None:
        self.service = Service(folder)
        self._sent = 0

    def send(self, name: str, folder: str = "upload/7") -> None:
        """A request that ends now; a name with characters that cannot be seen is refused."""
        hidden = invisible(name)
        error = RequestError("path_invisible_characters", "The name holds U+200B.", field="portrait") if hidden else None
        context, self._sent = self.service.context(self._sent), self._sent + 1
        now = time.time_ns() - 3 * SECOND
        self.service.receive(context, portrait_name=name, portrait_hash=f"{self._sent:064x}", source_prefix=folder)
        values = {"invisible_characters": hidden} if hidden else {}
        self.service.finish(context, now, error, source_prefix=folder, **values)


def look(alerts: Path, folder: Path) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["alerts", "check", "--file", str(alerts), "--json", "--data-dir", str(folder)])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_the_same_three_files_fail_one_mail_names_them_and_the_fix_and_the_alert_resolves(
    tmp_path: Path, alerts: Path, mail_server: MailServer
) -> None:
    people, mails = Operators(tmp_path), mail_server.box.mails
    people.send("good.png")
    people.send("other.png", folder="upload/8")
    for name in FILES:
        people.send(name)
        people.send("good.png", folder="upload/8")  # others go on; they do not end the run of this folder
    assert look(alerts, tmp_path)["sent"] == 1
    for name in FILES:
        people.send(name)
    assert look(alerts, tmp_path)["sent"] == 0  # the same again is no news

    (mail,) = mails
    text = mail.get_content()
    assert mail["Subject"] == (
        "[Sonoscope] FIRING same_error: path_invisible_characters, source_prefix = upload/7: 3 times in a row"
    )
    for name in ("百灵‹U+200B›.png", "‹U+FEFF›bai-ling.jpg", "bai‹U+2060›ling.webp"):
        assert f"portrait {name}" in text
    assert "normalise its name by NFKC and remove format characters" in text
    assert PASSWORD not in text

    for name in FILES:  # what the mail says
        cleaned = unicodedata.normalize("NFKC", name)
        people.send("".join(one for one in cleaned if unicodedata.category(one) != "Cf"))
    assert look(alerts, tmp_path)["resolved"] == [["same_error", "path_invisible_characters, source_prefix = upload/7"]]
    assert look(alerts, tmp_path)["firing"] == []
    assert len(mails) == 2
    assert "RESOLVED same_error" in mails[1]["Subject"]
    assert "百灵‹U+200B›.png" in mails[1].get_content()
    people.service.telemetry.shutdown()
