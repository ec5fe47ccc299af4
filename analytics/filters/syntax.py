"""What a filter means, as frozen dataclasses.

Two-valued, as in TraceQL: a comparison with a missing value is false, whatever the operator, and `!` turns that into true. Only
`= nil` asks for what is missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from analytics.columns import Column

Operator = Literal["=", "!=", ">", ">=", "<", "<=", "=~", "!~"]
Literal_ = int | float | bool | str


@dataclass(frozen=True)
class Compare:
    """`column operator value`; the value is in the column's own type (time: ns since 1970; a list compares with any item)."""

    column: Column
    operator: Operator
    value: Literal_


@dataclass(frozen=True)
class Nil:
    """`column = nil`."""

    column: Column


@dataclass(frozen=True)
class Not:
    """`!(part)`."""

    part: Node


@dataclass(frozen=True)
class And:
    """Every part; no part at all is true."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Or:
    """Any part."""

    parts: tuple[Node, ...]


Node = Compare | Nil | Not | And | Or


@dataclass(frozen=True)
class Filter:
    """A parsed filter and the text that it came from."""

    text: str
    node: Node

    @property
    def columns(self) -> frozenset[str]:
        """Names that the filter mentions."""
        return frozenset(node.column.name for node in walk(self.node) if isinstance(node, Compare | Nil))


def walk(node: Node) -> Iterator[Node]:
    """The node and everything below it."""
    yield node
    match node:
        case Not(part):
            yield from walk(part)
        case And(parts) | Or(parts):
            for part in parts:
                yield from walk(part)
        case _:
            return
