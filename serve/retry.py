"""Which failed attempt is worth another one, when, and with what: a pure function of the job and its error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from serve.jobs import Row
from telemetry import fields
from telemetry.errors import RequestError

LOWERED = "resolution_lowered"
"""Advice of a job that ran out of memory and was made at a lower resolution (`lowered_min_resolution`)."""
LONGEST_S = 60.0
"""Longest wait between two attempts: a replica is back after 5 to 20 s, and a job must not outwait its deadline."""


@dataclass(frozen=True)
class Again:
    """The next attempt: seconds to wait, and the values it runs with."""

    wait_s: float
    values: dict[str, Any]


def another(row: Row, error: RequestError, backoff_s: float) -> Again | None:
    """The next attempt after `error`, None where there is none to make.

    Only errors that may pass by themselves are tried again, up to the job's limit, after `backoff_s`, twice that, and so on.
    Without memory the same work fails in the same way: it is tried once more, at a lower resolution, and says so in its advice.
    """
    limit = row["attempt_limit"] or 1
    wait_s = min(LONGEST_S, backoff_s * 2 ** (row["attempt"] - 1))
    if not error.retriable or row["attempt"] >= limit or row["cancel_requested"]:
        return None
    if error.type != "out_of_memory":
        return Again(wait_s, dict(row["values"]))
    lowered = lower_resolution(row["values"]["min_resolution"])
    if lowered is None or LOWERED in row["values"].get("advice", ()):
        return None
    advice = [*row["values"].get("advice", ()), LOWERED]
    return Again(wait_s, {**row["values"], "lowered_min_resolution": lowered, "advice": advice})


def used(values: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters as the work takes them; the record keeps what was asked for, and `lowered_min_resolution` beside it."""
    lowered = values.get("lowered_min_resolution")
    return dict(values) if lowered is None else {**values, "min_resolution": lowered}


def lower_resolution(pixels: int) -> int | None:
    """About half the area, in the steps that the parameter allows; None where it is the lowest already."""
    field = fields.BY_NAME["min_resolution"]
    step, lowest = field.multiple_of or 1, int(field.minimum or 0)
    lowered = max(lowest, int(pixels / 2**0.5) // step * step)
    return lowered if lowered < pixels else None
