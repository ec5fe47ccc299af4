"""E-mail by SMTP."""

from __future__ import annotations

import base64
import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate

from analytics.alerts.schema import AlertsError, EmailSink
from analytics.alerts.sinks.base import Message, SinkError


def _log_in(server: smtplib.SMTP, username: str, password: str) -> None:
    """smtplib speaks ASCII only; RFC 4616 has names and passwords in UTF-8."""
    if username.isascii() and password.isascii():
        server.login(username, password)
        return
    server.ehlo_or_helo_if_needed()
    code, reply = server.docmd("AUTH", "PLAIN " + base64.b64encode(f"\0{username}\0{password}".encode()).decode())
    if code != 235:
        raise smtplib.SMTPAuthenticationError(code, reply)


class Email:
    """One plain-text mail to all recipients; a recipient that the server refuses fails the whole."""

    def __init__(self, config: EmailSink) -> None:
        self._config = config

    def send(self, message: Message) -> None:
        """Raises SinkError."""
        where = f"mail server {self._config.host}:{self._config.port}"
        try:
            mail = self._mail(message)
        except ValueError as error:
            raise SinkError(f"the mail cannot be written: {error}") from None
        try:
            with self._connected() as server:
                if self._config.username is not None and self._config.password is not None:
                    _log_in(server, self._config.username, self._config.password.read())
                if refused := server.send_message(mail):
                    raise SinkError(f"{where} refused {', '.join(sorted(refused))}")
        except smtplib.SMTPAuthenticationError as error:
            raise SinkError(f"{where} refused the login ({error.smtp_code})") from None
        except (OSError, smtplib.SMTPException, AlertsError) as error:
            raise SinkError(f"{where}: {type(error).__name__}: {error}") from None

    def _connected(self) -> smtplib.SMTP:
        config = self._config
        context = ssl.create_default_context(cafile=config.ca_file)
        if config.tls == "implicit":
            return smtplib.SMTP_SSL(config.host, config.port, timeout=config.timeout_s, context=context)
        server = smtplib.SMTP(config.host, config.port, timeout=config.timeout_s)
        if config.tls == "starttls":
            try:
                server.starttls(context=context)
            except BaseException:
                server.close()
                raise
        return server

    def _mail(self, message: Message) -> EmailMessage:
        mail = EmailMessage()
        mail["Subject"] = " ".join(message.title.split())
        mail["From"], mail["To"] = self._config.sender, ", ".join(self._config.to)
        mail["Date"], mail["Message-ID"] = formatdate(), f"<{message.id}@sonoscope>"
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(message.text)
        return mail
