"""Text to a typed filter: names are looked up, literals take the type of the name that they stand beside."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from lark import Lark, Token, Transformer, Tree, v_args
from lark.exceptions import UnexpectedInput, UnexpectedToken, VisitError

from analytics.columns import Column, vocabulary
from analytics.filters.syntax import And, Compare, Filter, Literal_, Nil, Node, Not, Operator, Or

_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_FLIPPED: dict[str, Operator] = {">": "<", "<": ">", ">=": "<=", "<=": ">=", "=": "=", "!=": "!="}
_ORDERED = {"int", "float", "time", "str", "any"}
MAX_CHARACTERS = 40_000
MAX_DEPTH = 100
"""Of brackets and negations: what is asked of a filter goes down it, and DuckDB's own limit is 1000."""
_PREFIXES = ("span.", "resource.", "event.", "trace.", ".")


class FilterError(ValueError):
    """An expression that cannot be asked. `position`: offset of the place in `text`, from 0."""

    def __init__(self, message: str, text: str, position: int) -> None:
        super().__init__(f"{message}\n  {text}\n  {' ' * position}^")
        self.message = message
        self.text = text
        self.position = position


def parse(text: str, columns: Mapping[str, Column] | None = None) -> Filter:
    """The filter that `text` says. `columns`: the names that may stand in it (default: `vocabulary()`).

    Raises FilterError with the position: not an expression, an unknown name (with the nearest ones), a literal of the wrong type.
    """
    flat = " ".join(text.splitlines())
    if len(flat) > MAX_CHARACTERS:
        raise FilterError(f"the expression is longer than {MAX_CHARACTERS} characters", flat[:60], 0)
    try:
        tree = _parser().parse(flat)
        _check_depth(tree, flat)
        return Filter(flat, _Builder(flat, vocabulary() if columns is None else columns).transform(tree))
    except VisitError as error:
        if isinstance(error.orig_exc, FilterError):
            raise error.orig_exc from None
        raise
    except UnexpectedInput as error:
        at_end = isinstance(error, UnexpectedToken) and error.token.type == "$END"
        position = len(flat) if at_end or error.pos_in_stream is None else error.pos_in_stream
        raise FilterError(_unexpected(error, flat), flat, position) from None


def _check_depth(tree: Tree[Token], text: str) -> None:
    """Raises FilterError."""
    level, depth = [tree], 0
    while level := [part for one in level for part in one.children if isinstance(part, Tree)]:
        depth += 1
        if depth > MAX_DEPTH:
            raise FilterError(f"the expression is nested more than {MAX_DEPTH} deep", text, 0)


@lru_cache(maxsize=1)
def _parser() -> Lark:
    return Lark((Path(__file__).parent / "grammar.lark").read_text("utf-8"), parser="lalr", maybe_placeholders=False)


def _unexpected(error: UnexpectedInput, text: str) -> str:
    rest = text[error.pos_in_stream :] if error.pos_in_stream is not None and error.pos_in_stream >= 0 else ""
    if not rest or (isinstance(error, UnexpectedToken) and error.token.type == "$END"):
        return "the expression ends too early"
    found = str(error.token) if isinstance(error, UnexpectedToken) else rest[0]
    if found.lower() in ("and", "or", "not", "&", "|"):
        return f"{found!r} is not expected here; write && for and, || for or, ! for not"
    return f"{found!r} is not expected here" + ("; texts stand in double quotes" if found == "'" else "")


class _Literal:
    def __init__(self, kind: str, token: Token) -> None:
        self.kind = kind
        self.token = token

    @property
    def position(self) -> int:
        return self.token.start_pos or 0


