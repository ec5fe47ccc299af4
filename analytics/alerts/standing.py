"""How things stand: what fires, what is silent, what was, and what has not been delivered."""

from __future__ import annotations

import contextlib
from collections.abc import Container
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from analytics.alerts.ledger import Known, Ledger


@dataclass(frozen=True)
class Standing:
    """Times are s since 1970. `history`: `alert`, `key`, `event`, `at`, `value`, `requests`, the newest first."""

    firing: tuple[Known, ...] = ()
    pending: tuple[Known, ...] = ()
    history: tuple[dict[str, Any], ...] = ()
    silences: tuple[dict[str, Any], ...] = ()
    undelivered: tuple[dict[str, Any], ...] = field(default=())


def standing(path: Path, now: float) -> Standing:
    """What the ledger at `path` says; empty where there is none yet. Raises sqlite3.Error where it cannot be read."""
    if not path.exists():
        return Standing()
    with contextlib.closing(Ledger(path)) as ledger:
        known = ledger.known().values()
        return Standing(
            tuple(one for one in known if one.state == "firing"),
            tuple(one for one in known if one.state == "pending"),
            tuple(ledger.history()),
            tuple(ledger.silences(now)),
            tuple(ledger.undelivered()),
        )


def of_own(found: Standing, own: Container[str]) -> Standing:
    """What concerns somebody who may see the requests `own` only: alerts that name one of them, with those alone.

    A value is counted over everybody's requests and is left out, and so are silences and what a sink could not take.
    """

    def narrowed(known: tuple[Known, ...]) -> tuple[Known, ...]:
        kept = (replace(one, value=None, requests=tuple(id for id in one.requests if id in own)) for one in known)
        return tuple(one for one in kept if one.requests)

    history = ({**one, "value": None, "requests": [id for id in one["requests"] if id in own]} for one in found.history)
    return Standing(narrowed(found.firing), narrowed(found.pending), tuple(one for one in history if one["requests"]))


def silence(path: Path, alert: str, until: float, comment: str = "") -> None:
    """No messages of an alert before `until`; a time that has passed ends its silences. Raises sqlite3.Error."""
    with contextlib.closing(Ledger(path)) as ledger:
        ledger.speak(alert)
        ledger.silence(alert, until, comment)
