"""The one place that knows what a viewer may see and do. Every page asks here."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from typing import Literal, get_args

import streamlit as st

Action = Literal["read", "generate", "score", "export", "silence", "audit"]


@dataclass(frozen=True)
class Viewer:
    """Who looks at the console, and what that person may do."""

    name: str
    actions: frozenset[Action]

    def may(self, action: Action) -> bool:
        """True where the viewer is allowed to."""
        return action in self.actions


def viewer() -> Viewer:
    """On loopback whoever sits at the machine may do everything; on any other address nobody may, since there is no log-in."""
    return Viewer("local", frozenset(get_args(Action))) if on_loopback() else Viewer("", frozenset())


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
