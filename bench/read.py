"""What does reading cost beside a bare DuckDB join? Prints ratios, memory, the live end, and the filter against hand-written SQL.

    python -m bench.read [--tiny]

Each measurement runs in a process of its own (its peak memory is its own) and is the fastest of three. The Parquet holds rows as
the service writes them: 80 filled columns a request, five stage spans beside each record span, three events beside a terminal one.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb

from analytics.filters import parse
from analytics.requests import joined, load
from analytics.stores.base import Range
from analytics.stores.local import LocalStore
from analytics.stores.snapshot import Reader
from bench.ratios import keep
from telemetry import fields
from telemetry.context import RequestContext
from telemetry.ids import new_traceparent
from telemetry.manifest import DataFile, Manifest, write_manifest
from telemetry.record import RequestRecord
from telemetry.segments import Kind
from telemetry.tables import schema
from telemetry.tracing import setup

RUNS = 3
EXPRESSION = "inference_steps > 20 && audio_drift_ms > 100.0 && !(error_type != nil)"
BY_HAND = "inference_steps > 20 AND audio_drift_ms > 100.0 AND error_type IS NULL"
START = 1_795_000_000_000_000_000


def values() -> dict[str, str]:
    """SQL for the fields of request number `i`; numbers vary, so that Parquet cannot store them for nothing."""
    made: dict[str, str] = {}
    for field in fields.FIELDS:
        match field.dtype:
            case "float":
                made[field.name] = "(hash(i) % 100000)::DOUBLE / 17"
            case "int":
                made[field.name] = "(hash(i + 1) % 50)::BIGINT"
            case "bool":
                made[field.name] = "i % 2 = 0"
            case "time":
                made[field.name] = f"make_timestamp_ns({START} + i * 1000000)::TIMESTAMPTZ_NS"
    sparse = (
        "user_score",
        "device_memory_mb",
        "requested_duration_s",
        "sampling_weight",
        "width",
        "height",
        "roi_width",
        "roi_height",
    )
    for name in sparse:
        made.pop(name)
    made |= dict.fromkeys(("model_name", "device", "model_version", "replica", "host", "encoder", "sync_reason"), "'lite'")
    return made | {
        "request_id": "printf('01a20498-edb7-7342-%016x', i)", "job_id": "printf('01a20498-edb7-7343-%016x', i)",
        "trace_id": "md5(i::VARCHAR)", "operation": "'generate'", "attempt": "1::BIGINT",
        "status": "CASE WHEN i % 33 = 0 THEN 'error' ELSE 'ok' END",
        "error_type": "CASE WHEN i % 33 = 0 THEN 'internal' END",
    }  # fmt: skip


def parquet(folder: Path, kind: Kind, n: int) -> DataFile:
    """One file with the rows of n requests, request rows first, as the compactor writes it."""
    own = values()
    few = {name: own[name] for name in ("request_id", "job_id", "trace_id", "operation", "attempt")}
    at = own["started_at"]
    if kind == "spans":
        common = {"start_at": at, "end_at": at, "span_ms": "i::DOUBLE", "span_status": "'ok'", "host_name": "'a'"}
        rows = [({**common, "name": "'sonic_generation'", "is_record": "true", "span_id": "printf('%016x', i)"}, own)]
        rows += [
            ({**common, "name": repr(stage), "is_record": "false", "span_id": f"printf('{k}%015x', i)"}, few)
            for k, stage in enumerate(fields.STAGES)
        ]
    else:
        rows = [({"logged_at": at, "event_type": "'business_output'", "event_id": "printf('%032x', i)", "host_name": "'a'"}, own)]
        rows += [
            ({"logged_at": at, "event_type": repr(type), "event_id": f"printf('{k}%031x', i)", "host_name": "'a'"}, few)
            for k, type in enumerate(("request_received", "inference_complete", "encode_complete"))
        ]
    path = folder / f"{kind}-bench.parquet"
    selects = [_select(kind, {**mine, **rest}, n) for mine, rest in rows]
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'; SET memory_limit = '4GB'")
        connection.register("typed", schema(kind).empty_table())
        union = " UNION ALL BY NAME ".join(["SELECT * FROM typed", *selects])
        connection.execute(f"COPY ({union}) TO '{path}' (FORMAT parquet, COMPRESSION zstd)")
    return DataFile(path.name, kind, n * len(rows), path.stat().st_size, START, START + n * 1_000_000, 0)


def _select(kind: Kind, columns: dict[str, str], n: int) -> str:
    known = set(schema(kind).names)
    listed = ", ".join(f'{sql} AS "{name}"' for name, sql in columns.items() if name in known)
    return f"SELECT {listed} FROM range({n}) t(i)"


def bare(folder: Path) -> int:
    """The join that a person would write over the same two files, to Arrow: every column of the log, the span's own ones."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = false")
        found = connection.sql(f"""
            SELECT e.*, s.* EXCLUDE (trace_id) FROM
            (SELECT * FROM read_parquet('{folder}/parquet/events-bench.parquet') WHERE event_type = 'business_output') e
            FULL JOIN (SELECT * FROM read_parquet('{folder}/parquet/spans-bench.parquet') WHERE is_record) s
            ON e.trace_id = s.trace_id""")
        return found.to_arrow_table().num_rows


