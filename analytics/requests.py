"""One row a request, with what is known about the rows that are not there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from analytics.columns import DERIVED, DETAILS, vocabulary
from analytics.departments import condition, keep_department
from analytics.filters import Filter
from analytics.filters.sql import literal, quoted, to_sql
from analytics.join import DEADLINE_S, in_range, prepare
from analytics.stores.base import Answer, LogStore, Range, TraceStore
from analytics.stores.duck import arrow
from analytics.stores.local import LocalStore
from analytics.stores.mapping import Mapping as Names
from telemetry import fields

if TYPE_CHECKING:
    import pandas as pd

MEMORY = "2GB"
"""DuckDB's own bound; beyond it the join goes to disk. A million requests: 2.2 GB at the peak with the result, where DuckDB's bare
join of the same files took 3.0 GB (bench/read.py)."""


@dataclass(frozen=True)
class Coverage:
    """What the rows of a range consist of. `running` requests have no end yet and are not among the rows."""

    requests: int
    with_trace: int
    with_logs: int
    with_both: int
    orphans: int
    duplicates: int
    retries: int
    running: int
    unreadable: int

    def as_dict(self) -> dict[str, int]:
        """The numbers by their names, for `--json`."""
        return asdict(self)

    def sentence(self) -> str:
        """One line for a person."""
        parts = [f"{self.requests} requests, {self.with_both} of them with trace and log"]
        parts += [f"{count} {word}" for count, word in ((self.requests - self.with_trace, "without trace"),
                  (self.requests - self.with_logs, "without log"), (self.orphans, "lost (completed by the reader)"),
                  (self.duplicates, "duplicate records left out"), (self.retries, "retries"), (self.running, "still running"),
                  (self.unreadable, "unreadable lines")) if count]  # fmt: skip
        return ", ".join(parts)


@dataclass(frozen=True)
class Requests:
    """The rows as Arrow (`table`), what they cover, whether there are more, and what was asked."""

    table: pa.Table
    coverage: Coverage
    truncated: bool
    asked: str

    @property
    def frame(self) -> pd.DataFrame:
        """The rows as a DataFrame: the interface of the analysis functions."""
        return self.table.to_pandas()


@dataclass(frozen=True)
class Remote:
    """A trace store and a log store that are searched apart and joined here."""

    traces: TraceStore
    logs: LogStore
    limit: int | None = None
    mapping: Names = field(default_factory=Names)

    def lines(self, range: Range, *, details: bool) -> tuple[Answer, Answer]:
        """Spans and events for the join. Never filtered by a server: coverage is counted over every row of the range."""
        return self.traces.search(None, range, limit=self.limit), self.logs.search(None, range, limit=self.limit)


class Joined:
    """The view `requests` over an open connection: rows, counts and groups of what passes a filter."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, *, truncated: bool, unreadable: int = 0, running: int = 0) -> None:
        self._connection = connection
        self._rest = {"running": running, "unreadable": unreadable}
        self.truncated = truncated

    def load(self, where: Filter | None = None, limit: int | None = None) -> Requests:
        """The rows; with a `limit` the newest of them."""
        sql = to_sql(where.node) if where else None
        query = "SELECT * FROM requests" + (f" WHERE {sql.text}" if sql else "")
        query += f" ORDER BY started_at DESC LIMIT {limit + 1}" if limit is not None else ""
        table = arrow(self._connection, query, sql.parameters if sql else ())
        cut = limit is not None and table.num_rows > limit
        coverage = self.count()[1] if sql or cut else None
        table = table.slice(0, limit) if cut else table
        return Requests(_typed(table), coverage or self._coverage_of(table), self.truncated or cut, where.text if where else "")

    def count(self, where: Filter | None = None) -> tuple[int, Coverage]:
        """How many rows pass, and what all the rows of the range cover."""
        sql = to_sql(where.node) if where else None
        matched = f"count(*) FILTER ({sql.text})" if sql else "count(*)"
        query = f"SELECT {matched}, {_COUNTS} FROM requests"
        found, *counts = self._connection.execute(query, sql.parameters if sql else ()).fetchall()[0]
        return found, Coverage(*counts, **self._rest)

    def group(self, field: str, where: Filter | None = None) -> pa.Table:
        """`field`, `matched`, `total`, `share` for each value of a field, the most matches first. Raises KeyError."""
        column = quoted(vocabulary()[field].column)
        sql = to_sql(where.node) if where else None
        matched = f"count(*) FILTER ({sql.text})" if sql else "count(*)"
        query = f"""SELECT {column} AS {quoted(field)}, {matched} AS matched, count(*) AS total, matched / total AS share
                    FROM requests GROUP BY 1 ORDER BY matched DESC, total DESC, 1"""
        return arrow(self._connection, query, sql.parameters if sql else ())

    def one_row(self, query: str, parameters: Mapping[str, Any] | Sequence[Any] = ()) -> tuple[Any, ...]:
        """The single row of an aggregate over the view `requests`; values are bound. Raises duckdb.Error."""
        return self._connection.execute(query, parameters or None).fetchall()[0]

    def rows(self, query: str, parameters: Mapping[str, Any] | Sequence[Any] = ()) -> pa.Table:
        """The rows of a query over the view `requests`; values are bound, by name or in their order. Raises duckdb.Error."""
        return arrow(self._connection, query, parameters)

    def typed(self, query: str, parameters: Mapping[str, Any] | Sequence[Any] = ()) -> pa.Table:
        """As `rows`, of whole columns: in the order and the types of the table of names."""
        return _typed(self.rows(query, parameters))

    def columns(self) -> list[str]:
        """The names of the columns of the view `requests`."""
        return list(self._connection.sql("SELECT * FROM requests LIMIT 0").columns)

    def run(self, query: str, parameters: Sequence[Any] = ()) -> None:
        """Makes a temporary table of this connection; values are bound. Raises duckdb.Error."""
        self._connection.execute(query, parameters or None)

    def choose(self, columns: Sequence[str], where: Filter | None = None) -> None:
        """Copies these columns of the rows that pass a filter into the table `chosen`, for the queries that follow."""
        sql = to_sql(where.node) if where else None
        names = ", ".join(quoted(name) for name in columns)
        query = f"CREATE OR REPLACE TEMP TABLE chosen AS SELECT {names} FROM requests" + (f" WHERE {sql.text}" if sql else "")
        self._connection.execute(query, sql.parameters if sql else ())

    @property
    def has_events(self) -> bool:
        """Whether the view `events` is there, too: rows of a board or a file come without it."""
        try:
            self._connection.execute("SELECT 1 FROM events LIMIT 0")
        except duckdb.CatalogException:
            return False
        return True

    def own_names(self) -> list[str]:
        """Names of what the rows hold beside the table of names."""
        query = "SELECT DISTINCT unnest(json_keys(extra)) AS name FROM requests WHERE extra IS NOT NULL ORDER BY name"
        return [name for (name,) in self._connection.execute(query).fetchall()]

    def _coverage_of(self, table: pa.Table) -> Coverage:
        self._connection.register("loaded", table.select([column.name for column in DERIVED]))
        return Coverage(*self._connection.execute(f"SELECT {_COUNTS} FROM loaded").fetchall()[0], **self._rest)


