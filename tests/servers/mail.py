"""A real mail server that keeps what it is given: aiosmtpd on a free port of loopback, its certificate made on the spot."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import warnings
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

USER, PASSWORD = "operator", "p\u00e4ss word"


def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key, as PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sonoscope test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "server.pem", folder / "server.key"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    paths[1].write_bytes(key.private_bytes(*form))
    return paths


class Mailbox:
    """What aiosmtpd calls: mails go into a list; `refuse` answers so many with 451 first."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.refuse = 0
        self.tls = False

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802  aiosmtpd's name
        if self.refuse:
            self.refuse -= 1
            return "451 come back later"
        self.tls = session.ssl is not None
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 taken"


class MailServer(Controller):
    """`tls`: implicit, starttls or none. With TLS a login is wanted."""

    def __init__(self, folder: Path, tls: str) -> None:
        self.box = Mailbox()
        self._tls = tls
        self.ca_file, key = certificate(folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.ca_file, key)
        self._starttls = context if tls == "starttls" else None
        super().__init__(self.box, hostname="127.0.0.1", port=0, ssl_context=context if tls == "implicit" else None)

    def factory(self) -> SMTP:
        """One SMTP session."""
        wanted = self._tls != "none"
        with warnings.catch_warnings():  # with implicit TLS there is nothing to require: it is there from the first byte
            warnings.filterwarnings("ignore", "Requiring AUTH while not requiring TLS")
            return SMTP(
                self.handler, tls_context=self._starttls, require_starttls=self._starttls is not None, auth_required=wanted,
                auth_require_tls=self._tls == "starttls", authenticator=_let_in,
            )  # fmt: skip

    def _trigger_server(self) -> None:
        """aiosmtpd would knock at port 0; the socket is there once `begin` has returned."""
        self.port = self.server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        super()._trigger_server()


def _let_in(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    known = data.login == USER.encode() and data.password == PASSWORD.encode()
    return AuthResult(success=known, handled=known)
