"""What one department may see: the lines of every department narrowed to its own, before anything is counted or joined."""

from __future__ import annotations

import duckdb

from analytics.filters.sql import literal, quoted

_KEY = "coalesce(request_id, trace_id)"


def keep_department(connection: duckdb.DuckDBPyConnection, department: str) -> None:
    """Narrows the views `spans` and `events` to the requests of which a line names the department and none names another.

    Clients may share a trace id with anybody: a span is its request's first, and its trace's only where it names no request.
    Events of no request (a replica's start) stay.
    """
    for view in ("spans", "events"):
        connection.execute(f"ALTER VIEW {view} RENAME TO every_{view}")
    connection.execute(
        f"""CREATE TEMP TABLE own_requests AS SELECT key FROM (
                SELECT {_KEY} AS key, department FROM every_events
                UNION ALL SELECT {_KEY} AS key, department FROM every_spans WHERE is_record)
            WHERE key IS NOT NULL GROUP BY key HAVING bool_and(department = ?)""",
        [department],
    )
    own = "SELECT key FROM own_requests"
    traces = " UNION ".join(f"SELECT trace_id FROM every_{view} WHERE {_KEY} IN ({own})" for view in ("spans", "events"))
    connection.execute(f"CREATE VIEW events AS SELECT * FROM every_events WHERE {_KEY} IS NULL OR {_KEY} IN ({own})")
    connection.execute(
        f"""CREATE VIEW spans AS SELECT * FROM every_spans
            WHERE {_KEY} IN ({own}) OR (request_id IS NULL AND NOT is_record AND trace_id IN ({traces}))"""
    )


def condition(department: str | None, column: str = "department") -> str:
    """The condition that a row of a view is the department's; of every row without one."""
    return "true" if department is None else f"coalesce({quoted(column)}::VARCHAR = {literal(department)}, false)"
