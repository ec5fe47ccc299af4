"""Traces from Grafana Tempo: record spans by TraceQL in slices that no limit cuts, whole traces by id, counts by its metrics.

Tempo's search answers wrongly in a dozen ways without an error; docs/tempo.md lists them with what is done here about each.
"""

from __future__ import annotations

import builtins
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Self

import httpx

from analytics.columns import vocabulary
from analytics.filters import Filter
from analytics.stores import mapping as names
from analytics.stores import tempo_query as query
from analytics.stores import tempo_rows as rows
from analytics.stores.base import Answer, Range
from analytics.stores.tempo_http import BadQuery, Client, NotFound, TempoError, TooLarge
from analytics.stores.tempo_metrics import Metrics
from analytics.stores.tempo_slices import PAGE, SECOND, Ask, Page, Slice, even, pages, planned, span_of, tail, windows
from analytics.stores.tempo_text import whole

IDS_AT_ONCE = 500
"""Traces a search by ids asks for: 11,673 spans of 2,000 traces took 1.5 s so, 36 s one by one."""
SPANS_A_SET = 100
"""Tempo's own upper bound of `spss`."""
LONGEST_S = 1800 + 120
"""How much later than its start a record may have been written: the service's default deadline, and what Tempo dates back."""
REACH_S = 14 * 24 * 3600
"""How far an open start reaches back: Tempo's default `block_retention`."""
MOST_OWN = 200
"""Attributes beyond the table of names that a search brings along: a query has 128 KiB at most."""
UNSEEN_S = 30
"""Tempo 3 leaves the last 30 s out of every search (`query_frontend.query_end_cutoff`)."""
_ID = re.compile(r"[0-9a-f]{1,32}")


