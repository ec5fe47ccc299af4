"""Single requests and cells of a grid for a picture: never more than a browser can draw."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pyarrow as pa

from analytics.columns import vocabulary
from analytics.filters import Filter
from analytics.filters.sql import condition_of, quoted
from analytics.requests import Joined
from analytics.sample import chosen

CELLS = 24
"""Cells along a side of the grid."""


def points(view: Joined, where: Filter | None, columns: Sequence[str], most: int) -> tuple[pa.Table, int]:
    """request_id and these columns of at most `most` requests that have them all, and how many there are. Drawn evenly by their id.

    Raises duckdb.Error for a column that does not exist.
    """
    names = [*dict.fromkeys(("request_id", *columns))]
    condition, values = condition_of(where)
    there = " AND ".join([condition, *(f"{quoted(name)} IS NOT NULL" for name in columns)])
    (count,) = view.one_row(f"SELECT count(*) FROM requests WHERE {there}", values)
    listed = ", ".join(quoted(name) for name in names)
    return view.rows(f"SELECT {listed} FROM requests WHERE {there}{chosen(most, count)} LIMIT {most}", values), int(count)


def inside(bounds: Mapping[str, tuple[float, float]]) -> str:
    """The filter for what lies within these bounds, by column. Those of whole numbers move inwards to the next whole number."""
    known = {column.column: column.dtype for column in vocabulary().values()}
    parts: list[str] = []
    for name, (low, high) in bounds.items():
        if known.get(name) == "int":
            parts.append(f"{name} >= {math.ceil(low)} && {name} <= {math.floor(high)}")
        else:
            parts.append(f"{name} >= {low:.6g} && {name} <= {high:.6g}")
    return " && ".join(parts)


def grid(view: Joined, where: Filter | None, x: str, y: str, outcome: str) -> pa.Table:
    """`x`, `y` (middles of the cells), `median` of the outcome and `count`, over at most CELLS x CELLS cells of two numbers."""
    view.choose([*dict.fromkeys((x, y, outcome))], where)
    cells = ", ".join(
        f"""CASE WHEN max({quoted(name)}) OVER () = min({quoted(name)}) OVER () THEN {quoted(name)} ELSE
            min({quoted(name)}) OVER () + (least(floor(({quoted(name)} - min({quoted(name)}) OVER ()) * {CELLS} /
            (max({quoted(name)}) OVER () - min({quoted(name)}) OVER ())), {CELLS} - 1) + 0.5)
            * (max({quoted(name)}) OVER () - min({quoted(name)}) OVER ()) / {CELLS} END AS {axis}"""
        for name, axis in ((x, "x"), (y, "y"))
    )
    there = " AND ".join(f"{quoted(name)} IS NOT NULL" for name in (x, y, outcome))
    return view.rows(
        f"""SELECT x, y, median(o)::DOUBLE AS median, count(*) AS count FROM
            (SELECT {cells}, {quoted(outcome)} AS o FROM chosen WHERE {there}) GROUP BY x, y ORDER BY x, y"""
    )
