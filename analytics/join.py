"""The SQL of the join: terminal events and record spans become one row a request.

It runs over two views of a DuckDB connection, `spans` and `events`, with the columns of `telemetry.tables.schema`, whoever made
them. What is rare (copies, scores, failures, orphans) is looked for first, in few columns, and costs the join only where it is.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from analytics.columns import DETAILS
from analytics.filters.sql import quoted
from analytics.stores.base import Range
from telemetry import fields

_KEY = "coalesce(request_id, trace_id) AS key, coalesce(attempt, 1) AS try"
_TERMINAL = f"event_type IN ({', '.join(repr(name) for name in fields.TERMINAL_EVENTS)})"
_STAGE_LIST = ", ".join(repr(stage) for stage in fields.STAGES)
_TIMES = ("started_at", "ended_at")
DEADLINE_S = 1800.0
"""A request without an end counts as running for so long after its acceptance: the service's own default deadline."""


@dataclass(frozen=True)
class Prepared:
    """What was found beside the rows: `running` requests have no end yet, `orphans` never got one."""

    running: int
    orphans: int
    copies: int


def prepare(
    connection: duckdb.DuckDBPyConnection, range: Range, *, details: bool, deadline_s: float | None, own: Sequence[str] = ()
) -> Prepared:
    """Makes the view `requests`. `deadline_s`: age at which a request without an end is an orphan (None: nothing runs).

    `own`: columns of both views beyond the table of names.
    """
    now = time.time_ns()
    limit = now if deadline_s is None else now - int(deadline_s * 1e9)
    copies = _find_copies(connection)
    _find_unfinished(connection, range, limit)
    _find_scores(connection)
    _find_stage_times(connection)
    if details:
        connection.execute(_DETAILS)
    running, orphans = _row(connection, "SELECT count(*) FILTER (NOT orphan), count(*) FILTER (orphan) FROM unfinished")
    connection.execute(f"CREATE VIEW requests AS {_requests(range, bool(copies), bool(orphans), details, own)}")
    return Prepared(running, orphans, copies)


