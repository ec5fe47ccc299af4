"""What a server can be asked of a filter: TraceQL for Tempo, a query for Elasticsearch.

A server need not decide everything: its answer holds at least the rows that pass, and where it may hold more (`exact` is false) the
client filters again. What Tempo says about missing values and negation differs between versions, so it is never asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson

from analytics.columns import Column
from analytics.filters.syntax import And, Compare, Nil, Node, Not, Or
from telemetry.values import rfc3339

_SHARED_REGEX = re.compile(r"[\w .*+?|()\[\]-]+")

Leaf = Callable[[Compare | Nil, bool], tuple[Any, bool]]
"""A comparison and whether it is negated -> the query for it (None = everything) and whether that is exact."""


@dataclass(frozen=True)
class TraceQL:
    """The expression in braces; `exact`: what it finds needs no second look."""

    text: str
    exact: bool


@dataclass(frozen=True)
class Elastic:
    """The query as a dict for the client; `exact` as in TraceQL."""

    query: dict[str, Any]
    exact: bool


def to_traceql(node: Node) -> TraceQL:
    """The filter for Tempo, each literal in the type of its field: an int literal finds no float attribute, without an error."""
    text, exact = _superset(node, False, _trace_leaf, lambda parts, both: "(" + (" && " if both else " || ").join(parts) + ")")
    return TraceQL("{ " + text + " }" if text else "{ }", exact)


def to_elasticsearch(node: Node) -> Elastic:
    """The filter for the terminal events in Elasticsearch."""
    query, exact = _superset(node, False, _elastic_leaf, lambda parts, both: _bool("filter" if both else "should", *parts))
    return Elastic(query or {"match_all": {}}, exact)


def _superset(node: Node, negated: bool, leaf: Leaf, combine: Callable[[list[Any], bool], Any]) -> tuple[Any, bool]:
    match node:
        case Not(part):
            return _superset(part, not negated, leaf, combine)
        case And(parts) | Or(parts):
            both = isinstance(node, And) != negated
            inner = [_superset(part, negated, leaf, combine) for part in parts]
            queries = [query for query, _ in inner if query is not None]
            exact = all(one for _, one in inner)
            if not queries or (not both and len(queries) < len(inner)):  # a part that may be anything makes the whole `or` so
                return None, exact and both and not inner
            return (queries[0] if len(queries) == 1 else combine(queries, both)), exact
        case Compare() | Nil():
            return leaf(node, negated)


def _trace_leaf(node: Compare | Nil, negated: bool) -> tuple[str | None, bool]:
    column, nil = node.column, isinstance(node, Nil)
    if column.scope == "derived" or nil != negated or (nil and column.dtype == "list"):
        return None, False
    scope = {"intrinsic": "", "resource": "resource."}.get(column.scope, "." if column.dtype == "any" else "span.")
    name = scope + column.name
    if isinstance(node, Nil):
        return f"{name} != nil", False
    if column.dtype == "list":
        return None, False
    tests = [f"{name} {node.operator} {literal}" for literal in _trace_literals(column, node.value)]
    return (tests[0] if len(tests) == 1 else "(" + " || ".join(tests) + ")"), node.operator not in ("!=", "!~")


def _trace_literals(column: Column, value: Any) -> list[str]:
    if isinstance(value, bool):
        return ["true" if value else "false"]
    if isinstance(value, str):
        return [orjson.dumps(value).decode()]
    if column.name == "duration":
        return [f"{_decimal(float(value))}s"]
    if column.dtype == "any":  # nobody said what it is: both kinds
        return [*([str(int(value))] if float(value).is_integer() else []), _decimal(float(value))]
    return [_decimal(value) if isinstance(value, float) else str(value)]


def _decimal(value: float) -> str:
    text = format(Decimal(repr(value)), "f")
    return text if "." in text else text + ".0"


def _elastic_leaf(node: Compare | Nil, negated: bool) -> tuple[dict[str, Any] | None, bool]:
    column = node.column
    name = column.column if column.name == "duration" else column.name
    if column.scope == "derived" or column.dtype == "any" or column.name == "name":
        return None, False
    if isinstance(node, Nil):
        if column.dtype == "list":  # an empty list is a value for us and is missing for Elasticsearch
            return None, False
        return ({"exists": {"field": name}} if negated else _bool("must_not", {"exists": {"field": name}})), True
    positive = {"!=": "=", "!~": "=~"}.get(node.operator, node.operator)
    query = _elastic_test(name, positive, rfc3339(int(node.value)) if column.dtype == "time" else node.value)
    if column.dtype == "list" and (negated or positive != node.operator):
        # What a regular expression may find too much (Lucene's `.` is a line end too) must not be taken away.
        return (None, False) if negated or node.operator == "!~" else (_bool("must_not", query), False)
    if node.operator == "!~":
        return (None, False) if negated else ({"exists": {"field": name}}, False)
    if positive != node.operator:
        query = {"bool": {"filter": [{"exists": {"field": name}}], "must_not": [query]}}
    exact = node.operator != "=~"
    if negated:
        return (_bool("must_not", query), True) if exact else (None, False)
    return query, exact


def _elastic_test(name: str, operator: str, value: Any) -> dict[str, Any]:
    if operator == "=~":
        # Lucene's regular expressions are not RE2's; what both read alike is asked, the rest is left to the client.
        shared = _SHARED_REGEX.fullmatch(str(value)) and "(?" not in str(value)
        return {"regexp": {name: {"value": value, "flags": "NONE"}}} if shared else {"exists": {"field": name}}
    if operator == "=":
        return {"term": {name: {"value": value}}}
    return {"range": {name: {{">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}[operator]: value}}}


def _bool(clause: str, *queries: dict[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = {clause: list(queries)}
    return {"bool": body | ({"minimum_should_match": 1} if clause == "should" else {})}
