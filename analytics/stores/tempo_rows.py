"""Tempo's answers as the rows of `telemetry.tables.schema("spans")`.

Each span is put back into the form of a journal line, so that one reader (`telemetry.tables`) decides columns and types everywhere.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import duckdb
import orjson
import pyarrow as pa

from analytics.filters.sql import quoted
from analytics.stores import mapping as names
from analytics.stores.duck import arrow
from telemetry import fields
from telemetry.tables import RESOURCE, schema, table

_CODES = {"unset": 0, "ok": 1, "error": 2, "STATUS_CODE_UNSET": 0, "STATUS_CODE_OK": 1, "STATUS_CODE_ERROR": 2}
_ROOT = "0" * 16
_LISTS = frozenset(field.name for field in fields.FIELDS if field.dtype == "list")
_APART = frozenset({"name", "statusMessage", "span:parentID"}) | RESOURCE.keys()
"""Keys of an answer that are no attributes of the span."""

Span = dict[str, Any]
"""One OTLP/JSON request with one span."""


def found_spans(answer: Mapping[str, Any]) -> Iterator[Span]:
    """The spans of a search, once for each set they are in. `spanSet` repeats the first of `spanSets` and is not read."""
    for trace in answer.get("traces") or ():
        for group in trace.get("spanSets") or ():
            status = _status(group)
            for span in group.get("spans") or ():
                yield _found(trace["traceID"].zfill(32), span, status)


def cut_traces(answer: Mapping[str, Any]) -> list[str]:
    """Ids of traces of which more spans matched than came along."""
    sets = [(trace, group) for trace in answer.get("traces") or () for group in trace.get("spanSets") or ()]
    cut = (trace["traceID"].zfill(32) for trace, group in sets if int(group.get("matched", 0)) > len(group.get("spans") or ()))
    return list(dict.fromkeys(cut))


def whole_trace(groups: Iterable[Mapping[str, Any]]) -> Iterator[Span]:
    """The spans of a trace by id (`resourceSpans`, or `batches` of the first version), whose ids are base64."""
    for group in groups:
        for scope in group.get("scopeSpans") or ():
            for span in scope.get("spans") or ():
                made = {**span, "traceId": _hex(span["traceId"]), "spanId": _hex(span["spanId"])}
                made["parentSpanId"] = _hex(span.get("parentSpanId", ""))
                code = (span.get("status") or {}).get("code", 0)
                made["status"] = {"code": _CODES.get(code, 0), "message": (span.get("status") or {}).get("message")}
                made["attributes"] = [pair for pair in span.get("attributes") or () if _finite(pair)]
                yield _line(made, (group.get("resource") or {}).get("attributes") or [])


def rows(spans: Iterable[Span], mapping: names.Mapping) -> tuple[pa.Table, int]:
    """The spans as a table, each once, under the mapping's names, and how many could not be read."""
    once: dict[tuple[str, str], Span] = {}
    for line in spans:
        span = line["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
        once[span["traceId"], span["spanId"]] = line
    found, unreadable = table("spans", (orjson.dumps(line) for line in once.values()))
    if not mapping.columns and not mapping.span:
        return found, unreadable
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("found", found)
        return arrow(connection, mapping.view("spans", "found")).cast(_mapped_schema(mapping)), unreadable


def newest_first(found: pa.Table, since: int | None, until: int | None) -> pa.Table:
    """The rows that start in [since, until) (ns), for Tempo's windows are wider than what was asked."""
    low = "true" if since is None else f"epoch_ns(start_at) >= {int(since)}"
    high = "true" if until is None else f"epoch_ns(start_at) < {int(until)}"
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("found", found)
        kept = arrow(connection, f"SELECT * FROM found WHERE {low} AND {high} ORDER BY start_at DESC, span_id")
    return kept.cast(found.schema)


def counted(found: pa.Table, column: str) -> pa.Table:
    """`value` (as text) and `count` of a column, the most frequent first."""
    name = quoted(column)
    query = f"""SELECT {name}::VARCHAR AS value, count(*) AS count FROM found WHERE {name} IS NOT NULL
                GROUP BY value ORDER BY count DESC, value"""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("found", found)
        return arrow(connection, query)


def _status(group: Mapping[str, Any]) -> str:
    for pair in group.get("attributes") or ():
        if pair["key"] == "by(status)":
            return pair["value"].get("stringValue", "unset")
    return ""


def _found(trace_id: str, span: Mapping[str, Any], status: str) -> Span:
    pairs: list[Mapping[str, Any]] = list(span.get("attributes") or ())
    if status:
        pairs = _without_own_status(pairs, status)
    values = {pair["key"]: pair["value"] for pair in pairs}
    start = int(span["startTimeUnixNano"])
    parent = values.get("span:parentID", {}).get("stringValue", "")
    made = {
        "traceId": trace_id,
        "spanId": span["spanID"].zfill(16),
        "parentSpanId": "" if parent == _ROOT else parent,
        "name": span.get("name", ""),
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(start + int(span.get("durationNanos", 0))),
        "status": {"code": _CODES.get(status, 0), "message": values.get("statusMessage", {}).get("stringValue") or None},
        "attributes": [_listed(pair) for pair in pairs if pair["key"] not in _APART and _finite(pair)],
    }
    return _line(made, [pair for pair in pairs if pair["key"] in RESOURCE])


def _without_own_status(pairs: Sequence[Mapping[str, Any]], status: str) -> list[Mapping[str, Any]]:
    """The attributes less the span's own status, which bears the name of our attribute and the value of the group."""
    kept = list(pairs)
    for number, pair in enumerate(kept):
        if pair["key"] == "status" and pair["value"].get("stringValue") == status:
            del kept[number]
            break
    return kept


def _listed(pair: Mapping[str, Any]) -> Mapping[str, Any]:
    """A list of one item may arrive as the item."""
    if pair["key"] in _LISTS and "stringValue" in pair["value"]:
        return {"key": pair["key"], "value": {"arrayValue": {"values": [pair["value"]]}}}
    return pair


def _finite(pair: Mapping[str, Any]) -> bool:
    """False for NaN and infinities, which come as text: as a number they would count as larger than any."""
    value = pair["value"].get("doubleValue")
    return value is None or math.isfinite(float(value))


def _line(span: Span, resource: Sequence[Mapping[str, Any]]) -> Span:
    return {"resourceSpans": [{"resource": {"attributes": resource}, "scopeSpans": [{"spans": [span]}]}]}


def _hex(id: str) -> str:
    return base64.b64decode(id).hex()


def _mapped_schema(mapping: names.Mapping) -> pa.Schema:
    return pa.schema([*schema("spans"), *names.arrow_fields(mapping)], metadata=schema("spans").metadata)