_COUNTS = """count(*), count(*) FILTER (has_trace), count(*) FILTER (has_logs), count(*) FILTER (has_trace AND has_logs),
             count(*) FILTER (orphan), coalesce(sum(duplicates), 0)::BIGINT, count(*) FILTER (is_retry)"""


@contextmanager
def joined(
    store: LocalStore | Remote,
    range: Range,
    where: Filter | None = None,
    *,
    details: bool = False,
    deadline_s: float | None = DEADLINE_S,
    department: str | None = None,
) -> Iterator[Joined]:
    """The requests of a range, joined but not yet loaded. `deadline_s`: see `analytics.join.prepare`.

    `details`: with the columns from child spans and events (always where the filter names one of them).
    `department`: nothing but this one's requests is there, neither in `requests` nor in `events` (None: everybody's).
    """
    details = details or bool(where and where.columns & {column.name for column in DETAILS})
    with _opened(store, range, details) as (connection, truncated, unreadable):
        connection.execute(f"SET memory_limit = '{MEMORY}'")
        own = [column.name for column in store.mapping.own]
        if department is not None:
            keep_department(connection, department)
        prepared = prepare(connection, range, details=details, deadline_s=deadline_s, own=own)
        yield Joined(connection, truncated=truncated, unreadable=unreadable, running=prepared.running)


