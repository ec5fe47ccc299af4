"""From what was known of an incident and what is read now to what is known next: hysteresis, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from analytics.alerts.conditions import fires
from analytics.alerts.ledger import Known
from analytics.alerts.watchers import Incident

Event = Literal["fired", "resolved"]


def step(known: Known | None, seen: Incident, now: float) -> tuple[Known | None, Event | None]:
    """The incident afterwards (None: there is none) and what happened to it. A reading without a value changes nothing.

    It fires when the condition has held for `hold` seconds, and resolves when the value has been at or below `clear` (by default
    the condition's own limit) for `resolve_after` seconds; in between it stays what it is.
    """
    alert, reading = seen.alert, seen.reading
    if reading.value is None:
        return known, None
    bad = fires(alert.condition, reading)
    if known is None:
        if not bad:
            return None, None
        known = Known(alert.id, seen.key, "pending", now)
    if bad:
        known = replace(known, value=reading.value, requests=reading.ids, turned=None)
    if known.state == "pending":
        if not bad:
            return None, None
        fired = now - known.since >= alert.hold
        return (replace(known, state="firing"), "fired") if fired else (known, None)
    clear = alert.condition.limit() if alert.clear is None else alert.clear
    if bad or reading.value > clear:
        return replace(known, turned=None), None
    turned = now if known.turned is None else known.turned
    known = replace(known, turned=turned)
    return known, "resolved" if now - turned >= alert.resolve_after else None
