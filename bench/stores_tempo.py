"""What does a search for many requests cost beside fetching each trace by its id? Wants a Tempo: TEMPO_URL.

    TEMPO_URL=http://127.0.0.1:3200 python -m bench.stores_tempo [--tiny]

Writes its own traces (a record span with every field and five stages each; OTLP goes to OTEL_EXPORTER_OTLP_ENDPOINT, or port 4318
of the same host), waits until they can be searched, and prints the fastest of three of each: the record spans by search, the child
spans by lists of ids, all of it trace by trace on one thread and on as many as the search used.
"""

from __future__ import annotations

import argparse
import os
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson

from analytics.filters import Filter, parse
from analytics.stores.base import Range
from analytics.stores.tempo import TempoStore
from bench.ratios import keep
from telemetry import fields

RUNS = 3
SECOND = 1_000_000_000
AT_ONCE = 4
WAIT_S = 180
BATCH = 100
"""Traces a POST: well below Tempo's bound of a request."""


def main() -> None:
    """Prints the ratios, or why there are none."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="20 traces instead of 2,000")
    traces = 20 if parser.parse_args().tiny else 2000
    url = os.environ.get("TEMPO_URL")
    if not url:
        print("skipped: TEMPO_URL names no Tempo")
        return
    with TempoStore(url, at_once=AT_ONCE) as store:
        service = f"bench-{uuid.uuid4().hex[:12]}"
        range = _write(service, url, traces)
        where = parse(f'service.name = "{service}"')
        ids = _await(store, where, range, traces)
        _measure(store, where, range, ids)


def _measure(store: TempoStore, where: Filter, range: Range, ids: list[str]) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        search = _fastest(lambda: store.search(where, range))
        children = _fastest(lambda: store.spans(ids, range))
        few = ids[: max(10, len(ids) // 10)]  # by id is slow: a tenth of them stands for all
        share = len(ids) / len(few)
        alone = _fastest(lambda: [store.trace(id) for id in few]) * share
        together = _fastest(lambda: list(pool.map(store.trace, few))) * share
    print(f"{len(ids)} traces of {1 + len(fields.STAGES)} spans; by id: {len(few)} of them, scaled up")
    print(f"record spans, by search        {search:7.2f} s")
    print(f"child spans, by lists of ids   {children:7.2f} s")
    print(f"trace by trace, one thread     {alone:7.2f} s   ratio to both {alone / (search + children):5.1f}")
    print(f"trace by trace, {AT_ONCE} threads      {together:7.2f} s   ratio to both {together / (search + children):5.1f}")
    keep("search of traces", (search + children) / together, f"trace by trace, {AT_ONCE} threads", at_most=1.0)


def _fastest(call: Callable[[], object]) -> float:
    times: list[float] = []
    for _ in range(RUNS):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return min(times)


def _write(service: str, url: str, traces: int) -> Range:
    """Traces of the past 100 s: Tempo's default dates blocks back by 2 minutes at most."""
    parts = urlsplit(url)
    endpoint = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", f"{parts.scheme}://{parts.hostname}:4318").rstrip("/")
    start = time.time_ns() - 100 * SECOND
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}
    with httpx.Client(timeout=60) as client:
        for first in range(0, traces, BATCH):
            numbers = range(first, min(traces, first + BATCH))
            spans = [span for n in numbers for span in _spans(start + n * 60 * SECOND // traces, n)]
            body = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]}
            headers = {"Content-Type": "application/json"}
            client.post(f"{endpoint}/v1/traces", content=orjson.dumps(body), headers=headers).raise_for_status()
    return Range(start, start + 100 * SECOND)


def _spans(start: int, number: int) -> list[dict[str, Any]]:
    trace, root = uuid.uuid4().hex, uuid.uuid4().hex[:16]
    attributes = [{"key": field.name, "value": _value(field.dtype, number, start)} for field in fields.FIELDS]
    times = {"startTimeUnixNano": str(start), "endTimeUnixNano": str(start + SECOND)}
    record = {
        "traceId": trace,
        "spanId": root,
        "name": "sonic_generation",
        "attributes": attributes,
        "status": {"code": 1},
        **times,
    }
    stages = [
        {"traceId": trace, "spanId": uuid.uuid4().hex[:16], "parentSpanId": root, "name": name, **times} for name in fields.STAGES
    ]
    return [record, *stages]


def _value(dtype: str, number: int, start: int) -> dict[str, Any]:
    match dtype:
        case "int":
            return {"intValue": str(number % 50)}
        case "float":
            return {"doubleValue": number * 0.37}
        case "bool":
            return {"boolValue": number % 2 == 0}
        case "time":
            return {"intValue": str(start)}
        case "list":
            return {"arrayValue": {"values": [{"stringValue": "fps_high"}]}}
        case _:
            return {"stringValue": f"text {number % 30}"}


def _await(store: TempoStore, where: Filter, range: Range, traces: int) -> list[str]:
    give_up = time.monotonic() + WAIT_S
    while True:
        ids = store.search(where, range).table["trace_id"].to_pylist()
        if len(ids) >= traces:
            return ids
        if time.monotonic() > give_up:
            raise SystemExit(f"only {len(ids)} of {traces} traces can be searched after {WAIT_S} s")
        time.sleep(2)


if __name__ == "__main__":
    main()
