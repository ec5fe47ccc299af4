"""Tokens of a real issuer on loopback: discovery and keys over HTTP, real signatures."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm
from pydantic import ValidationError
from starlette.requests import Request

from serve import oidc
from serve.access import Gate
from serve.keys import KeyTable
from serve.oidc import Issuer, OidcSettings
from telemetry.errors import RequestError
from telemetry.roles import claimed


class RealIssuer:
    """Signs tokens, and publishes its keys as OpenID Connect says; `asked` counts looks at them."""

    def __init__(self) -> None:
        self.keys: dict[str, ec.EllipticCurvePrivateKey] = {}
        self.asked = 0
        self.rotate("one")
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path.endswith("openid-configuration"):
                    body: Any = {"issuer": outer.url, "jwks_uri": f"{outer.url}/keys"}
                else:
                    outer.asked += 1
                    body = {"keys": [outer.public(kid) for kid in outer.keys]}
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, format: str, *args: Any) -> None:
                """Tests are quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def rotate(self, kid: str) -> None:
        self.keys = {kid: ec.generate_private_key(ec.SECP256R1())}

    def public(self, kid: str) -> dict[str, Any]:
        return ECAlgorithm.to_jwk(self.keys[kid].public_key(), as_dict=True) | {"kid": kid, "use": "sig", "alg": "ES256"}

    def token(self, *, kid: str | None = None, signer: Any = None, **change: Any) -> str:
        kid = kid or next(iter(self.keys))
        claims = {"iss": self.url, "aud": "sonoscope", "sub": "lin", "exp": time.time() + 60, "department": "film"}
        claims |= {"roles": ["operator"], **change}
        kept = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(kept, signer or self.keys[kid], "ES256", headers={"kid": kid})


@pytest.fixture
def real() -> Iterator[RealIssuer]:
    issuer = RealIssuer()
    yield issuer
    issuer.server.shutdown()
    issuer.server.server_close()


@pytest.fixture
def issuer(real: RealIssuer) -> Issuer:
    return Issuer(OidcSettings(issuer=real.url, audience="sonoscope", per_minute=7))


def refusal(issuer: Issuer, token: str) -> str:
    with pytest.raises(RequestError) as refused:
        issuer.caller(token)
    return refused.value.type


def test_a_token_says_who_asks_and_the_keys_are_fetched_once(real: RealIssuer, issuer: Issuer) -> None:
    callers = [issuer.caller(real.token(sub=sub)) for sub in ("lin", "lin", "kai")]
    assert [(one.name, one.department, one.role, one.per_minute) for one in callers[:1]] == [("lin", "film", "operator", 7)]
    assert callers[0].key_id == callers[1].key_id != callers[2].key_id
    assert real.asked == 1


@pytest.mark.parametrize(
    "change",
    [{"aud": "another"}, {"aud": None}, {"iss": "http://127.0.0.1:1"}, {"exp": 1}, {"exp": None}, {"sub": None},
     {"nbf": 4e9}, {"signer": ec.generate_private_key(ec.SECP256R1())}],
)  # fmt: skip
def test_a_token_that_is_not_ours_or_over_opens_nothing(real: RealIssuer, issuer: Issuer, change: dict[str, Any]) -> None:
    assert refusal(issuer, real.token(**change)) == "unauthorized"


def test_a_public_key_is_no_secret_and_no_algorithm_is_none(real: RealIssuer, issuer: Issuer) -> None:
    pem = real.keys["one"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"one"}').decode().rstrip("=")
    signed = f"{head}.{real.token().split('.')[1]}"
    mac = base64.urlsafe_b64encode(hmac.digest(pem, signed.encode(), "sha256")).decode().rstrip("=")
    assert refusal(issuer, f"{signed}.{mac}") == "unauthorized"
    head, body, _ = real.token().split(".")
    unsigned = jwt.encode({}, "", "none", headers={"kid": "one"}).split(".")[0]
    assert refusal(issuer, f"{unsigned}.{body}.") == "unauthorized"
    assert refusal(issuer, f"{head}.{body}.AAAA") == "unauthorized"


def test_who_has_no_role_or_no_department_is_known_and_may_nothing(real: RealIssuer, issuer: Issuer) -> None:
    nothing = (real.token(roles=["boss"]), real.token(department=None))
    assert [refusal(issuer, token) for token in nothing] == ["forbidden"] * 2


def test_a_new_key_is_found_and_invented_ones_do_not_flood_the_issuer(
    real: RealIssuer, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    issuer.caller(real.token())
    old = real.token(kid="one")
    stolen = ec.generate_private_key(ec.SECP256R1())
    assert [refusal(issuer, real.token(kid=f"x{n}", signer=stolen)) for n in range(5)] == ["unauthorized"] * 5
    assert real.asked == 1
    real.rotate("two")
    monkeypatch.setattr(oidc, "ASK_AGAIN_S", 0.0)
    assert issuer.caller(real.token()).name == "lin"
    assert refusal(issuer, old) == "unauthorized", "the issuer has withdrawn that key"


def test_without_an_issuer_a_token_is_refused_as_passing_trouble() -> None:
    issuer = Issuer(OidcSettings(issuer="http://127.0.0.1:9", audience="sonoscope"))
    token = jwt.encode({"sub": "x"}, ec.generate_private_key(ec.SECP256R1()), "ES256", headers={"kid": "k"})
    assert [refusal(issuer, token) for _ in range(2)] == ["overloaded"] * 2


def test_an_issuer_that_others_could_speak_for_is_refused() -> None:
    for url in ("http://issuer.example", "ftp://127.0.0.1", "issuer"):
        with pytest.raises(ValidationError, match="https"):
            OidcSettings(issuer=url, audience="a")


def test_the_gate_takes_tokens_and_keys(real: RealIssuer, issuer: Issuer, tmp_path: Path) -> None:
    keys = KeyTable(f"sqlite:///{tmp_path / 'jobs.db'}")
    gate = Gate(keys, b"k" * 32, lambda _: None, issuer=issuer)

    def role(method: str, secret: str) -> str:
        headers = [(b"authorization", f"Bearer {secret}".encode())]
        request = Request({"type": "http", "method": method, "path": "/jobs", "query_string": b"", "headers": headers})
        caller = asyncio.run(gate.admit(request))
        assert caller is not None
        return caller.role

    assert role("POST", real.token()) == "operator"
    assert role("GET", keys.add("kai", "film", "viewer")) == "viewer"
    with pytest.raises(RequestError, match="may not write"):
        role("POST", real.token(roles=["viewer"]))


def test_claims_give_a_role_by_path_by_name_and_an_auditor_stays_one() -> None:
    nested = {"realm_access": {"roles": ["staff", "sono-read"]}, "department": "film"}
    assert claimed(nested, role_claim="realm_access.roles", names={"sono-read": "viewer"}) == ("viewer", "film")
    assert claimed({"roles": ["operator", "auditor"], "department": "film"}) == ("auditor", "film")
    assert claimed({"https://x.org/roles": "viewer", "department": "film"}, role_claim="https://x.org/roles") == ("viewer", "film")
    assert claimed({"roles": 7, "department": "film"}) is None
