"""OpenID Connect: whether a bearer token is the issuer's and meant for us, and who it says is asking."""

from __future__ import annotations

import hashlib
import ipaddress
import threading
import time
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from serve.keys import Caller
from telemetry.errors import RequestError
from telemetry.roles import DEPARTMENT_CLAIM, ROLE_CLAIM, ROLES, Role, claimed

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA")
"""Asymmetric only: with HS256 among them the issuer's public key would be a secret that everybody knows."""
KEEP_S = 3600.0
"""The issuer's keys are fetched again after so long: a key that it withdraws is believed for at most this."""
ASK_AGAIN_S = 10.0
"""An unknown key's id makes us look again (issuers rotate), but not more often: anybody can invent ids."""
TIMEOUT_S = 5.0
LEEWAY_S = 30.0
"""Clocks of two machines may differ by so much."""


class ConsoleLogin(BaseModel):
    """The console as a client of the issuer: people log in there, and their claims say what they may see."""

    model_config = ConfigDict(extra="forbid")

    client_id: str = Field(min_length=1)
    client_secret: SecretStr
    url: str | None = Field(default=None, description="address that people open; empty = the one that the console listens on")
    hours: float = Field(default=8.0, gt=0, le=168, description="how long a log-in is believed")


class OidcSettings(BaseModel):
    """Whose tokens open the door, and what their claims are called."""

    model_config = ConfigDict(extra="forbid")

    issuer: str = Field(description="as it stands in `iss`; discovery is asked below it")
    audience: str = Field(min_length=1, description="what `aud` must hold: a token for another service opens nothing here")
    role_claim: str = ROLE_CLAIM
    department_claim: str = DEPARTMENT_CLAIM
    roles: dict[str, Role] = Field(default_factory=lambda: {role: role for role in ROLES}, description="issuer's name -> role")
    per_minute: int | None = Field(default=None, ge=1, description="requests of one person a minute")
    at_once: int | None = Field(default=None, ge=1, description="jobs of a department that have not ended")
    console: ConsoleLogin | None = Field(default=None, description="the console's log-in; empty = it is for loopback only")

    @field_validator("issuer")
    @classmethod
    def _trusted_way(cls, given: str) -> str:
        check_address(given)
        return given


def check_address(url: str) -> None:
    """Raises ValueError unless nobody between us and the address can change what it says: https, or loopback."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and local)):
        raise ValueError(f"{url!r} must begin with https:// (http:// on loopback only)")


class Issuer:
    """Checks tokens against the issuer's published keys, which are kept. Blocking; safe for several threads."""

    def __init__(self, settings: OidcSettings):
        self._settings = settings
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched = self._tried = float("-inf")
        self._lock = threading.Lock()

    def caller(self, token: str) -> Caller:
        """Who has this token. Raises RequestError: unauthorized, forbidden (no role here), overloaded (no issuer answers)."""
        given = self._settings
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in ALGORITHMS:
                raise jwt.InvalidAlgorithmError("the algorithm is not allowed")
            claims = jwt.decode(
                token,
                self._key(str(header.get("kid", ""))),
                algorithms=[*ALGORITHMS],
                audience=given.audience,
                issuer=given.issuer,
                leeway=LEEWAY_S,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.PyJWTError as error:
            raise RequestError("unauthorized", f"The token is not valid: {type(error).__name__}.") from None
        found = claimed(claims, role_claim=given.role_claim, department_claim=given.department_claim, names=given.roles)
        if found is None:
            hint = f"The token needs {given.department_claim}, and in {given.role_claim} one of {', '.join(given.roles)}."
            raise RequestError("forbidden", "The token gives no role or no department here.", hint=hint)
        role, department = found
        subject = str(claims["sub"])
        id = "oidc-" + hashlib.sha256(f"{given.issuer}\0{subject}".encode()).hexdigest()[:12]
        return Caller(id, subject, department, role, given.per_minute, given.at_once)

    def _key(self, kid: str) -> jwt.PyJWK:
        with self._lock:
            now = time.monotonic()
            stale = now - self._fetched > KEEP_S
            if (stale or kid not in self._keys) and now - self._tried > ASK_AGAIN_S:
                self._tried = now
                self._keys = self._fetch()
                self._fetched, stale = now, False
            if stale:
                raise RequestError("overloaded", "The issuer of tokens does not answer.")
            if kid not in self._keys:
                raise jwt.InvalidKeyError("the key is unknown")
            return self._keys[kid]

    def _fetch(self) -> dict[str, jwt.PyJWK]:
        try:
            told = self._get(self._settings.issuer.rstrip("/") + "/.well-known/openid-configuration")
            if told["issuer"] != self._settings.issuer:
                raise ValueError("discovery names another issuer")
            check_address(told["jwks_uri"])
            found = jwt.PyJWKSet.from_dict(self._get(told["jwks_uri"]))
        except (httpx.HTTPError, ValueError, KeyError, TypeError, jwt.PyJWTError) as error:
            raise RequestError("overloaded", f"The keys of the issuer cannot be had: {type(error).__name__}.") from error
        return {key.key_id or "": key for key in found.keys if key.public_key_use in (None, "sig")}

    @staticmethod
    def _get(url: str) -> dict[str, Any]:
        answer = httpx.get(url, timeout=TIMEOUT_S)
        answer.raise_for_status()
        return answer.json()