class TempoStore:
    """A TraceStore over one Tempo. `tenant` becomes X-Scope-OrgID, `headers` go with every request, `mapping` renames attributes.

    `at_once`: requests in flight at most. `own_names`: ask which other attributes there are and bring them along in `extra`.
    Every method raises a TempoError (an OSError) where the server does not answer.
    """

    def __init__(
        self,
        url: str,
        *,
        tenant: str | None = None,
        headers: Mapping[str, str] | None = None,
        mapping: names.Mapping | None = None,
        timeout_s: float = 60.0,
        at_once: int = 4,
        reach_s: int = REACH_S,
        longest_s: int = LONGEST_S,
        own_names: bool = True,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.mapping = mapping or names.Mapping()
        self.client = Client(url, tenant=tenant, headers=headers, timeout_s=timeout_s, transport=transport)
        self.metrics = Metrics(self.client)
        self._at_once = at_once
        self._reach_s = reach_s
        self._longest_s = longest_s
        self._own_names = own_names

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self.client.close()

    def search(self, where: Filter | None, range: Range, *, limit: int | None = None) -> Answer:
        """Record spans that start in the range, the newest first; at least those whose request passes the filter."""
        return self._records(where, range, None, limit)

    def trace(self, trace_id: str) -> Answer:
        """Every span of a trace with its events, in the order of their start; none where it is unknown.

        `truncated` where Tempo kept only a part of it.
        """
        asked = f"trace {trace_id}"
        if not _ID.fullmatch(trace_id.lower()):
            return self._answer([], asked)
        groups, partly = self._by_id(trace_id.lower().zfill(32))
        found = self._answer(rows.whole_trace(groups), asked, partly)
        return Answer(found.table.sort_by([("start_at", "ascending"), ("span_ms", "descending")]), found.truncated, asked)

    def spans(self, trace_ids: Sequence[str], range: Range) -> Answer:
        """Every span of these traces: name, times, parent and status alone. `range`: where the traces lie."""
        start, end = span_of(range, time.time_ns(), self._reach_s)
        end = min(end + self._longest_s, _now() + 1)
        known = [id for id in trace_ids if _ID.fullmatch(id)]
        lists = [known[first : first + IDS_AT_ONCE] for first in builtins.range(0, len(known), IDS_AT_ONCE)]
        asked = [(ids, low, high) for ids in lists for low, high in windows(start, end)]
        with ThreadPoolExecutor(self._at_once) as pool:
            answers = [answer for some in pool.map(lambda one: self._listed(*one), asked) for answer in some]
            cut = {id for answer in answers for id in rows.cut_traces(answer)}
            entire = list(pool.map(self._by_id, sorted(cut)))
        found = [span for answer in answers for span in rows.found_spans(answer)]
        found += [span for groups, _ in entire for span in rows.whole_trace(groups)]
        return self._answer(found, f"the spans of {len(trace_ids)} traces", any(partly for _, partly in entire))

    def values(self, field: str, range: Range) -> Answer:
        """`value` and `count` of a field of the record spans, the most frequent first. Raises KeyError for an unknown field."""
        column = vocabulary(self.mapping.own)[field]
        theirs = [mapped.span for mapped in self.mapping.columns if mapped.column.name == field and mapped.span]
        scope = "resource" if column.scope == "resource" else "span"
        wanted = [query.attribute(scope, column.name), *(query.attribute("span", name) for name in theirs)]
        found = self._records(None, range, wanted if column.name not in ("name", "duration") else ["span.latency_s"], None)
        return Answer(rows.counted(found.table, column.column), found.truncated, f"{field}: {found.asked}")

    def count(self, where: Filter | None, range: Range) -> int | None:
        """How many record spans pass, by Tempo's metrics, bounds to the second: much faster than a search and no more than a count.

        None where the filter is not Tempo's to decide, or the server has no metrics. 2.x counts only what its generator kept.
        """
        asked = query.condition(where, self.mapping)
        start, end = span_of(range, time.time_ns(), self._reach_s)
        if not asked.exact:
            return None
        counts = [self.metrics.count(asked.text, low, high) for low, high in windows(start, end)]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None

    def types(self, attribute: str, range: Range) -> dict[str, int]:
        """Types under which the values of an attribute (`span.fps`) are stored, and how many different values each has."""
        start, end = span_of(range, time.time_ns(), self._reach_s)
        found: dict[str, int] = {}
        params = {"start": start, "end": end}
        for value in self.client.get(f"/api/v2/search/tag/{attribute}/values", params).get("tagValues") or ():
            found[value["type"]] = found.get(value["type"], 0) + 1
        return found

    def attributes(self, range: Range, condition: str | None = None) -> dict[str, list[str]]:
        """Attribute names of spans (`span`) and their resources (`resource`) in the range. `condition`: TraceQL without braces."""
        start, end = span_of(range, time.time_ns(), self._reach_s)
        params: dict[str, str | int] = {"start": start, "end": end}
        params |= {"q": whole(f"{{ {condition} }}")} if condition else {}
        scopes = self.client.get("/api/v2/search/tags", params).get("scopes") or ()
        return {scope["name"]: list(scope.get("tags") or ()) for scope in scopes if scope["name"] in ("span", "resource")}

    def _records(self, where: Filter | None, range: Range, wanted: list[str] | None, limit: int | None) -> Answer:
        """Record spans with the attributes that are `wanted` (None: all), the newest first."""
        now_ns = time.time_ns()
        start, end = span_of(range, now_ns, self._reach_s)
        condition = query.condition(where, self.mapping).text
        asked = f"{{ {condition} }} from {start} to {end}"
        if start >= end:
            return self._answer([], asked)
        if end * SECOND > now_ns - UNSEEN_S * SECOND:
            asked += f"; the last {UNSEEN_S} s may be missing"
        select = self._selected(start, end) if wanted is None else wanted
        found: list[rows.Span] = []
        cut, newest = False, _Newest(range, limit)
        with ThreadPoolExecutor(self._at_once) as pool:
            ask = partial(self._slice, condition, select)
            for slice, answered in self._sliced(condition, start, end, range, ask, pool):
                cut = cut or any(page.cut or rows.cut_traces(page.answer) for page in answered)
                fresh = [span for page in answered for span in rows.found_spans(page.answer)]
                found += fresh
                if newest.enough(fresh, slice.start):
                    break
        table = rows.newest_first(self._answer(found, asked).table, range.since, range.until)
        more = limit is not None and table.num_rows > limit
        return Answer(table.slice(0, limit) if more else table, cut or more, asked)

    def _sliced(
        self, condition: str, start: int, end: int, range: Range, ask: Ask, pool: ThreadPoolExecutor
    ) -> Iterator[tuple[Slice, list[Page]]]:
        """Each slice with its answers, the newest first."""
        late = tail(end, _now(), self._longest_s) if range.until is not None else []
        yield from zip(late, pages(late, ask, pool, self._at_once), strict=True)
        for low, high in windows(start, end):
            counts = self.metrics.counts(condition, low, high)
            slices = even(low, high) if counts is None else planned(low, high, *counts)
            yield from zip(slices, pages(slices, ask, pool, self._at_once), strict=True)

    def _slice(self, condition: str, select: Iterable[str], slice: Slice, limit: int) -> dict[str, Any]:
        longer = f" && duration >= {slice.longer_than_s}s" if slice.longer_than_s else ""
        return self._search(query.selecting(condition + longer, select), slice.start, slice.end, limit, SPANS_A_SET)

    def _listed(self, ids: Sequence[str], start: int, end: int) -> list[dict[str, Any]]:
        try:
            return [self._search(query.selecting(query.by_trace_id(ids), ()), start, end, PAGE, SPANS_A_SET)]
        except TooLarge:
            if len(ids) == 1:
                raise
            middle = len(ids) // 2
            return self._listed(ids[:middle], start, end) + self._listed(ids[middle:], start, end)

    def _search(self, text: str, start: int, end: int, limit: int, spans: int) -> dict[str, Any]:
        """GET with both ends: without them Tempo looks at the last minutes only, and a body it ignores."""
        params = {"q": whole(text), "start": start, "end": max(end, start + 1), "limit": limit, "spss": spans}
        return self.client.get("/api/search", params)

    def _selected(self, start: int, end: int) -> list[str]:
        """Every attribute with a column, and what else the newest day of these spans has."""
        known = query.known_names(self.mapping)
        if not self._own_names:
            return known
        newest = Range(max(start, end - 24 * 3600) * SECOND, end * SECOND)
        try:
            tags = self.attributes(newest, query.records(self.mapping))
        except (BadQuery, NotFound):  # an older server has no such route, or takes no condition there
            return known
        own = [query.attribute("span", name) for name in tags.get("span", ())]
        # Answers lose the scope: a key of the resource that spans have too cannot be told apart.
        taken = set(tags.get("span", ())) | query.NAMES
        own += [query.attribute("resource", name) for name in tags.get("resource", ()) if name not in taken]
        return known + sorted(set(own) - set(known))[:MOST_OWN]

    def _by_id(self, trace_id: str) -> tuple[list[dict[str, Any]], bool]:
        """The resource groups of a trace and whether they are only a part; none where it is unknown."""
        try:
            answer = self.client.get(f"/api/v2/traces/{trace_id}")
        except NotFound:  # before 2.6
            return self._by_id_v1(trace_id)
        return (answer.get("trace") or {}).get("resourceSpans") or [], answer.get("status") == "PARTIAL"

    def _by_id_v1(self, trace_id: str) -> tuple[list[dict[str, Any]], bool]:
        try:
            return self.client.get(f"/api/traces/{trace_id}").get("batches") or [], False
        except NotFound:
            return [], False
        except TooLarge:
            return [], True

    def _answer(self, spans: Iterable[rows.Span], asked: str, truncated: bool = False) -> Answer:
        table, unreadable = rows.rows(spans, self.mapping)
        if unreadable:
            raise TempoError(f"{unreadable} of the answer's spans are not as Tempo writes them")
        return Answer(table, truncated, asked)


class _Newest:
    """Whether a limit is reached: slices come newest first, so no later one has newer records than those already found."""

    def __init__(self, range: Range, limit: int | None) -> None:
        self._range = range
        self._limit = limit
        self._starts: dict[tuple[str, str], int] = {}

    def enough(self, fresh: Iterable[rows.Span], since: int) -> bool:
        if self._limit is None:
            return False
        for line in fresh:
            span = line["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
            start = int(span["startTimeUnixNano"])
            if self._range.until is None or start < self._range.until:
                self._starts[span["traceId"], span["spanId"]] = start
        return sum(start >= since * SECOND for start in self._starts.values()) > self._limit


def _now() -> int:
    return time.time_ns() // SECOND
