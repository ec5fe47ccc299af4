"""Each sink against a real server: what arrives, what is refused, and that no secret is ever repeated."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analytics.alerts.schema import EmailSink, LogSink, WebhookSink
from analytics.alerts.sinks import Message, SinkError, make_sink
from analytics.alerts.sinks.webhook import DELIVERY, SIGNATURE, TIMESTAMP, signature
from tests.servers.hook import HookServer
from tests.servers.mail import PASSWORD, USER, MailServer

MESSAGE = Message(
    "m1", "firing", "same_error", "[Sonoscope] same_error\r\nBcc: all@example.org", "原因：没有人脸\na‹U+200B›b.png\n", {"n": 3}
)
Start = Callable[[str], MailServer]


@pytest.fixture
def password(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(f"{PASSWORD}\n", "utf-8")
    return path


def email(server: MailServer, password: Path | None, **change: Any) -> EmailSink:
    login = {"username": USER, "password": {"file": password}} if password else {}
    told = {"tls": server._tls, "ca_file": server.ca_file, **login}
    return EmailSink.model_validate(
        {
            "kind": "email",
            "host": "127.0.0.1",
            "port": server.port,
            "from": "a@example.org",
            "to": ["b@example.org"],
            **told,
            **change,
        }
    )


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_a_mail_goes_over_tls_with_a_login_and_arrives_as_it_was_written(mail_server: Start, password: Path, tls: str) -> None:
    server = mail_server(tls)
    make_sink(email(server, password)).send(MESSAGE)
    (mail,) = server.box.mails
    assert server.box.tls or tls == "implicit"  # there nobody is heard before the handshake
    assert mail.get_content().replace("\r\n", "\n") == MESSAGE.text
    assert mail["Subject"] == "[Sonoscope] same_error Bcc: all@example.org"
    assert mail["Bcc"] is None
    assert mail["Message-ID"] == "<m1@sonoscope>"
    assert mail["To"] == "b@example.org"


def test_a_server_on_loopback_may_be_spoken_to_without_tls(mail_server: Start) -> None:
    server = mail_server("none")
    make_sink(email(server, None)).send(MESSAGE)
    assert len(server.box.mails) == 1
    assert not server.box.tls


def test_a_wrong_password_is_refused_and_not_repeated(mail_server: Start, password: Path) -> None:
    server = mail_server("starttls")
    password.write_text("very secret")
    with pytest.raises(SinkError, match="refused the login") as caught:
        make_sink(email(server, password)).send(MESSAGE)
    assert "very secret" not in str(caught.value)
    assert server.box.mails == []


def test_a_certificate_that_nobody_vouches_for_is_not_trusted(mail_server: Start, password: Path) -> None:
    for tls in ("starttls", "implicit"):
        server = mail_server(tls)
        with pytest.raises(SinkError, match="certificate"):
            make_sink(email(server, password, ca_file=None)).send(MESSAGE)
        assert server.box.mails == []


def test_a_server_that_is_not_there_or_says_later_is_an_error_for_the_next_attempt(mail_server: Start) -> None:
    server = mail_server("none")
    server.box.refuse = 1
    sink = make_sink(email(server, None))
    with pytest.raises(SinkError, match="451"):
        sink.send(MESSAGE)
    sink.send(MESSAGE)
    assert len(server.box.mails) == 1
    with pytest.raises(SinkError, match="mail server"):
        make_sink(email(server, None, port=1)).send(MESSAGE)


def test_an_address_that_is_none_is_an_error_and_stops_nothing_else(mail_server: Start) -> None:
    with pytest.raises(SinkError, match="cannot be written"):
        make_sink(email(mail_server("none"), None, to=["a@example.org\r\nBcc: all@example.org"])).send(MESSAGE)


def test_a_hook_gets_json_that_it_can_tell_to_be_ours(hook: HookServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", "s3cret")
    make_sink(WebhookSink.model_validate({"kind": "webhook", "url": hook.url, "secret": {"env": "HOOK_SECRET"}})).send(MESSAGE)
    ((headers, body),) = hook.posts
    assert json.loads(body) == MESSAGE.as_dict()
    assert headers[DELIVERY] == "m1"
    assert headers[SIGNATURE] == signature("s3cret", headers[TIMESTAMP], body)
    assert headers[SIGNATURE] != signature("other", headers[TIMESTAMP], body)
    assert headers[SIGNATURE] != signature("s3cret", headers[TIMESTAMP], body + b" ")


def test_a_hook_that_does_not_say_2xx_has_not_taken_it_and_its_address_is_not_repeated(hook: HookServer) -> None:
    sink = make_sink(WebhookSink.model_validate({"kind": "webhook", "url": f"{hook.url}?token=abc123"}))
    for status in (500, 404, 302):
        hook.answers = [status]
        with pytest.raises(SinkError, match=str(status)) as caught:
            sink.send(MESSAGE)
        assert "abc123" not in str(caught.value)
    sink.send(MESSAGE)
    assert len(hook.posts) == 4


def test_a_missing_secret_is_an_error_and_nothing_is_sent_unsigned(hook: HookServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOOK_SECRET", raising=False)
    sink = make_sink(WebhookSink.model_validate({"kind": "webhook", "url": hook.url, "secret": {"env": "HOOK_SECRET"}}))
    with pytest.raises(SinkError, match="HOOK_SECRET is not set"):
        sink.send(MESSAGE)
    assert hook.posts == []


def test_the_log_has_a_line_and_the_file_the_whole(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "sonoscope.alerts"):
        make_sink(LogSink(kind="log", path=tmp_path / "alerts.jsonl")).send(MESSAGE)
    assert "firing: [Sonoscope] same_error" in caplog.text
    assert json.loads((tmp_path / "alerts.jsonl").read_text("utf-8")) == MESSAGE.as_dict()
    with pytest.raises(SinkError, match="No such file"):
        make_sink(LogSink(kind="log", path=tmp_path / "nowhere" / "alerts.jsonl")).send(MESSAGE)
