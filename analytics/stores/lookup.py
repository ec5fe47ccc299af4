"""One request looked up in the files: its lines in live segments by a search for bytes, its rows in Parquet by DuckDB.

The segments are read first: rows only ever move from them to Parquet, so one that moves meanwhile is found twice and counted once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import orjson
import pyarrow as pa

from analytics.stores.duck import arrow
from analytics.stores.spans import Span, event_time, parse_spans, stored_event, stored_span
from telemetry.manifest import read_manifest
from telemetry.segments import Kind, read_lines

_IDS = ("request_id", "job_id", "trace.id", "trace_id", "client_request_id")


def spans(journal_dir: Path, parquet_dir: Path, trace_id: str) -> list[Span]:
    """The spans of a trace in the order of their start; empty where there are none."""
    found = [span for line in read_lines(journal_dir, "spans", trace_id.encode()) for span in parse_spans(line)]
    found += [stored_span(row) for row in _stored(parquet_dir, "spans", "trace_id = $id", trace_id)]
    once = {span.span_id: span for span in found if span.trace_id == trace_id}
    return sorted(once.values(), key=lambda span: (span.start_ns, -span.end_ns))


def events(journal_dir: Path, parquet_dir: Path, request_id: str) -> list[dict[str, Any]]:
    """The events of a request in the order of their time; empty where there are none."""
    found = [orjson.loads(line) for line in read_lines(journal_dir, "events", request_id.encode())]
    found += [stored_event(row) for row in _stored(parquet_dir, "events", "request_id = $id", request_id)]
    once = {event["event_id"]: event for event in found if event.get("request_id") == request_id}
    return sorted(once.values(), key=event_time)


def find(journal_dir: Path, parquet_dir: Path, id: str) -> str | None:
    """The request with this request_id, job_id, trace_id or client_request_id; the newest where there are several."""
    found = [orjson.loads(line) for line in read_lines(journal_dir, "events", id.encode())]
    wanted = " OR ".join(f"{name} = $id" for name in _IDS if "." not in name)
    found += [stored_event(row) for row in _stored(parquet_dir, "events", wanted, id)]
    matches = [event for event in found if "request_id" in event and any(event.get(name) == id for name in _IDS)]
    return max(matches, key=event_time)["request_id"] if matches else None


def _stored(folder: Path, kind: Kind, condition: str, id: str) -> list[dict[str, Any]]:
    """Rows with times as ns since 1970."""
    paths = [str(folder / file.name) for file in read_manifest(folder).of(kind)]
    if not paths:
        return []
    with duckdb.connect() as connection:
        query = f"SELECT * FROM read_parquet($paths, union_by_name = true) WHERE {condition}"
        found = arrow(connection, query, {"paths": paths, "id": id})
    for number, field in enumerate(found.schema):
        if pa.types.is_timestamp(field.type):
            found = found.set_column(number, field.name, found.column(number).cast(pa.int64()))
    return found.to_pylist()