def _row(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[int, ...]:
    return connection.execute(query).fetchall()[0]


def _find_copies(connection: duckdb.DuckDBPyConnection) -> int:
    """Finds further records of the same request. The one that counts: a real end before replica_lost, then the first."""
    first = "(error_type IS NOT DISTINCT FROM 'replica_lost')"
    for kind, id, order, condition in (
        ("event", "event_id", "logged_at", _TERMINAL),
        ("span", "span_id", "end_at", "is_record"),
    ):
        connection.execute(f"""
            CREATE TEMP TABLE {kind}_copies AS
            WITH twice AS (SELECT {_KEY} FROM {kind}s WHERE {condition} GROUP BY ALL HAVING count(*) > 1),
            ranked AS (SELECT {_KEY}, {id} AS id, row_number() OVER (PARTITION BY key, try ORDER BY {first}, {order}, {id}) AS place
                       FROM {kind}s WHERE {condition} AND coalesce(request_id, trace_id) IN (SELECT key FROM twice))
            SELECT key, try, id FROM ranked WHERE place > 1""")
    return sum(_row(connection, "SELECT (SELECT count(*) FROM event_copies), (SELECT count(*) FROM span_copies)"))


def _find_unfinished(connection: duckdb.DuckDBPyConnection, range: Range, limit_ns: int) -> None:
    """Accepted requests with neither a terminal event nor a record span."""
    connection.execute(f"""
        CREATE TEMP TABLE unfinished AS
        SELECT {_KEY}, min(event_id) AS event_id, epoch_ns(min(logged_at)) <= {limit_ns} AS orphan FROM events
        WHERE event_type = 'request_received' AND {in_range("logged_at", range)}
        AND coalesce(request_id, trace_id) NOT IN (SELECT coalesce(request_id, trace_id) FROM events WHERE {_TERMINAL}
            AND coalesce(request_id, trace_id) IS NOT NULL)
        AND coalesce(request_id, trace_id) NOT IN (SELECT coalesce(request_id, trace_id) FROM spans WHERE is_record)
        GROUP BY key, try""")


def _find_scores(connection: duckdb.DuckDBPyConnection) -> None:
    """A person's judgement comes after the end; the last one counts."""
    connection.execute("""
        CREATE TEMP TABLE scores AS
        SELECT coalesce(request_id, trace_id) AS key, arg_max(user_score, logged_at) AS user_score,
               arg_max_null(user_comment, logged_at) AS user_comment
        FROM events WHERE event_type = 'user_score' GROUP BY key""")


def _find_stage_times(connection: duckdb.DuckDBPyConnection) -> None:
    """Stage times of requests that did not end well, from their child spans: the record has only those of stages that returned."""
    columns = ", ".join(f"max(span_ms) FILTER (name = '{stage}') AS {stage}_ms" for stage in fields.STAGES)
    connection.execute(f"""
        CREATE TEMP TABLE stage_times AS
        SELECT trace_id, {columns} FROM spans WHERE name IN ({_STAGE_LIST}) AND trace_id IN (
            SELECT trace_id FROM events WHERE {_TERMINAL} AND status IS DISTINCT FROM 'ok'
            UNION SELECT trace_id FROM spans WHERE is_record AND status IS DISTINCT FROM 'ok'
            UNION SELECT trace_id FROM events WHERE event_id IN (SELECT event_id FROM unfinished WHERE orphan))
        GROUP BY trace_id""")


def _requests(range: Range, copies: bool, orphans: bool, details: bool, own: Sequence[str]) -> str:
    both = [name for name in fields.BY_NAME if name not in ("user_score", "user_comment", "trace_id", *_TIMES)]
    stage_ms = {f"{stage}_ms" for stage in fields.STAGES}
    columns = [f"coalesce(e.{name}, s.{name}{f', t.{name}' if name in stage_ms else ''}) AS {name}" for name in both]
    columns += [f"coalesce(c.{name}, e.{name}, s.{name}) AS {name}" for name in ("user_score", "user_comment")]
    columns += ["coalesce(s.trace_id, e.trace_id) AS trace_id"]
    columns += ["coalesce(e.started_at, s.started_at, s.start_at, e.logged_at) AS started_at"]
    columns += ["coalesce(e.ended_at, s.ended_at, s.end_at, e.logged_at) AS ended_at"]
    columns += [f"coalesce(e.{name}, s.{name}) AS {name}" for name in ("service_name", "service_version", "environment")]
    columns += [f"coalesce(e.{name}, s.{name}) AS {name}" for name in ("host_name", "process_pid", "extra")]
    columns += [f"coalesce(e.{quoted(name)}, s.{quoted(name)}) AS {quoted(name)}" for name in own]
    names = " ".join(f"WHEN '{operation}' THEN '{span}'" for operation, span in fields.RECORD_SPANS.items())
    columns += [f"coalesce(s.name, CASE e.operation {names} ELSE e.operation END) AS name"]
    columns += ["s.span_id IS NOT NULL AS has_trace", "coalesce(NOT e.orphan, false) AS has_logs"]
    columns += ["coalesce(e.orphan, false) AS orphan", "coalesce(e.attempt, s.attempt, 1) > 1 AS is_retry"]
    copied = "coalesce(k.copies, 0)" if copies else "0"
    columns += [f"{copied}::BIGINT AS duplicates"]
    # Where the event is there every request is; where only the trace is, it stands for those that were not sampled.
    columns += ["CASE WHEN e.key IS NOT NULL THEN 1.0 ELSE coalesce(s.sampling_weight, 1.0) END AS weight"]
    columns += [f"d.{column.name} AS {column.name}" for column in DETAILS] if details else []
    counted = "SELECT key, try, count(*) AS copies FROM (FROM event_copies UNION ALL FROM span_copies) GROUP BY ALL"
    return f"""
        SELECT {", ".join(columns)}
        FROM ({_events(copies, orphans)}) e
        FULL JOIN ({_spans(copies)}) s ON e.key = s.key AND e.try = s.try
        LEFT JOIN scores c ON c.key = coalesce(e.key, s.key)
        LEFT JOIN stage_times t ON t.trace_id = coalesce(e.trace_id, s.trace_id)
        {f"LEFT JOIN ({counted}) k ON k.key = coalesce(e.key, s.key) AND k.try = coalesce(e.try, s.try)" if copies else ""}
        {"LEFT JOIN details d ON d.trace_id = coalesce(e.trace_id, s.trace_id)" if details else ""}
        WHERE {in_range("coalesce(e.started_at, s.started_at, s.start_at, e.logged_at)", range)}"""


def _events(copies: bool, orphans: bool) -> str:
    once = " AND event_id NOT IN (SELECT id FROM event_copies)" if copies else ""
    ended = f"SELECT *, {_KEY}, false AS orphan FROM events WHERE {_TERMINAL}{once}"
    if not orphans:
        return ended
    lost = """SELECT * REPLACE ('error' AS status, 503::BIGINT AS http_status, 'replica_lost' AS error_type,
                'The process that ran the request died; completed by the reader.' AS error_message),
            coalesce(request_id, trace_id) AS key, coalesce(attempt, 1) AS try, true AS orphan
        FROM events WHERE event_id IN (SELECT event_id FROM unfinished WHERE orphan)"""
    return f"{ended} UNION ALL BY NAME {lost}"


def _spans(copies: bool) -> str:
    once = " AND span_id NOT IN (SELECT id FROM span_copies)" if copies else ""
    return f"SELECT *, {_KEY} FROM spans WHERE is_record{once}"


def in_range(column: str, range: Range) -> str:
    """The condition that a time column lies in the range."""
    low = "true" if range.since is None else f"epoch_ns({column}) >= {int(range.since)}"
    high = "true" if range.until is None else f"epoch_ns({column}) < {int(range.until)}"
    return f"({low} AND {high})"


def _ms(later: str, earlier: str) -> str:
    return f"(epoch_ns({later}) - epoch_ns({earlier})) / 1e6"


_STARTS = ", ".join(
    f"{_ms(f'min(s.start_at) FILTER (s.name = {stage!r})', 'min(r.started)')} AS {stage}_start_ms" for stage in fields.STAGES
)
_DETAILS = f"""
    CREATE TEMP TABLE details AS
    WITH record AS (SELECT trace_id, min(start_at) AS started, max(end_at) AS ended FROM spans WHERE is_record GROUP BY trace_id),
    below AS (
        SELECT s.trace_id, {_STARTS},
            {_ms(f"min(s.start_at) FILTER (s.name IN ({_STAGE_LIST}))", "min(r.started)")} AS head_ms,
            {_ms("max(r.ended)", f"max(s.end_at) FILTER (s.name IN ({_STAGE_LIST}))")} AS tail_ms,
            count(*) AS span_count, count(*) FILTER (s.span_status = 'error') AS failed_spans
        FROM spans s LEFT JOIN record r USING (trace_id) GROUP BY s.trace_id),
    around AS (
        SELECT e.trace_id, count(*) AS event_count,
            {_ms("min(e.logged_at) FILTER (e.event_type = 'request_received')", "min(r.started)")} AS accept_ms
        FROM events e LEFT JOIN record r USING (trace_id) GROUP BY e.trace_id)
    SELECT coalesce(below.trace_id, around.trace_id) AS trace_id, below.* EXCLUDE (trace_id), around.* EXCLUDE (trace_id)
    FROM below FULL JOIN around USING (trace_id)"""
