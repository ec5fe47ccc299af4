"""Events from Elasticsearch: pulled in slices of one point in time, counted by its aggregations.

Rows are pulled and aggregated here: a composite aggregation by trace is 13 times slower than pulling the events.
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import duckdb
import pyarrow as pa

from analytics.columns import vocabulary
from analytics.filters import Filter
from analytics.filters.sql import quoted
from analytics.stores import elasticsearch_query as query
from analytics.stores.base import Answer, Range
from analytics.stores.duck import arrow
from analytics.stores.elasticsearch_http import ElasticError, PointInTimeGone, connect, failures
from analytics.stores.mapping import Mapping
from telemetry.tables import event_table, schema

PAGE = 10_000
"""Documents a page: the server's own bound, and the fastest (10,000: 74,000 documents/s, 1,000: 21,000)."""
SLICES = 2
"""Parts that are pulled side by side: 82,000 documents/s with two, 74,000 with one."""
KEEP_ALIVE = "5m"
TERMS = 10_000
"""Traces that are named in one question: the server takes 65,536."""
_ATTEMPTS = 3
_DISTINCT = 10_000
"""Different values of a field that are counted at most: the server's own bound of buckets is 65,536."""


class ElasticLogs:
    """A LogStore over the indices `{index}-*`. Credentials: a user with a password, or an API key; `ca_file` for a private CA.

    Every method raises an ElasticError (an OSError) where the server does not answer.
    """

    def __init__(
        self,
        url: str,
        *,
        username: str | None = None,
        password: str | None = None,
        api_key: str | None = None,
        ca_file: str | None = None,
        index: str = "sonoscope-logs",
        mapping: Mapping | None = None,
        page: int = PAGE,
        timeout_s: float = 60.0,
    ) -> None:
        self.mapping = mapping or Mapping()
        self.url = url
        self._indices = f"{index}-*"
        self._page = page
        self._client = connect(url, username=username, password=password, api_key=api_key, ca_file=ca_file, timeout_s=timeout_s)

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def search(self, where: Filter | None, range: Range, *, limit: int | None = None) -> Answer:
        """Events in the range, the newest first; of the terminal ones at least those that pass the filter."""
        asked = query.search(where, range, self.mapping)
        table = self._sorted(self._pull(asked)) if limit is None else self._newest(asked, limit + 1)
        truncated = limit is not None and table.num_rows > limit
        return Answer(table.slice(0, limit) if truncated else table, truncated, where.text if where else "")

    def for_join(self, range: Range, *, details: bool) -> Answer:
        """The events that belong to requests accepted in the range, in no order: also those that were logged after it.

        `details`: with those of every type and not only what makes a row; some are then there twice.
        """
        table = self._pull(query.for_join(range, self.mapping))
        if details:
            traces = sorted(set(table["trace_id"].drop_null().to_pylist()))
            starts = builtins.range(0, len(traces), TERMS)
            rest = [self._pull(query.of_traces(traces[start : start + TERMS])) for start in starts]
            table = pa.concat_tables([table, *rest])
        return Answer(table, False, "")

    def surrounding(self, event_id: str, before: int, after: int) -> Answer:
        """The event between its `before` predecessors and `after` successors on the same host; empty where it is unknown."""
        asked = f"{before} events before and {after} after {event_id}"
        centre = self._hits({"term": {"event_id": event_id}}, query.ASCENDING, 1)
        if not centre:
            return Answer(self._table([]), False, asked)
        host, place = centre[0]["_source"].get("host.name"), centre[0]["sort"]
        same = {"term": {"host.name": host}} if host is not None else {"bool": {"must_not": {"exists": {"field": "host.name"}}}}
        earlier = self._hits(same, query.DESCENDING, before, place) if before else []
        later = self._hits(same, query.ASCENDING, after, place) if after else []
        return Answer(self._table([*reversed(earlier), *centre, *later]), False, asked)

    def count_by(self, field: str, range: Range) -> Answer:
        """`value` and `count` of a field of the events, the most frequent first. Raises KeyError for an unknown field.

        By an aggregation; times, lists and mapped fields are counted here, for a server writes them otherwise.
        """
        known = vocabulary(self.mapping.own)
        column = field if field == "event_type" else known[field].column
        if field != "event_type" and (query.is_mapped(known[field], self.mapping) or known[field].dtype in ("list", "time")):
            return self._counted_here(column, range, field)
        terms = {"field": query.stored_name(column), "size": _DISTINCT, "order": [{"_count": "desc"}, {"_key": "asc"}]}
        aggregations = {"values": {"terms": terms}}
        with failures(self.url):
            answer = self._client.search(
                index=self._indices, size=0, query=query.in_range(range), aggs=aggregations, track_total_hits=False
            )
        found = answer.get("aggregations", {}).get("values", {"buckets": []})  # no index yet: no aggregations either
        rows = [(query.as_text(one), one["doc_count"]) for one in found["buckets"]]
        rows.sort(key=lambda row: (-row[1], row[0]))
        values, counts = zip(*rows, strict=True) if rows else ((), ())
        table = pa.table({"value": pa.array(values, pa.string()), "count": pa.array(counts, pa.int64())})
        return Answer(table, bool(found.get("sum_other_doc_count")), f"{field} of the events")

    def events(self, request_id: str) -> Answer:
        """The events of a request in the order of their time."""
        table = self._pull(query.by_column("request_id", request_id, self.mapping))
        table = table.filter(pa.compute.equal(table["request_id"], request_id))  # pyright: ignore[reportAttributeAccessIssue]
        return Answer(table.sort_by([("logged_at", "ascending")]), False, f"events of {request_id}")

    def find(self, id: str) -> str | None:
        """The request with this request_id, job_id, trace_id or client_request_id; the newest where there are several."""
        anywhere = [query.by_column(name, id, self.mapping) for name in query.IDS]
        named = {"bool": {"should": anywhere, "minimum_should_match": 1}}
        table = self._newest({"bool": {"filter": [named, *query.has_request(self.mapping)]}}, 1)
        return table["request_id"][0].as_py() if table.num_rows else None

    def _pull(self, asked: dict[str, Any]) -> pa.Table:
        """Every matching event, in no order. A point in time that expired is opened anew, and everything is read again."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with failures(self.url):
                    return self._pulled(asked)
            except PointInTimeGone:
                if attempt == _ATTEMPTS:
                    raise
        raise AssertionError

    def _pulled(self, asked: dict[str, Any]) -> pa.Table:
        pit = self._client.open_point_in_time(index=self._indices, keep_alive=KEEP_ALIVE)["id"]
        try:
            with ThreadPoolExecutor(SLICES) as pool:
                parts = list(pool.map(lambda part: self._slice(pit, part, asked), range(SLICES)))
        finally:
            self._client.options(ignore_status=404).close_point_in_time(id=pit)
        return pa.concat_tables([self._table([]), *(table for part in parts for table in part)])

    def _slice(self, pit: str, part: int, asked: dict[str, Any]) -> list[pa.Table]:
        tables: list[pa.Table] = []
        after: list[Any] | None = None
        while True:
            more: dict[str, Any] = {"search_after": after} if after else {}
            answer = self._client.search(
                pit={"id": pit, "keep_alive": KEEP_ALIVE}, size=self._page, query=asked, sort=[{"_shard_doc": "asc"}],
                slice={"id": part, "max": SLICES}, track_total_hits=False, **more,
            )  # fmt: skip
            hits = answer["hits"]["hits"]
            pit = answer["pit_id"]
            if answer.get("timed_out") or answer["_shards"].get("failed"):
                raise ElasticError(f"{self.url}: a part of the indices did not answer")
            if hits:
                tables.append(self._table(hits))
                after = hits[-1]["sort"]
            if len(hits) < self._page:
                return tables

    def _newest(self, asked: dict[str, Any], count: int) -> pa.Table:
        hits: list[dict[str, Any]] = []
        while len(hits) < count:
            size = min(self._page, count - len(hits))
            page = self._hits(asked, query.DESCENDING, size, hits[-1]["sort"] if hits else None)
            hits += page
            if len(page) < size:
                break
        return self._table(hits)

    def _hits(self, asked: dict[str, Any], sort: Sequence[Any], size: int, after: list[Any] | None = None) -> list[dict[str, Any]]:
        more: dict[str, Any] = {"search_after": after} if after else {}
        with failures(self.url):
            answer = self._client.search(
                index=self._indices, size=size, query=asked, sort=list(sort), track_total_hits=False, **more
            )
        return answer["hits"]["hits"]

    def _table(self, hits: Sequence[dict[str, Any]]) -> pa.Table:
        table, _ = event_table(hit["_source"] for hit in hits)
        if not self.mapping.columns and not self.mapping.event:
            return table
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = true")
            connection.register("found", table)
            mapped = arrow(connection, self.mapping.view("events", "found"))
        own = mapped.select([name for name in mapped.column_names if name not in table.column_names]).schema
        return mapped.cast(pa.schema([*(schema("events").field(name) for name in table.column_names), *own]))

    def _sorted(self, table: pa.Table) -> pa.Table:
        return table.sort_by([("logged_at", "descending"), ("event_id", "descending")])

    def _counted_here(self, column: str, range: Range, field: str) -> Answer:
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.register("found", self._pull(query.in_range(range)))
            name = quoted(column)
            counted = f"SELECT {name}::VARCHAR AS value, count(*) AS count FROM found WHERE {name} IS NOT NULL"
            table = arrow(connection, f"{counted} GROUP BY value ORDER BY count DESC, value")
        return Answer(table, False, f"{field} of the events")