class _Builder(Transformer[Token, Node]):
    """Lark's tree to ours; what a literal means is decided here, where its column is known."""

    def __init__(self, text: str, columns: Mapping[str, Column]) -> None:
        super().__init__()
        self._text = text
        self._columns = columns

    def start(self, items: list[Node]) -> Node:
        return items[0] if items else And(())

    def or_(self, items: list[Node]) -> Node:
        return Or(tuple(items))

    def and_(self, items: list[Node]) -> Node:
        return And(tuple(items))

    def not_(self, items: list[Node]) -> Node:
        return Not(items[0])

    def operator(self, items: list[Token]) -> Token:
        return items[0]

    def field(self, items: list[Token]) -> tuple[Column, Token]:
        token = items[0]
        name = str(token)
        for prefix in _PREFIXES:
            if name.startswith(prefix) and name not in self._columns:
                name = name.removeprefix(prefix)
                break
        if name in self._columns:
            return self._columns[name], token
        near = difflib.get_close_matches(name, self._columns, n=3, cutoff=0.6)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise FilterError(f"unknown name {name}{hint}", self._text, token.start_pos or 0)

    def compare(self, items: list[Any]) -> Node:
        column, token = items[0]
        if len(items) == 1:
            if column.dtype not in ("bool", "any"):
                raise FilterError(f"{column.name} alone is not a condition: compare it", self._text, token.start_pos or 0)
            return Compare(column, "=", True)
        return self._compare(column, items[1], str(items[1]), items[2])

    def flipped(self, items: list[Any]) -> Node:
        operator = _FLIPPED.get(str(items[1]))
        if operator is None:
            raise FilterError(f"{items[1]} wants the name on its left", self._text, items[1].start_pos or 0)
        return self._compare(items[2][0], items[1], operator, items[0])

    def _compare(self, column: Column, token: Token, operator: Any, literal: _Literal) -> Node:
        if literal.kind == "nil":
            if operator not in ("=", "!="):
                raise FilterError("nil compares with = and != only", self._text, token.start_pos or 0)
            return Nil(column) if operator == "=" else Not(Nil(column))
        ordered = operator in (">", ">=", "<", "<=")
        matching = operator in ("=~", "!~")
        if (ordered and column.dtype not in _ORDERED) or (matching and column.dtype not in ("str", "list", "any")):
            raise FilterError(f"{operator} does not go with {column.name} ({column.dtype})", self._text, token.start_pos or 0)
        try:
            value = _value(column, literal)
        except ValueError as error:
            raise FilterError(f"{column.name} {error}, not {literal.token}", self._text, literal.position) from None
        if matching:
            _check_regex(value, self._text, literal.position)
        return Compare(column, operator, value)

    @v_args(inline=True)
    def nil(self, token: Token) -> _Literal:
        return _Literal("nil", token)

    def __default__(self, data: Any, children: list[Any], meta: Any) -> Any:
        kinds = ("bool", "duration", "float", "int", "string", "raw", "word")
        return _Literal(str(data), children[0]) if data in kinds else Tree(data, children, meta)


def _check_regex(value: Literal_, text: str, position: int) -> None:
    """Raises FilterError where the value is not a regular expression of RE2, which DuckDB, Tempo and pyarrow share."""
    if not isinstance(value, str):
        raise FilterError("=~ and !~ want a text in quotes", text, position)
    try:
        pc.match_substring_regex(pa.array([""]), value)  # pyright: ignore[reportAttributeAccessIssue]
    except pa.ArrowInvalid as error:
        raise FilterError(f"not a regular expression: {str(error).rpartition(': ')[2]}", text, position) from None


def _value(column: Column, literal: _Literal) -> Literal_:
    """The literal in the column's type. Raises ValueError with what the column is."""
    text = str(literal.token)
    match literal.kind:
        case "duration":
            return _duration(column, text)
        case "int" | "float":
            return _number(column, text, literal.kind)
        case "bool":
            if column.dtype not in ("bool", "any"):
                raise ValueError(f"is {column.dtype}")
            return text == "true"
        case "string":
            return _text(column, _unquoted(text))
        case "raw":
            return _text(column, text[1:-1])
        case _:
            return _text(column, text)


def _number(column: Column, text: str, kind: str) -> Literal_:
    if column.name == "duration":
        raise ValueError("wants a unit, such as 1.5s")
    if column.dtype == "float" or (column.dtype == "any" and kind == "float"):
        return _finite(float(text))
    if column.dtype == "any":
        return _whole(int(text))
    if column.dtype in ("int", "time"):
        number = float(text)
        if kind == "float" and not number.is_integer():
            raise ValueError("is a whole number")
        return _whole(int(text) if kind == "int" else int(number))
    raise ValueError(f"is {column.dtype}")


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise ValueError("is a number below 1e308")
    return number


def _whole(number: int) -> int:
    if not -(2**63) <= number < 2**63:
        raise ValueError("has 64 bits")
    return number


def _duration(column: Column, text: str) -> Literal_:
    number = text.rstrip("nuµmsh")
    unit = text[len(number) :]
    if column.unit not in ("s", "ms") or column.dtype != "float":
        raise ValueError("is not a time")
    # One division of whole powers of ten: 200ms is exactly 200.0 where the column is in ms.
    return _finite(float(number) * _SECONDS[unit] if column.unit == "s" else float(number) * round(_SECONDS[unit] * 1e9) / 1e6)


def _unquoted(text: str) -> str:
    try:
        return json.loads(text, strict=False)
    except json.JSONDecodeError:
        raise ValueError("wants a text whose \\ is written \\\\ (or the text in backticks)") from None


def _text(column: Column, text: str) -> Literal_:
    try:
        text.encode()  # "\ud800" is half a character: no store could be asked for it
    except UnicodeEncodeError:
        raise ValueError("wants whole characters") from None
    if column.dtype in ("str", "list", "any"):
        return text
    if column.dtype == "time":
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise ValueError('is a time, such as "2026-11-22T18:00:00Z"') from None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return _whole(int(moment.timestamp()) * 1_000_000_000 + moment.microsecond * 1000)
    raise ValueError(f"is {column.dtype}")
