"""A filter as DuckDB's SQL. Values are bound, never written into the text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from analytics.columns import Column
from analytics.filters.syntax import And, Compare, Filter, Nil, Node, Not, Or

_CASTS = {"int": "BIGINT", "float": "DOUBLE", "bool": "BOOLEAN", "str": "VARCHAR", "time": "BIGINT", "list": "VARCHAR"}
_JSON_KINDS = {bool: "'BOOLEAN'", int: "'BIGINT', 'UBIGINT', 'DOUBLE'", float: "'BIGINT', 'UBIGINT', 'DOUBLE'", str: "'VARCHAR'"}


@dataclass(frozen=True)
class Sql:
    """A condition with `?` for each of `parameters`, in their order."""

    text: str
    parameters: tuple[Any, ...] = ()


def to_sql(node: Node) -> Sql:
    """The filter over columns of a request row; it is true or false, never NULL."""
    match node:
        case And(parts):
            return _joined(parts, " AND ", "true")
        case Or(parts):
            return _joined(parts, " OR ", "false")
        case Not(part):
            inner = to_sql(part)
            return Sql(f"(NOT {inner.text})", inner.parameters)
        case Nil(column):
            if column.dtype == "any":
                return Sql("(coalesce(json_type(extra, ?), 'NULL') = 'NULL')", (_path(column),))
            return Sql(f"({quoted(column.column)} IS NULL)")
        case Compare(column, operator, value):
            return _compare(column, operator, value)


def condition_of(where: Filter | None) -> tuple[str, tuple[Any, ...]]:
    """A filter as a condition with `?` for each value, and the values; `true` without a filter."""
    if where is None:
        return "true", ()
    sql = to_sql(where.node)
    return sql.text, sql.parameters


def quoted(name: str) -> str:
    """A name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as SQL writes it: for views, which take no parameters."""
    return "'" + text.replace("'", "''") + "'"


def _joined(parts: tuple[Node, ...], word: str, empty: str) -> Sql:
    inner = [to_sql(part) for part in parts]
    text = "(" + word.join(part.text for part in inner) + ")" if inner else empty
    return Sql(text, tuple(value for part in inner for value in part.parameters))


def _compare(column: Column, operator: str, value: Any) -> Sql:
    if column.dtype == "any":
        path, cast = _path(column), {bool: "BOOLEAN", str: "VARCHAR"}.get(type(value), "DOUBLE")
        test = _test(f"TRY_CAST(json_extract_string(extra, ?) AS {cast})", operator, cast)
        # A CASE, for a text that looks like a number must not count as one.
        text = f"coalesce(CASE WHEN json_type(extra, ?) IN ({_JSON_KINDS[type(value)]}) THEN {test} END, false)"
        return Sql(text, (path, path, value))
    name = quoted(column.column)
    if column.dtype == "time":
        return Sql(f"coalesce({_test(f'epoch_ns({name})', operator, 'BIGINT')}, false)", (value,))
    if column.dtype == "list":
        positive = {"!=": "=", "!~": "=~"}.get(operator, operator)
        found = f"len(list_filter({name}, lambda item: {_test('item', positive, 'VARCHAR')}))"
        return Sql(f"coalesce({found} {'> 0' if positive == operator else '= 0'}, false)", (value,))
    return Sql(f"coalesce({_test(name, operator, _CASTS[column.dtype])}, false)", (value,))


def _test(left: str, operator: str, cast: str) -> str:
    if operator in ("=~", "!~"):
        return f"{'NOT ' if operator == '!~' else ''}regexp_full_match({left}, ?)"
    return f"{left} {operator} ?::{cast}"


def _path(column: Column) -> str:
    return '$."' + column.column.replace("\\", "\\\\").replace('"', '\\"') + '"'
