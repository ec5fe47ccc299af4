"""From whatever a stage measured to values that spans and events may carry: one type a name for ever."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import orjson

from telemetry.fields import BY_NAME, Value
from telemetry.losses import count_error


def clean(values: Mapping[str, Any]) -> dict[str, Value]:
    """`values` as telemetry may hold them.

    A known name is cast to its type; an unknown one is kept as given if it is a scalar or a list of strings. Left out: None,
    numbers that are not finite, and what does not fit (counted as a telemetry error: a wrong value must not cost the record).
    """
    row: dict[str, Value] = {}
    for name, value in values.items():
        field = BY_NAME.get(name)
        try:
            kept = _unknown(value) if field is None else field.cast(value)
        except (ValueError, TypeError, OverflowError, RuntimeError) as error:  # RuntimeError: a tensor of many numbers
            count_error(f"{name}: {error}")
            continue
        if kept is not None:
            row[name] = kept
    return row


def _unknown(value: Any) -> Value:
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, list | tuple):
        if all(isinstance(item, str) for item in value):
            return list(value)
    elif hasattr(value, "item"):  # a scalar of NumPy or torch
        return _unknown(value.item())
    raise TypeError(f"{type(value).__name__} is neither a scalar nor a list of strings")


def rfc3339(ns: int) -> str:
    """Nanoseconds since 1970 as `2026-11-22T18:00:00.123456789Z`."""
    seconds, rest = divmod(ns, 1_000_000_000)
    return f"{_second(seconds)}.{rest:09d}Z"


@lru_cache(maxsize=64)  # many events fall into one second: 0.1 µs instead of 0.9 µs
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def dumps(value: Any) -> bytes:
    """One line of JSON. Lone surrogates (an undecodable file name) become `?`, and an int beyond 64 bits a string."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        return orjson.dumps(_plain(value))


def _plain(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-8", "replace").decode()
        case dict():
            return {_plain(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case bool() | float() | None:
            return value
        case int():
            return value if -(2**63) <= value < 2**63 else str(value)
        case _:
            return str(value)
