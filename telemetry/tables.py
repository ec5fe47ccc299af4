"""Journal lines as typed Arrow tables: one for spans, one for events; every known field is a column of its own type.

What is not in the table of names goes into `extra`, a JSON object a row (null where there is nothing), so nothing is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import orjson
import pyarrow as pa

from telemetry import fields
from telemetry.segments import Kind

RESOURCE = {
    "service.name": "service_name", "service.version": "service_version", "deployment.environment.name": "environment",
    "host.name": "host_name", "process.pid": "process_pid",
}  # fmt: skip
"""Resource attributes of spans, which stand on events too, and their columns."""

_TIME = pa.timestamp("ns", tz="UTC")
_OWN: dict[Kind, dict[str, pa.DataType]] = {
    "spans": {
        "trace_id": pa.string(), "span_id": pa.string(), "parent_id": pa.string(), "name": pa.string(), "start_at": _TIME,
        "end_at": _TIME, "span_ms": pa.float64(), "span_status": pa.string(), "span_message": pa.string(), "is_record": pa.bool_(),
    },
    "events": {
        "trace_id": pa.string(), "span_id": pa.string(), "event_id": pa.string(), "event_type": pa.string(), "logged_at": _TIME,
        "schema_version": pa.int64(),
    },
}  # fmt: skip
_EVENT_COLUMNS = {
    "trace.id": "trace_id", "span.id": "span_id", "@timestamp": "logged_at",
    **RESOURCE, **{name: name for name in ("event_id", "event_type", "schema_version")},
}  # fmt: skip
_STATUS = ("unset", "ok", "error")

Row = tuple[dict[str, Any], dict[str, Any]]
"""Columns and their values, and what has no column."""


@lru_cache(maxsize=2)
def schema(kind: Kind) -> pa.Schema:
    """The Arrow schema of the spans or of the events, with the meanings of the known fields as metadata."""
    own = _OWN[kind]
    resource = {column: pa.int64() if column == "process_pid" else pa.string() for column in RESOURCE.values()}
    known = fields.arrow_schema()
    columns = [pa.field(name, dtype) for name, dtype in (own | resource).items()]
    columns += [field for field in known if field.name not in own]
    columns += [pa.field("span_events", pa.string())] if kind == "spans" else []
    return pa.schema([*columns, pa.field("extra", pa.string())], metadata=known.metadata)


def table(kind: Kind, lines: Iterable[bytes]) -> tuple[pa.Table, int]:
    """The rows of journal lines with the columns of `schema(kind)`, and how many lines could not be read (they are skipped)."""
    rows: list[Row] = []
    unreadable = 0
    for line in lines:
        try:
            rows += parse(kind, line)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):  # not JSON, or not of our shape: foreign or damaged
            unreadable += 1
    return _assemble(kind, rows), unreadable


def event_table(events: Iterable[dict[str, Any]]) -> tuple[pa.Table, int]:
    """As `table`, for events that are parsed already (a server's documents)."""
    rows: list[Row] = []
    unreadable = 0
    for event in events:
        try:
            rows.append(_event_row(event))
        except (KeyError, AttributeError):
            unreadable += 1
    return _assemble("events", rows), unreadable


def parse(kind: Kind, line: bytes) -> list[Row]:
    """The rows of one line. Raises ValueError, KeyError, TypeError, IndexError or AttributeError where it is not of our shape."""
    value = orjson.loads(line)
    return list(_span_rows(value)) if kind == "spans" else [_event_row(value)]


def _event_row(event: dict[str, Any]) -> Row:
    row: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for name, value in event.items():
        if name in fields.BY_NAME:
            row[name] = value
        elif name in _EVENT_COLUMNS:
            row[_EVENT_COLUMNS[name]] = value
        else:
            extra[name] = value
    if "logged_at" not in row:
        raise KeyError("@timestamp")
    return row, extra


def _span_rows(request: dict[str, Any]) -> Iterator[Row]:
    for group in request["resourceSpans"]:
        resource = attributes(group["resource"].get("attributes", []))
        stamps = {RESOURCE[name]: resource.pop(name) for name in RESOURCE.keys() & resource.keys()}
        for scope in group["scopeSpans"]:
            for span in scope["spans"]:
                yield _span_row(span, stamps, resource)


def _span_row(span: dict[str, Any], stamps: Mapping[str, Any], resource: Mapping[str, Any]) -> Row:
    start, end, status = int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"]), span.get("status", {})
    row: dict[str, Any] = {}
    extra: dict[str, Any] = dict(resource)
    for name, value in attributes(span.get("attributes", [])).items():
        (row if name in fields.BY_NAME else extra)[name] = value
    row |= stamps
    row |= {
        "trace_id": span["traceId"], "span_id": span["spanId"], "parent_id": span.get("parentSpanId", ""), "name": span["name"],
        "start_at": start, "end_at": end, "span_ms": (end - start) / 1e6,
        "span_status": _STATUS[status.get("code", 0)], "span_message": status.get("message"),
        # By its name, or by what `RequestRecord` alone writes: a service of another kind names its record span as it likes.
        "is_record": span["name"] in fields.RECORD_SPANS.values() or ("started_at" in row and "ended_at" in row),
    }  # fmt: skip
    if events := span.get("events"):
        plain = [[e["name"], int(e["timeUnixNano"]), attributes(e.get("attributes", []))] for e in events]
        row["span_events"] = orjson.dumps(plain).decode()
    return row, extra


def attributes(pairs: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """OTLP's key-value pairs as a plain dict. Raises KeyError or ValueError where they are none."""
    return {pair["key"]: _plain(pair["value"]) for pair in pairs}


def _plain(value: Mapping[str, Any]) -> Any:
    """An OTLP value as Python has it: 64-bit integers come as text, and a whole double must not turn into an int."""
    for kind, content in value.items():
        match kind:
            case "intValue":
                return int(content)
            case "doubleValue":
                return float(content)
            case "arrayValue":
                return [_plain(item) for item in content.get("values", [])]
            case "kvlistValue":
                return attributes(content.get("values", []))
            case _:
                return content
    return None


def _assemble(kind: Kind, rows: list[Row]) -> pa.Table:
    """Column by column, so that a value of the wrong type costs its own cell and not its row (8 µs a row of 32 values)."""
    cells: dict[str, list[Any]] = {}
    for number, (row, _) in enumerate(rows):
        for name, value in row.items():
            if name not in cells:
                cells[name] = [None] * len(rows)
            cells[name][number] = value
    extras = [extra for _, extra in rows]
    target = schema(kind)
    arrays = [
        _column(field, cells[field.name], extras) if field.name in cells else pa.nulls(len(rows), field.type)
        for field in target
        if field.name != "extra"
    ]
    # Last: a value that did not fit its column has moved there.
    arrays.append(pa.array([orjson.dumps(extra).decode() if extra else None for extra in extras], pa.string()))
    return pa.Table.from_arrays(arrays, schema=target)


def _column(field: pa.Field, values: list[Any], extras: list[dict[str, Any]]) -> pa.Array:
    """The values in the column's type; one that does not fit (a foreign writer) moves to `extra` and leaves a null."""
    try:
        if field.type == _TIME:
            return _times(values)
        if pa.types.is_integer(field.type) and float in set(map(type, values)):
            raise OverflowError("pyarrow would cut 1.9 to 1")
        return pa.array(values, field.type)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        cast = _cast_of(field)
        for number, value in enumerate(values):
            try:
                values[number] = None if value is None else cast(value)
            except (ValueError, TypeError, OverflowError, pa.ArrowInvalid):
                values[number] = None
                extras[number][field.name] = value
        return pa.array(values, pa.int64()).cast(_TIME) if field.type == _TIME else pa.array(values, field.type)


def _times(values: list[Any]) -> pa.Array:
    """Nanoseconds since 1970 (spans) or RFC 3339 text (events)."""
    first = next((value for value in values if value is not None), 0)
    return pa.array(values, pa.string() if isinstance(first, str) else pa.int64()).cast(_TIME)


def _cast_of(field: pa.Field) -> Callable[[Any], Any]:
    if field.type == _TIME:
        return lambda value: int(value) if isinstance(value, int) else pa.array([value]).cast(_TIME).cast(pa.int64())[0].as_py()
    if field.name in fields.BY_NAME:
        return _strict(fields.BY_NAME[field.name])
    return int if pa.types.is_integer(field.type) else str


def _strict(field: fields.Field) -> Callable[[Any], Any]:
    def cast(value: Any) -> Any:
        done = field.cast(value)
        if done != value:  # bool("no"), int(1.9), list("abc"): not the value that was written
            raise ValueError(f"{field.name} is not {field.dtype}")
        return done

    return cast
