"""Ranges that a backend narrows. Light: the door asks before anything is loaded, the stage asks again."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from telemetry.errors import RequestError

Ranges = Mapping[str, tuple[float, float]]


def ranges_of(name: str) -> Ranges:
    """What the backend `name` says of its ranges in the entry point group `sonoscope.talking_head_ranges`; empty: nothing.

    An entry there names a mapping of parameter to lowest and highest value, in a module that imports nothing heavy.
    """
    for entry in entry_points(group="sonoscope.talking_head_ranges", name=name):
        return entry.load()
    return {}


def refuse_outside(name: str, ranges: Ranges, parameters: Mapping[str, Any]) -> None:
    """Raises RequestError(invalid_parameter) for the first parameter outside the backend's range; one that is open is within it."""
    for parameter, (low, high) in ranges.items():
        value = parameters.get(parameter)
        if value is not None and not low <= value <= high:
            span = f"{low:.10g}" if low == high else f"{low:.10g} to {high:.10g}"
            hint = f"Leave {parameter} out, or use another model_name."
            message = f"model_name {name} takes {parameter} = {span}; got {value:.10g}."
            raise RequestError("invalid_parameter", message, field=parameter, hint=hint)