def load(
    store: LocalStore | Remote,
    range: Range | None = None,
    where: Filter | None = None,
    *,
    details: bool = False,
    limit: int | None = None,
    deadline_s: float | None = DEADLINE_S,
    department: str | None = None,
) -> Requests:
    """The requests that were accepted in a range and pass a filter, one row each; of one `department`, or of all."""
    with joined(store, range or Range(), where, details=details, deadline_s=deadline_s, department=department) as view:
        return view.load(where, limit)


@contextmanager
def from_file(path: Path, range: Range | None = None, *, department: str | None = None) -> Iterator[Joined]:
    """Request rows of a Parquet or CSV file (of one `department`, or all), and as `given` the file as it is; columns that it lacks
    are null.

    Raises duckdb.Error where it cannot be read.
    """
    bounds = in_range("started_at", range or Range())
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        if path.suffix == ".csv":
            connection.execute("CREATE TEMP TABLE every_given AS SELECT * FROM read_csv(?, header = true)", [str(path)])
        else:  # read column by column, as they are asked for
            connection.execute(f"CREATE TEMP VIEW every_given AS SELECT * FROM read_parquet({literal(str(path))})")
        named = "department" in connection.sql("SELECT * FROM every_given LIMIT 0").columns
        own = condition(department) if named or department is None else "false"
        connection.execute(f"CREATE TEMP VIEW given AS SELECT * FROM every_given WHERE {own}")
        columns = connection.sql("SELECT * FROM given").columns
        connection.execute(f"CREATE VIEW requests AS SELECT * FROM (SELECT {every_column(columns)} FROM given) WHERE {bounds}")
        yield Joined(connection, truncated=False)


def every_column(present: Sequence[str]) -> str:
    """The SELECT list that makes rows with these columns request rows: every known column in its type, then the others."""
    types = {"int": "BIGINT", "float": "DOUBLE", "bool": "BOOLEAN", "str": "VARCHAR", "list": "VARCHAR[]", "time": "TIMESTAMPTZ_NS"}
    defaults = {
        "has_trace": "false",
        "has_logs": "true",
        "orphan": "false",
        "duplicates": "0",
        "is_retry": "false",
        "weight": "1.0",
    }
    columns: list[str] = []
    known = {column.column: types[column.dtype] for column in vocabulary().values()}
    for name, dtype in (known | {"extra": "VARCHAR"}).items():
        value = f"TRY_CAST({quoted(name)} AS {dtype})" if name in present else f"CAST({defaults.get(name, 'NULL')} AS {dtype})"
        columns.append(f"{value} AS {quoted(name)}")
    return ", ".join([*columns, *(quoted(name) for name in present if name not in known and name != "extra")])


@contextmanager
def _opened(store: LocalStore | Remote, range: Range, details: bool) -> Iterator[tuple[duckdb.DuckDBPyConnection, bool, int]]:
    if isinstance(store, LocalStore):
        with store.open(range) as (connection, snapshot):
            yield connection, False, snapshot.unreadable
        return
    spans, events = store.lines(range, details=details)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        # A server may hold a line twice: it is delivered at least once.
        for kind, id, answer in (("spans", "span_id", spans), ("events", "event_id", events)):
            connection.register(f"{kind}_found", answer.table)
            connection.execute(f"CREATE VIEW {kind} AS SELECT DISTINCT ON ({id}) * FROM {kind}_found")
        yield connection, spans.truncated or events.truncated, 0


def _typed(table: pa.Table) -> pa.Table:
    """Fields in the order and with the metadata of the table of names, what the join added behind them."""
    known = [field for field in fields.arrow_schema() if field.name in table.column_names]
    rest = [field for field in table.schema if field.name not in fields.BY_NAME]
    return table.select([field.name for field in (*known, *rest)]).cast(pa.schema([*known, *rest]))
