"""What Elasticsearch is asked: filters, ranges and what the join needs, under the names that the documents have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from analytics.columns import Column
from analytics.filters import Filter
from analytics.filters.remote import to_elasticsearch
from analytics.filters.syntax import And, Compare, Nil, Node, Not, Or
from analytics.join import DEADLINE_S
from analytics.stores.base import Range
from analytics.stores.local import SLACK_NS
from analytics.stores.mapping import Mapping
from telemetry import fields
from telemetry.tables import RESOURCE
from telemetry.values import rfc3339

# As text: beyond 2^53 a JSON number would be rounded on its way.
ASCENDING = ({"@timestamp": {"order": "asc", "format": "strict_date_optional_time_nanos"}}, {"event_id": "asc"})
DESCENDING = ({"@timestamp": {"order": "desc", "format": "strict_date_optional_time_nanos"}}, {"event_id": "desc"})

IDS = ("request_id", "job_id", "trace_id", "client_request_id")
_LAST_NS = 2**63 - 1
_NAMES = {column: name for name, column in RESOURCE.items()}
_TERMINAL = {"terms": {"event_type": list(fields.TERMINAL_EVENTS)}}
_SCORE = {"term": {"event_type": "user_score"}}
_RECEIVED = {"term": {"event_type": "request_received"}}


def search(where: Filter | None, range: Range, mapping: Mapping) -> dict[str, Any]:
    """Events of the range; of the terminal ones at least those that pass. What a mapping names is left to the client."""
    bounds = in_range(range)
    if where is None or mapping.event:  # which of their lines end a request only their fields say
        return bounds
    passing = to_elasticsearch(_ours(where.node, mapping)).query
    either = {"bool": {"should": [{"bool": {"must_not": _TERMINAL}}, passing], "minimum_should_match": 1}}
    return {"bool": {"filter": [bounds, either]}}


def for_join(range: Range, mapping: Mapping) -> dict[str, Any]:
    """What makes the rows of requests accepted in the range.

    A request that is accepted in the range may end after it: its terminal event knows when it was accepted. Hosts' clocks may
    differ, so both ends are wider; the join cuts them exactly.
    """
    since = None if range.since is None else range.since - SLACK_NS
    accepted = Range(since, None if range.until is None else range.until + SLACK_NS)
    if mapping.event or mapping.columns:
        # Other people's lines need not say when their request was accepted, nor of what type they are.
        during = Range(since, None if range.until is None else range.until + SLACK_NS + int(DEADLINE_S * 1e9))
        return {"bool": {"should": [in_range(during), _terminal(accepted), _scores(since)], "minimum_should_match": 1}}
    received = {"bool": {"filter": [_RECEIVED, in_range(accepted)]}}
    return {"bool": {"should": [_terminal(accepted), received, _scores(since)], "minimum_should_match": 1}}


def of_traces(trace_ids: Sequence[str]) -> dict[str, Any]:
    """Every event of these traces."""
    return {"terms": {"trace.id": list(trace_ids)}}


def in_range(range: Range, field: str = "@timestamp") -> dict[str, Any]:
    """Moments of the range."""
    # What cannot be stored in nanoseconds (before 1970, after 2262) cannot be asked for either.
    bounds = {
        name: rfc3339(min(max(at, 0), _LAST_NS)) for name, at in (("gte", range.since), ("lt", range.until)) if at is not None
    }
    return {"range": {field: {**bounds, "format": "strict_date_optional_time_nanos"}}} if bounds else {"match_all": {}}


def by_column(column: str, value: str, mapping: Mapping) -> dict[str, Any]:
    """Events whose column holds the value, under any of its names."""
    names = ["trace.id", "trace_id"] if column == "trace_id" else [stored_name(column)]
    names += [one.log for one in mapping.columns if one.column.name == column and one.log]
    tests = [{"term": {name: value}} for name in names]
    return tests[0] if len(tests) == 1 else {"bool": {"should": tests, "minimum_should_match": 1}}


def has_request(mapping: Mapping) -> list[dict[str, Any]]:
    """That an event belongs to a request; nobody knows it of mapped lines before they are read."""
    mapped = any(one.column.name == "request_id" for one in mapping.columns)
    return [] if mapped else [{"exists": {"field": "request_id"}}]


def stored_name(column: str) -> str:
    """The documents' name of a column."""
    return _NAMES.get(column, {"trace_id": "trace.id", "span_id": "span.id"}.get(column, column))


def is_mapped(column: Column, mapping: Mapping) -> bool:
    """Whether the mapping takes the column from a field of another name."""
    return any(one.column.name == column.name for one in mapping.columns)


def as_text(bucket: dict[str, Any]) -> str:
    """The key of a bucket as DuckDB writes it."""
    key = bucket["key"]
    if "key_as_string" in bucket and bucket["key_as_string"] in ("true", "false"):
        return bucket["key_as_string"]
    return str(key)


def _terminal(accepted: Range) -> dict[str, Any]:
    without = {"bool": {"filter": [in_range(accepted)], "must_not": {"exists": {"field": "started_at"}}}}
    when = {"bool": {"should": [in_range(accepted, "started_at"), without], "minimum_should_match": 1}}
    return {"bool": {"filter": [_TERMINAL, when]}}


def _scores(since: int | None) -> dict[str, Any]:
    return {"bool": {"filter": [_SCORE, in_range(Range(since, None))]}}


def _ours(node: Node, mapping: Mapping) -> Node:
    """The filter with mapped columns as what only the client can decide."""
    if not mapping.columns:
        return node
    match node:
        case And(parts):
            return And(tuple(_ours(part, mapping) for part in parts))
        case Or(parts):
            return Or(tuple(_ours(part, mapping) for part in parts))
        case Not(part):
            return Not(_ours(part, mapping))
        case Nil(column) | Compare(column):
            return replace(node, column=replace(column, scope="derived")) if is_mapped(column, mapping) else node
