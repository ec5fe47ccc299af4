"""The one place that knows what a viewer may see and do. Every page asks here."""

from __future__ import annotations

import ipaddress
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import streamlit as st

from telemetry.roles import SCOPES, Role, Scope, claimed

Action = Literal["read", "export", "generate", "score", "operate", "audit"]
"""`operate`: silences alerts, and sees what the autoscaler decided (as does who sees every department)."""
ACTIONS: dict[Scope, frozenset[Action]] = {
    "read": frozenset({"read", "export"}),
    "write": frozenset({"generate", "score", "operate"}),
    "all_departments": frozenset(),
    "audit": frozenset({"audit"}),
}
"""What the scopes of the service's door are in the console."""
Standing = Literal["local", "known", "logged_out", "no_role", "outside"]
"""Why a viewer may do what it may: sits at the machine; is logged in; is not, or no more; is nobody here; no log-in is set up."""


@dataclass(frozen=True)
class Viewer:
    """Who looks at the console, what that person may do, and whose requests it may see (`department` None: everybody's).

    `token`: what shows the service who asks.
    """

    standing: Standing
    name: str = ""
    actions: frozenset[Action] = frozenset()
    department: str | None = None
    role: Role | None = None
    token: str | None = field(default=None, repr=False)

    def may(self, action: Action) -> bool:
        """True where the viewer is allowed to."""
        return action in self.actions


def viewer() -> Viewer:
    """By log-in where one is set up; else whoever sits at the machine may do everything, and elsewhere nobody anything."""
    told = os.environ.get("SONOSCOPE_CONSOLE_LOGIN")
    if told is None:
        return Viewer("local", "local", frozenset(get_args(Action))) if on_loopback() else Viewer("outside")
    login = json.loads(told)
    claims, token = logged_in()
    if claims is None or float(claims.get("iat", 0.0)) + 3600 * login["hours"] < time.time():
        return Viewer("logged_out")
    name = str(claims.get("name") or claims.get("preferred_username") or claims.get("sub"))
    found = claimed(
        claims, role_claim=login["role_claim"], department_claim=login["department_claim"], names=login["roles"] or None
    )
    if found is None:
        return Viewer("no_role", name)
    role, department = found
    scopes = SCOPES[role]
    actions = frozenset[Action]().union(*(ACTIONS[scope] for scope in scopes))
    return Viewer("known", name, actions, None if "all_departments" in scopes else department, role, token)


def logged_in() -> tuple[Mapping[str, Any] | None, str | None]:
    """The claims of Streamlit's own log-in and the access token; None where nobody is logged in."""
    if not st.user.is_logged_in:
        return None, None
    return st.user.to_dict(), st.user.tokens.get("access")


def on_loopback() -> bool:
    """True where only this machine reaches the console: by the address that Streamlit listens on, and by what `up` says.

    Streamlit without an address listens on all of them.
    """
    addresses = (st.get_option("server.address") or "0.0.0.0", os.environ.get("SONOSCOPE_CONSOLE_HOST", "127.0.0.1"))
    return all(map(_is_loopback, addresses))


def _is_loopback(address: str) -> bool:
    try:
        return address == "localhost" or ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False  # a name may lead anywhere
