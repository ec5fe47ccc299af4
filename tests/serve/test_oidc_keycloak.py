"""The tokens of a real Keycloak, looked at as the service looks at them."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import jwt
import pytest

from serve import oidc
from serve.oidc import Issuer, OidcSettings
from telemetry.errors import RequestError
from tests.servers.keycloak import AUDIENCE, BRIEF_S, Keycloak, keycloak, missing_keycloak

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def server() -> Iterator[Keycloak]:
    if (why := missing_keycloak()) is not None:
        pytest.skip(why)
    with keycloak() as started:
        yield started


@pytest.fixture
def issuer(server: Keycloak) -> Issuer:
    return Issuer(OidcSettings(issuer=server.issuer, audience=AUDIENCE))


def refusal(issuer: Issuer, token: str) -> str:
    with pytest.raises(RequestError) as refused:
        issuer.caller(token)
    return f"{refused.value.type}: {refused.value.message}"


def test_everybody_has_the_role_and_the_department_that_keycloak_says(server: Keycloak, issuer: Issuer) -> None:
    known = {name: (role, department) for name, (_, role, department) in server.users.items() if role}
    callers = {name: issuer.caller(server.token(name)) for name in known}
    assert {name: (one.role, one.department) for name, one in callers.items()} == known
    assert len({one.key_id for one in callers.values()}) == len(known)
    assert refusal(issuer, server.token("norole")) == "forbidden: The token gives no role or no department here."


def test_tokens_for_others_and_of_others_open_nothing(server: Keycloak, issuer: Issuer) -> None:
    assert refusal(issuer, server.token("oskar", client="another")) == "unauthorized: The token is not valid: InvalidAudienceError."
    assert refusal(issuer, server.admin_token()).startswith("unauthorized")
    head, body, signature = server.token("viola").split(".")
    assert refusal(issuer, f"{head}.{server.token('oskar').split('.')[1]}.{signature}").endswith("InvalidSignatureError.")
    assert issuer.caller(f"{head}.{body}.{signature}").role == "viewer"


def test_a_token_that_is_over_opens_nothing(server: Keycloak, issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    token = server.token("oskar", client="sonoscope-brief")
    assert issuer.caller(token).role == "operator"
    monkeypatch.setattr(oidc, "LEEWAY_S", 0.0)
    time.sleep(BRIEF_S + 0.5)
    assert refusal(issuer, token) == "unauthorized: The token is not valid: ExpiredSignatureError."


def test_keycloak_takes_a_new_key_and_withdraws_the_old_one(
    server: Keycloak, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = server.token("oskar")
    assert issuer.caller(before).role == "operator"
    old = [one["id"] for one in server.admin("GET", "/components?type=org.keycloak.keys.KeyProvider").json()
           if one["providerId"] == "rsa-generated"]  # fmt: skip
    new_key = {"name": "next", "providerId": "rsa-generated", "providerType": "org.keycloak.keys.KeyProvider"}
    server.admin("POST", "/components", new_key | {"config": {"priority": ["200"], "active": ["true"], "enabled": ["true"]}})
    after = server.token("oskar")
    assert jwt.get_unverified_header(after)["kid"] != jwt.get_unverified_header(before)["kid"]
    assert refusal(issuer, after).endswith("InvalidKeyError."), "we looked a moment ago"
    monkeypatch.setattr(oidc, "ASK_AGAIN_S", 0.0)
    assert [issuer.caller(token).role for token in (after, before)] == ["operator"] * 2, "both are published"
    for id in old:
        server.admin("DELETE", f"/components/{id}")
    monkeypatch.setattr(oidc, "KEEP_S", 0.0)
    assert refusal(issuer, before).endswith("InvalidKeyError.")
    assert issuer.caller(after).role == "operator"


def test_a_log_in_leads_back_to_the_console_and_nowhere_else(server: Keycloak) -> None:
    """What it gives is tried in a browser (tests/service/test_service_access.py): its cookies are not for plain clients."""
    asked = {"client_id": server.client_id, "response_type": "code", "scope": "openid"}
    statuses = {
        address: httpx.get(f"{server.issuer}/protocol/openid-connect/auth", params=asked | {"redirect_uri": address}, timeout=30)
        for address in (
            "http://127.0.0.1:8501/oauth2callback",
            "http://127.0.0.1:8501/elsewhere",
            "http://evil.example/oauth2callback",
            "http://127.0.0.1.evil.example/oauth2callback",
        )
    }
    assert [answer.status_code for answer in statuses.values()] == [200, 400, 400, 400]
