"""What of a machine's journal nobody else has, and how old it was."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from telemetry import fields
from telemetry.segments import read_lines


@dataclass
class Lost:
    """Lines by kind, ages in seconds at the loss, and what the forwarder had said of its lag (s) when it last wrote its status."""

    ids: list[str] = field(default_factory=list)
    spans: int = 0
    events: int = 0
    ends: int = 0
    oldest_s: dict[str, float] = field(default_factory=dict)
    said_s: dict[str, float] = field(default_factory=dict)
    status_age_s: float = 0.0
    journal: int = 0

    def __str__(self) -> str:
        ages = ", ".join(f"{kind} {age:.1f} s" for kind, age in self.oldest_s.items()) or "none"
        said = ", ".join(f"{kind} {age:.1f} s" for kind, age in self.said_s.items())
        return (
            f"{self.spans} spans, {self.events} events ({self.ends} ends) of {self.journal} lines in its journal; oldest: {ages}; "
            f"the forwarder had said {said} ({self.status_age_s:.1f} s before)"
        )

    @property
    def within_what_was_said(self) -> bool:
        """No lost line is older than the lag that `forward.json` told, plus the time since it was written."""
        return all(age <= self.said_s.get(kind, 0.0) + self.status_age_s + 1.0 for kind, age in self.oldest_s.items())


def what_is_lost(journal: Path, delivered: set[str], status: dict[str, Any] | None, at_ns: int) -> Lost:
    """The lines of a journal whose ids are not among those that a receiver has."""
    lost = Lost()
    if status is not None:
        lost.status_age_s = max(0.0, at_ns / 1e9 - status["at"])
        lost.said_s = {kind: about["lag_s"] for kind, about in status["kinds"].items()}
    for line in read_lines(journal, "spans"):
        lost.journal += 1
        span = orjson.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
        if span["spanId"] not in delivered:
            lost.ids.append(span["spanId"])
            lost.spans += 1
            _older(lost, "spans", (at_ns - int(span["endTimeUnixNano"])) / 1e9)
    for line in read_lines(journal, "events"):
        lost.journal += 1
        event = orjson.loads(line)
        if event["event_id"] not in delivered:
            lost.ids.append(event["event_id"])
            lost.events += 1
            lost.ends += event["event_type"] in fields.TERMINAL_EVENTS
            _older(lost, "events", at_ns / 1e9 - _seconds(event["@timestamp"]))
    return lost


def _older(lost: Lost, kind: str, age_s: float) -> None:
    lost.oldest_s[kind] = max(age_s, lost.oldest_s.get(kind, 0.0))


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()
