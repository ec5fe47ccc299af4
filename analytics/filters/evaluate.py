"""A filter asked of one row in plain Python: the meaning that every compiled form is held against."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from analytics.filters.syntax import And, Compare, Nil, Node, Not, Or

_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "!=": operator.ne, ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le,
}  # fmt: skip


def matches(node: Node, row: Mapping[str, Any]) -> bool:
    """Whether the row passes. Times are ns since 1970; fields of unknown type lie in `row["extra"]`, a mapping."""
    match node:
        case And(parts):
            return all(matches(part, row) for part in parts)
        case Or(parts):
            return any(matches(part, row) for part in parts)
        case Not(part):
            return not matches(part, row)
        case Nil(column):
            return _value(column.column, column.dtype, row) is None
        case Compare(column, op, wanted):
            return _compare(_value(column.column, column.dtype, row), op, wanted)


def _value(name: str, dtype: str, row: Mapping[str, Any]) -> Any:
    return (row.get("extra") or {}).get(name) if dtype == "any" else row.get(name)


def _compare(value: Any, op: str, wanted: Any) -> bool:
    if isinstance(value, list):
        if op in ("!=", "!~"):  # no item is it
            return not any(_compare(item, "=" if op == "!=" else "=~", wanted) for item in value)
        return any(_compare(item, op, wanted) for item in value)
    if _kind(value) != _kind(wanted):
        return False  # missing, or a field of unknown type that holds another kind here
    if op in ("=~", "!~"):
        return (re.fullmatch(wanted, value) is not None) == (op == "=~")
    return _ORDER[op](value, wanted)


def _kind(value: Any) -> type | None:
    if isinstance(value, bool) or value is None:
        return None if value is None else bool
    return float if isinstance(value, int | float) else type(value)