def ours(folder: Path) -> int:
    """`analytics.requests.load`: copies, orphans, scores and failures looked for, coverage counted."""
    return load(LocalStore(folder / "journal")).table.num_rows


def counted(folder: Path) -> int:
    """The flagship question's shape: only how many."""
    with joined(LocalStore(folder / "journal"), Range()) as view:
        return view.count(parse(EXPRESSION))[0]


def filtered(folder: Path) -> int:
    """The filter, compiled, over the rows in one Parquet file."""
    from analytics.filters.sql import to_sql

    sql = to_sql(parse(EXPRESSION).node)
    return _scan(folder, sql.text, sql.parameters)


def by_hand(folder: Path) -> int:
    """The same question in SQL that a person wrote."""
    return _scan(folder, BY_HAND, ())


def _scan(folder: Path, condition: str, parameters: tuple[object, ...]) -> int:
    with duckdb.connect() as connection:
        query = f"SELECT count(*) FROM read_parquet('{folder}/parquet/events-bench.parquet') WHERE {condition}"
        return connection.execute(query, parameters).fetchall()[0][0]


def live(folder: Path) -> int:
    """Every event of the live end, read for the first time."""
    return Reader(folder / "live" / "journal", folder / "live" / "parquet").take().live["events"].table.num_rows


QUESTIONS: dict[str, Callable[[Path], int]] = {
    "bare": bare, "ours": ours, "counted": counted, "filtered": filtered, "by_hand": by_hand, "live": live,
}  # fmt: skip


def measure(question: str, folder: Path) -> tuple[float, float, int]:
    """Seconds (fastest of RUNS), peak memory in MB and rows, from a process of its own."""
    command = [sys.executable, "-m", "bench.read", "--one", question, "--folder", str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, peak, rows = json.loads(done.stdout)
    return seconds, peak, rows


def one(question: str, folder: Path) -> None:
    """Runs one question and prints its numbers as JSON."""
    seconds, rows = [], 0
    for _ in range(RUNS):
        start = time.perf_counter()
        rows = QUESTIONS[question](folder)
        seconds.append(time.perf_counter() - start)
    print(json.dumps([min(seconds), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, rows]))


def write_live(folder: Path, requests: int) -> None:
    """Terminal events and record spans in segments that nobody has compacted."""
    telemetry = setup("bench", folder / "live")
    for number in range(requests):
        context = RequestContext(f"r{number}", new_traceparent(), job_id=f"j{number}")
        RequestRecord(telemetry, context, started_ns=START, values=fields.defaults()).finish()
    telemetry.shutdown()


def main() -> None:
    """Prints one line a measurement."""
    parser = argparse.ArgumentParser(prog="python -m bench.read")
    parser.add_argument("--tiny", action="store_true", help="a thousand rows: only to see that it runs")
    parser.add_argument("--one", choices=QUESTIONS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        one(given.one, given.folder)
        return
    for n in (1000,) if given.tiny else (100_000, 1_000_000):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "parquet").mkdir()
            files = (parquet(folder / "parquet", "spans", n), parquet(folder / "parquet", "events", n))
            write_manifest(folder / "parquet", Manifest(files=files))
            compare(folder, n)
    with tempfile.TemporaryDirectory() as name:
        write_live(Path(name), 1000 if given.tiny else 100_000)
        seconds, peak, rows = measure("live", Path(name))
        line = seconds / rows / 2 * 1e6
        print(f"live end, {rows} events and as many record spans: {seconds:.2f} s ({line:.0f} µs a line), peak {peak:.0f} MB")


FIXED = 10_000
"""Requests below which fixed costs decide: the aims are for more."""


def compare(folder: Path, n: int) -> None:
    """Prints the join and the filter of n requests beside what DuckDB alone takes."""
    base, base_peak, base_rows = measure("bare", folder)
    took, peak, rows = measure("ours", folder)
    assert rows == base_rows == n, (rows, base_rows, n)
    print(f"join of {n} requests: {took:.2f} s, bare {base:.2f} s: {took / base:.2f}x; peak {peak:.0f} MB, bare {base_peak:.0f} MB")
    keep(f"join of {n:,} requests", took / base, "a bare DuckDB join", at_most=None if n < FIXED else 1.5)
    seconds, peak, _ = measure("counted", folder)
    print(f"  only counted, with coverage: {seconds:.2f} s, peak {peak:.0f} MB")
    compiled, _, found = measure("filtered", folder)
    hand, _, expected = measure("by_hand", folder)
    assert found == expected
    print(f"  filter: {compiled * 1e3:.1f} ms, by hand {hand * 1e3:.1f} ms: {compiled / hand:.2f}x ({found} found)")
    keep(f"filter over {n:,} rows", compiled / hand, "hand-written SQL", at_most=None if n < FIXED else 1.1)


if __name__ == "__main__":
    main()
