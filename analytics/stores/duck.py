"""DuckDB's answers as Arrow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa


def arrow(connection: duckdb.DuckDBPyConnection, query: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> pa.Table:
    """The rows of a SELECT. Raises duckdb.Error where it cannot be run."""
    found = connection.sql(query, params=parameters or None)
    assert found is not None, "only a statement without an answer has none"
    return found.to_arrow_table()
