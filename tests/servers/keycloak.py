"""A real Keycloak on loopback with one realm: the console's client, one for commands, five people and their departments.

with keycloak() as server:
    server.token("viola")
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from tests.servers.fetch import KEYCLOAK, KEYCLOAK_JAVA, java_home, keycloak_home
from tests.servers.process import Server

REALM = "office"
AUDIENCE = "sonoscope"
ADMIN = ("admin", "admin-secret")
"""Of the realm `master`: for keys of the realm, and as a token of somebody else's realm."""
CALLBACKS = ("http://127.0.0.1/oauth2callback", "http://localhost/oauth2callback")
"""Without a port: Keycloak then lets any port of loopback through (RFC 8252); it takes a * at the end of an address only."""
USERS: dict[str, tuple[str, str | None, str]] = {
    "viola": ("viola-secret", "viewer", "film"),
    "oskar": ("oskar-secret", "operator", "film"),
    "audrey": ("audrey-secret", "auditor", "office"),
    "olga": ("olga-secret", "operator", "claims"),
    "norole": ("norole-secret", None, "film"),
}
"""Name -> (password, role, department)."""
ROLES = ("viewer", "operator", "auditor")
BRIEF_S = 2
"""Seconds that the tokens of the client `sonoscope-brief` are good for."""


def missing_keycloak() -> str | None:
    """Why none can be started here; None where one can."""
    if not keycloak_home().exists():
        return f"Keycloak {KEYCLOAK} is not fetched: make servers"
    if java_home(KEYCLOAK_JAVA) is None:
        return f"Keycloak wants Java {KEYCLOAK_JAVA} or newer"
    return None


