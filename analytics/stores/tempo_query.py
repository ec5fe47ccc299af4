"""TraceQL for the record spans: which spans they are, a filter in the attributes' own names and types, what to select."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import orjson

from analytics.columns import Column
from analytics.filters import Filter
from analytics.filters.remote import TraceQL, to_traceql
from analytics.filters.syntax import And, Compare, Nil, Node, Not, Or
from analytics.stores.mapping import Mapping
from telemetry import fields
from telemetry.tables import RESOURCE

_BARE = re.compile(r"[A-Za-z_][\w./-]*")
INTRINSICS = ("name", "statusMessage", "span:parentID")
"""Beside start, length and ids, which come unasked. The span's status comes by grouping: see `selecting`."""

NAMES = frozenset(fields.BY_NAME) | RESOURCE.keys() | set(INTRINSICS) | {"status"}
"""Keys of an answer that are spoken for."""
ELSEWHERE = frozenset(
    {f"{stage}_ms" for stage in fields.STAGES}
    | {"user_score", "user_comment", "attempt", "started_at", "ended_at", "error_message"}
)
"""Columns whose value in a request row need not be the record span's attribute: the join takes them from child spans and later
events, fills them in, or (error_message) Tempo has cut them at 2048 bytes. No filter on them may drop a span."""


def attribute(scope: str, name: str) -> str:
    """`span.fps`, or `span."own thing"` where the name is no plain word."""
    return f"{scope}.{name if _BARE.fullmatch(name) else orjson.dumps(name).decode()}"


def records(mapping: Mapping) -> str:
    """The condition that a span is a record span, as `telemetry.tables` decides it for a journal line."""
    names = [*fields.RECORD_SPANS.values(), *([mapping.span] if mapping.span else [])]
    tests = [f"name = {orjson.dumps(name).decode()}" for name in names]
    return "(" + " || ".join([*tests, "(span.started_at > 0 && span.ended_at > 0)"]) + ")"


def condition(where: Filter | None, mapping: Mapping) -> TraceQL:
    """Record spans, at least those whose request passes the filter; `exact`: they alone."""
    if where is None:
        return TraceQL(records(mapping), True)
    asked = to_traceql(_in_their_names(where.node, {mapped.column.name: mapped.span for mapped in mapping.columns}))
    inner = asked.text.removeprefix("{").removesuffix("}").strip()
    return TraceQL(f"{records(mapping)} && {inner}" if inner else records(mapping), asked.exact)


def selecting(braces: str, names: Iterable[str]) -> str:
    """The search that brings these attributes along.

    Answers name attributes without their scope, so the span's own status and our attribute `status` would be two values of one
    name. Grouped by status, each set of spans says which the span's own is.
    """
    return f"{{ {braces} }} | by(status) | select({', '.join([*INTRINSICS, *names])})"


def known_names(mapping: Mapping) -> list[str]:
    """Every attribute that has a column: of the table of names, of the resource, of the mapping file."""
    theirs = [attribute("span", mapped.span) for mapped in mapping.columns if mapped.span]
    ours = [attribute("span", name) for name in fields.BY_NAME]
    return list(dict.fromkeys([*ours, *theirs, *(attribute("resource", name) for name in RESOURCE)]))


def by_trace_id(trace_ids: Iterable[str]) -> str:
    """Every span of these traces."""
    return " || ".join(f'trace:id = "{id}"' for id in trace_ids)


def _in_their_names(node: Node, theirs: dict[str, str]) -> Node:
    """The filter with each comparison as an `or` of the attributes that the value may stand in."""
    match node:
        case And(parts):
            return And(tuple(_in_their_names(part, theirs) for part in parts))
        case Or(parts):
            return Or(tuple(_in_their_names(part, theirs) for part in parts))
        case Not(part):
            return Not(_in_their_names(part, theirs))
        case Nil(column):
            return Nil(replace(column, scope="derived")) if _undecided(column, theirs) else Nil(_plain(column))
        case Compare(column):
            options = list(_places(node, theirs))
            return options[0] if len(options) == 1 else Or(tuple(options))


def _undecided(column: Column, theirs: dict[str, str]) -> bool:
    return column.name in theirs or column.name in ELSEWHERE or column.name in ("duration", "trace_id")


def _places(node: Compare, theirs: dict[str, str]) -> Iterator[Compare]:
    column = node.column
    if column.name == "trace_id" and node.operator == "=":  # the intrinsic, for a foreign span has no such attribute
        yield Compare(Column("trace:id", "trace_id", "str", scope="intrinsic"), "=", node.value)
    elif column.name in ELSEWHERE or column.name == "trace_id":
        yield replace(node, column=replace(column, scope="derived"))
    elif column.name == "duration":  # the span's length, or what the service measured
        yield node
        yield replace(node, column=Column("latency_s", "latency_s", "float"))
    elif column.name in theirs:
        if not theirs[column.name]:
            yield replace(node, column=replace(column, scope="derived"))
            return
        if column.name in fields.BY_NAME:
            yield replace(node, column=replace(column, scope="span"))
        yield from _both_kinds(replace(node, column=_named(column, theirs[column.name])))
    else:
        yield replace(node, column=_plain(column))


def _both_kinds(node: Compare) -> Iterator[Compare]:
    """A number as int and as float: nobody promised which of them the other service writes, and Tempo compares by type."""
    if node.column.dtype not in ("int", "float") or isinstance(node.value, bool | str):
        yield node
        return
    yield Compare(replace(node.column, dtype="float"), node.operator, float(node.value))
    whole = _whole(node.operator, float(node.value))
    if whole is not None:
        yield Compare(replace(node.column, dtype="int"), node.operator, whole)


def _whole(operator: str, value: float) -> int | None:
    """The whole number that says the same of whole numbers: x > 1.5 is x > 1; None where none can."""
    if value.is_integer():
        return int(value)
    if not math.isfinite(value) or operator in ("=", "!="):
        return None
    return math.floor(value) if operator in (">", "<=") else math.ceil(value)


def _plain(column: Column) -> Column:
    return column if _BARE.fullmatch(column.name) else _named(column, column.name)


def _named(column: Column, name: str) -> Column:
    quoted: Any = name if _BARE.fullmatch(name) else orjson.dumps(name).decode()
    return replace(column, name=quoted, scope="span")
