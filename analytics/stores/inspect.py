"""What somebody's Tempo and Elasticsearch hold, seen through a mapping: before anything is migrated or written."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from elasticsearch import Elasticsearch

from analytics.stores.base import Range
from analytics.stores.elasticsearch_http import ElasticError, failures
from analytics.stores.mapping import Mapped
from analytics.stores.mapping import Mapping as Names
from analytics.stores.tempo import TempoStore
from analytics.stores.tempo_http import TempoError
from analytics.stores.tempo_query import attribute, records
from telemetry import fields

DAY_NS = 24 * 3600 * 1_000_000_000
SAMPLE = 1000
"""Newest traces that are looked for in the logs: a share of 1,000 is known to 3 points."""
_LONG_S = "10s"
_TEMPO_TYPES = {
    "int": {"int"}, "float": {"float"}, "bool": {"bool"}, "str": {"string", "keyword"}, "list": {"string"}, "time": {"int"},
}  # fmt: skip
_ELASTIC_TYPES = {
    "int": {"long", "integer", "short", "byte", "unsigned_long"},
    "float": {"double", "float", "half_float", "scaled_float"},
    "bool": {"boolean"}, "str": {"keyword", "constant_keyword", "wildcard"}, "list": {"keyword"}, "time": {"date", "date_nanos"},
}  # fmt: skip
State = Literal["ok", "note", "missing"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at, how it is, and the way out where it is not well."""

    name: str
    state: State
    detail: str
    remedy: str = ""


def traces(store: TempoStore) -> Iterator[Finding]:
    """Address, rights, record spans of the last day, and each mapped attribute. Ends early where nobody answers."""
    day = _day()
    try:
        build = store.client.get("/api/status/buildinfo")
        tags = store.attributes(day, records(store.mapping))
        found = store.search(None, day, limit=1).table.num_rows
    except TempoError as error:
        yield Finding("Tempo", "missing", str(error), "Check the address; it is that of the query API, port 3200 by default.")
        return
    yield Finding("Tempo", "ok", f"{store.client.url}, version {build.get('version') or 'unknown'}")
    yield _record_spans(store, found, day)
    for mapped in store.mapping.columns:
        if mapped.span:
            yield _attribute(store, mapped, tags, day)
    known = [name for name in tags.get("span", ()) if name in fields.BY_NAME]
    yield Finding("known attributes", "ok", f"{len(known)} attributes already bear a name of our table")


def logs(client: Elasticsearch, url: str, index: str, mapping: Names) -> Iterator[Finding]:
    """Address, rights, documents of the last day, and each mapped field. Ends early where nobody answers."""
    pattern = f"{index}-*"
    names = {mapped.log: mapped for mapped in mapping.columns if mapped.log}
    wanted = ["@timestamp", _trace_field(mapping), *names]
    try:
        with failures(url):
            health = client.options(request_timeout=10).cluster.health()
            count = client.count(index=pattern, query={"range": {"@timestamp": {"gte": "now-1d"}}})["count"]
            caps: dict[str, Any] = client.field_caps(index=pattern, fields=wanted)["fields"]
    except ElasticError as error:
        yield Finding("Elasticsearch", "missing", str(error), "Check the address and the user's right to read and monitor.")
        return
    yield Finding("Elasticsearch", "ok", f"{url}, cluster {health['cluster_name']}, {health['status']}")
    detail = f"{count} documents of the last day in {pattern}"
    yield Finding("log lines", "ok" if count else "note", detail, "" if count else "Name the indices with --index (without -*).")
    for name in wanted:
        mapped = names.get(name)
        dtype = mapped.column.dtype if mapped else "time" if name == "@timestamp" else "str"
        yield _field(mapped.column.name if mapped else name, name, dtype, caps.get(name, {}))


def both(store: TempoStore, client: Elasticsearch, url: str, index: str, range: Range | None = None) -> Finding:
    """How many traces of the range (the last day) have logs, by the newest `SAMPLE` of them."""
    field = _trace_field(store.mapping)
    try:
        ids = sorted(set(store.search(None, range or _day(), limit=SAMPLE).table["trace_id"].to_pylist()))
        with failures(url):
            answer = client.search(
                index=f"{index}-*",
                size=0,
                query={"terms": {field: ids}},
                aggs={"traces": {"terms": {"field": field, "size": SAMPLE}}},
                timeout=_LONG_S,
            )
    except (TempoError, ElasticError) as error:
        return Finding("traces with logs", "note", f"cannot be counted: {error}")
    with_logs = len(answer.get("aggregations", {}).get("traces", {}).get("buckets", []))
    detail = f"{with_logs} of the newest {len(ids)} traces"
    remedy = "" if with_logs or not ids else f"No log line has the id of a trace in {field}: map `trace_id` to the field that has."
    return Finding("traces with logs", "ok" if with_logs or not ids else "note", detail, remedy)


def _record_spans(store: TempoStore, found: int, day: Range) -> Finding:
    if not found:
        remedy = "Name the span that stands for a request as `record: {span: …}` in the mapping."
        return Finding("record spans", "note", "none in the last day", remedy)
    count = store.count(None, day)
    return Finding("record spans", "ok", "some in the last day" if count is None else f"{count} in the last day")


def _attribute(store: TempoStore, mapped: Mapped, tags: dict[str, list[str]], day: Range) -> Finding:
    name, column = f"{mapped.column.name} ← span {mapped.span}", mapped.column
    if mapped.span not in tags.get("span", ()):
        return Finding(name, "note", "no record span of the last day has it", "Check the spelling; Tempo's names are exact.")
    types = store.types(attribute("span", mapped.span), day)
    detail = ", ".join(f"{kind} ({count} different values)" for kind, count in types.items()) or "no values"
    numbers = {"int", "float"}
    if types and not types.keys() <= _TEMPO_TYPES[column.dtype]:
        fits = column.dtype in numbers and types.keys() <= numbers
        remedy = "" if fits else f"It is declared as {column.dtype}: correct `type` in the mapping, or the service."
        return Finding(name, "ok" if fits else "note", detail + ("; asked as both kinds of number" if fits else ""), remedy)
    return Finding(name, "ok", detail)


def _field(column: str, name: str, dtype: str, caps: Mapping[str, Any]) -> Finding:
    label = f"{column} ← log {name}" if column != name else f"log {name}"
    kinds = sorted(kind for kind in caps if kind != "unmapped")
    if not kinds:
        return Finding(label, "note", "no index maps it", "It is read from the documents, but cannot be searched or grouped by.")
    if set(kinds) <= _ELASTIC_TYPES[dtype]:
        return Finding(label, "ok", ", ".join(kinds))
    return Finding(label, "note", ", ".join(kinds), f"It is read as {dtype}; text cannot be grouped by: use its .keyword field.")


def _trace_field(mapping: Names) -> str:
    return next((mapped.log for mapped in mapping.columns if mapped.column.name == "trace_id" and mapped.log), "trace.id")


def _day() -> Range:
    now = time.time_ns()
    return Range(now - DAY_NS, now)
