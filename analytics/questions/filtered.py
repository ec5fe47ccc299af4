"""Which of the rows that were loaded pass a filter."""

from __future__ import annotations

import duckdb
import numpy as np
import pyarrow as pa

from analytics.filters import Filter
from analytics.filters.sql import to_sql
from analytics.filters.syntax import Compare, Nil, walk
from analytics.questions.rows import Truth


def matching(table: pa.Table, where: Filter) -> Truth:
    """True for each row that passes, in the table's order. Raises duckdb.Error where the table lacks a column."""
    sql = to_sql(where.node)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("requests", table.append_column("place", pa.array(np.arange(table.num_rows))))
        places = connection.execute(f"SELECT place FROM requests WHERE {sql.text}", sql.parameters).fetchnumpy()["place"]
    found = np.zeros(table.num_rows, bool)
    found[np.asarray(places, np.intp)] = True
    return found


def columns_of(where: Filter) -> tuple[str, ...]:
    """The columns that a filter decides by (its names may be others: `duration` is latency_s)."""
    return tuple(sorted({node.column.column for node in walk(where.node) if isinstance(node, Compare | Nil)}))
