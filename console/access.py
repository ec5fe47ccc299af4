"""The one place that knows what a viewer may see and do. Every page asks here."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from typing import Literal

Action = Literal["read", "generate", "score", "export", "silence"]


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
    host = os.environ.get("SONOSCOPE_CONSOLE_HOST", "127.0.0.1")
    local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    return Viewer("local" if local else "", frozenset(("read", "generate", "score", "export", "silence") if local else ()))
