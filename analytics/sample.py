"""A random sample of the requests, the same at every asking: chosen by a hash of their id, which nothing else depends on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from analytics.filters import Filter
from analytics.filters.sql import condition_of, quoted
from analytics.questions.rows import Truth
from analytics.requests import Joined

_HASH = "hash(coalesce(request_id, trace_id))"
_WHOLE = 2**64
BAD = 5_000
"""So many of the requests asked about are taken, even where they are rare: enough for shares to one point."""


@dataclass(frozen=True)
class Sample:
    """About as many rows as were asked for, of the `of` that pass."""

    table: pa.Table
    of: int

    @property
    def n(self) -> int:
        """Rows of the sample."""
        return self.table.num_rows

    @property
    def whole(self) -> bool:
        """True where the sample is everything."""
        return self.n >= self.of


@dataclass(frozen=True)
class Sides:
    """A sample with `inside`: which of its rows are asked about. `bad` and `rest`: how many requests there are of each kind."""

    table: pa.Table
    inside: Truth
    bad: int
    rest: int

    @property
    def stands(self) -> tuple[float, float]:
        """How many requests each row stands for: of those asked about, and of the others."""
        taken = int(self.inside.sum())
        return self.bad / max(taken, 1), self.rest / max(self.table.num_rows - taken, 1)

    @property
    def whole(self) -> bool:
        """True where the sample is everything."""
        return self.table.num_rows >= self.bad + self.rest


def sample(view: Joined, columns: Sequence[str], where: Filter | None, most: int, *, any_of: Sequence[str] = ()) -> Sample:
    """About `most` of the requests that pass a filter. `any_of`: only those that have a value in one of these columns."""
    condition, values = condition_of(where)
    if any_of:
        condition += f" AND ({' OR '.join(f'{quoted(name)} IS NOT NULL' for name in any_of)})"
    (count,) = view.one_row(f"SELECT count(*) FROM requests WHERE {condition}", values)
    query = f"SELECT {_listed(columns)} FROM requests WHERE {condition}{chosen(most, count)}"
    return Sample(view.typed(query, values), int(count))


def chosen(most: int, of: int) -> str:
    """The end of a condition that takes about `most` of the `of` requests; empty where that is all of them."""
    return f" AND {_HASH} <= {_threshold(most, of)}::UBIGINT" if of > most else ""


def sides(view: Joined, columns: Sequence[str], where: Filter | None, bad: Filter, most: int) -> Sides:
    """About `most` requests that pass a filter, those asked about (`bad`) and the others in proportion; of rare ones BAD at least.

    Raises duckdb.Error where the rows lack a column of a filter.
    """
    (condition, values), (asked, more) = condition_of(where), condition_of(bad)
    total, hit = view.one_row(f"SELECT count(*), count(*) FILTER ({asked}) FROM requests WHERE {condition}", [*more, *values])
    query, bound = f'SELECT {_listed(columns)}, {asked} AS "inside?" FROM requests WHERE {condition}', [*more, *values]
    if total > most:
        wanted = min(hit, max(round(most * hit / total), min(BAD, most // 2)))
        low, high = _threshold(wanted, hit), _threshold(most - wanted, total - hit)
        query += f" AND {_HASH} <= CASE WHEN {asked} THEN {low}::UBIGINT ELSE {high}::UBIGINT END"
        bound += more
    found = view.typed(query, bound)
    inside = np.asarray(found.column("inside?").to_numpy(), bool)
    return Sides(found.drop_columns(["inside?"]), inside, int(hit), int(total - hit))


def _threshold(wanted: int, of: int) -> int:
    return min(_WHOLE - 1, wanted * _WHOLE // max(of, 1))


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(quoted(name) for name in columns)
