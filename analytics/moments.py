"""Times as people write them: `30m`, `1h`, `7d` before now, or an ISO time."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def moment(text: str) -> int:
    """The time that `text` names, in ns since 1970 (UTC where it names no zone). Raises ValueError that says what is understood."""
    if span := re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text):
        try:
            at = datetime.now(UTC) - timedelta(**{_UNITS[span[2]]: float(span[1])})
        except OverflowError:
            raise ValueError(f"{text} is longer ago than the calendar goes") from None
    else:
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            raise ValueError(f"{text} is neither a span (30m, 1h, 7d) nor a time (2026-11-22T18:00:00Z)") from None
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return int(at.timestamp() * 1_000_000) * 1000