class Keycloak(Server):
    """`issuer` is the realm's; `client_id` and `client_secret` are those of the console's client."""

    name = "keycloak"
    ready_s = 180.0
    client_id = "console"
    client_secret = "console-secret"
    users = USERS

    def __init__(self) -> None:
        super().__init__()
        self.issuer = f"{self.url}/realms/{REALM}"
        self._home = self.folder / "home"
        # It writes below its own home: the files that it only reads are links.
        shutil.copytree(keycloak_home(), self._home, copy_function=_link)
        imported = self._home / "data" / "import"
        imported.mkdir(parents=True)
        (imported / f"{REALM}-realm.json").write_text(json.dumps(realm()))

    def command(self) -> list[str]:
        """The distribution's own script; what can be decided before a start was decided when it was fetched."""
        given = ("--http-enabled=true", "--http-host=127.0.0.1", f"--http-port={self.port}", f"--hostname={self.url}")
        return [str(self._home / "bin" / "kc.sh"), "start", "--optimized", "--import-realm", *given]

    def environment(self) -> dict[str, str]:
        """A Java that is new enough, a small heap, and somebody who may change keys."""
        user, password = ADMIN
        return {
            "PATH": os.environ["PATH"], "HOME": str(self.folder), "JAVA_HOME": str(java_home(KEYCLOAK_JAVA)),
            "JAVA_OPTS_KC_HEAP": "-Xms64m -Xmx384m",
            "KC_BOOTSTRAP_ADMIN_USERNAME": user, "KC_BOOTSTRAP_ADMIN_PASSWORD": password,
        }  # fmt: skip

    def ready(self) -> bool:
        """Whether the realm is there."""
        return httpx.get(f"{self.issuer}/.well-known/openid-configuration", timeout=5.0).status_code == 200

    def token(self, user: str, *, client: str = "sonoscope-cli") -> str:
        """An access token of somebody by password; `client` is one of those without a secret. Raises httpx.HTTPStatusError."""
        return self._token(self.issuer, client, user, self.users[user][0])

    def admin_token(self) -> str:
        """An access token of the realm `master`."""
        return self._token(f"{self.url}/realms/master", "admin-cli", *ADMIN)

    def admin(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """The realm's own administration, `path` below /admin/realms/REALM. Raises httpx.HTTPStatusError."""
        headers = {"Authorization": f"Bearer {self.admin_token()}"}
        answer = httpx.request(method, f"{self.url}/admin/realms/{REALM}{path}", json=body, headers=headers, timeout=30)
        answer.raise_for_status()
        return answer

    def stop(self) -> None:
        """Its data are nobody's any more: at once."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    @staticmethod
    def _token(issuer: str, client: str, user: str, password: str) -> str:
        form = {"grant_type": "password", "client_id": client, "username": user, "password": password, "scope": "openid"}
        answer = httpx.post(f"{issuer}/protocol/openid-connect/token", data=form, timeout=30)
        answer.raise_for_status()
        return answer.json()["access_token"]


@contextmanager
def keycloak() -> Iterator[Keycloak]:
    """One that runs and is gone afterwards. Ask `missing_keycloak` first."""
    server = Keycloak()
    try:
        server.start()
        yield server
    finally:
        server.stop()


def realm() -> dict[str, Any]:
    """What Keycloak imports. `sonoscope-brief` gives tokens that are soon over; `another` gives tokens that are not for us."""
    by_password = {"publicClient": True, "standardFlowEnabled": False, "directAccessGrantsEnabled": True}
    brief = {"attributes": {"access.token.lifespan": str(BRIEF_S)}}
    return {
        "realm": REALM,
        "enabled": True,
        "roles": {"realm": [{"name": role} for role in ROLES]},
        "clients": [
            {
                "clientId": Keycloak.client_id, "secret": Keycloak.client_secret, "publicClient": False,
                "standardFlowEnabled": True, "directAccessGrantsEnabled": False, "redirectUris": [*CALLBACKS],
                "protocolMappers": [*_mappers()],
            },
            {"clientId": "sonoscope-cli", **by_password, "protocolMappers": [*_mappers()]},
            {"clientId": "sonoscope-brief", **by_password, **brief, "protocolMappers": [*_mappers()]},
            {"clientId": "another", **by_password, "protocolMappers": [*_mappers("another")]},
        ],
        "users": [_user(name, *given) for name, given in USERS.items()],
        "components": {"org.keycloak.userprofile.UserProfileProvider": [_profile()]},
    }  # fmt: skip


def _mappers(aud: str = AUDIENCE) -> Iterator[dict[str, Any]]:
    """What stands in tokens. The audience is the access token's only: that of an ID token stays its client."""
    both = {"access.token.claim": "true", "id.token.claim": "true", "jsonType.label": "String"}
    audience = {"included.custom.audience": aud, "access.token.claim": "true", "id.token.claim": "false"}
    for name, kind, config in (
        ("audience", "oidc-audience-mapper", audience),
        ("roles", "oidc-usermodel-realm-role-mapper", {**both, "claim.name": "roles", "multivalued": "true"}),
        ("department", "oidc-usermodel-attribute-mapper", {**both, "claim.name": "department", "user.attribute": "department"}),
    ):
        yield {"name": name, "protocol": "openid-connect", "protocolMapper": kind, "config": config}


def _user(name: str, password: str, role: str | None, department: str) -> dict[str, Any]:
    """Without an address and both names, or with names of two letters, Keycloak says that the account is not fully set up."""
    return {
        "username": name, "enabled": True, "email": f"{name}@example.org", "emailVerified": True,
        "firstName": name.title(), "lastName": "Example", "attributes": {"department": [department]},
        "credentials": [{"type": "password", "value": password}], "realmRoles": [role] if role else [],
    }  # fmt: skip


def _profile() -> dict[str, Any]:
    """An attribute of ours must be declared; one that its owner could edit would let anybody change departments."""
    ours, theirs = ["admin"], ["admin", "user"]
    attributes = [
        {"name": "department", "permissions": {"view": theirs, "edit": ours}},
        *(
            {"name": name, "permissions": {"view": theirs, "edit": theirs}}
            for name in ("username", "email", "firstName", "lastName")
        ),
    ]
    return {
        "providerId": "declarative-user-profile",
        "config": {"kc.user.profile.config": [json.dumps({"attributes": attributes})]},
    }


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)
