"""What do the stores cost beside a plain client? Prints ratios from one run; wants a real Elasticsearch.

    python -m bench.stores [--tiny] [--elasticsearch-url URL]

Without an address it starts the Elasticsearch that `make servers` fetched. Reading: every event of an index into Arrow, by our
store and by a loop over the client (`helpers.scan`, then `pa.Table.from_pylist`). Writing: the events of a journal by the
forwarder, which remembers what was acknowledged, and by a loop over the client's `helpers.bulk`. Each is the fastest of three.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import orjson
import pyarrow as pa
from elasticsearch import Elasticsearch, helpers

from analytics.stores.base import Range
from analytics.stores.elasticsearch import ElasticLogs
from bench.ratios import keep
from telemetry import fields
from telemetry.context import RequestContext
from telemetry.forward import Forwarder, Forwarding
from telemetry.ids import new_traceparent
from telemetry.record import RequestRecord
from telemetry.segments import read_lines
from telemetry.shipping import template
from telemetry.shipping.checkpoints import NAME
from telemetry.shipping.connect import Elastic
from telemetry.tables import schema
from telemetry.tracing import setup

RUNS = 3
START = 1_795_000_000_000_000_000


def fill(folder: Path, requests: int) -> int:
    """A journal of requests with four events each, as the service writes them; returns how many events."""
    telemetry = setup("bench", folder)
    measured = {
        "audio_drift_ms": 12.5,
        "latency_s": 3.2,
        "rtf": 0.4,
        "run_inference_ms": 2100.0,
        "status": "ok",
        "http_status": 200,
    }
    for number in range(requests):
        parent = new_traceparent()
        context = RequestContext(f"r{number:08}", parent, job_id=f"j{number}", identity={"trace_id": parent.split("-")[1]})
        for kind in ("request_received", "input_success", "inference_complete"):
            telemetry.events.log_event(kind, context)
        values = {**fields.defaults(), **measured, "inference_steps": number % 50 + 1}
        RequestRecord(telemetry, context, started_ns=time.time_ns(), values=values).finish()
    telemetry.shutdown()
    return 4 * requests


def forwarded(folder: Path, url: str, index: str) -> int:
    """The forwarder, from a folder that it has not seen."""
    for path in folder.glob(f"{NAME}*"):
        path.unlink()
    status = Forwarder(Forwarding(folder, elastic=Elastic(url, index=index)), threading.Event(), drain=True).run(for_s=600.0)
    return status["kinds"]["events"]["delivered"]


def bulk_loop(folder: Path, url: str, index: str) -> int:
    """What a person would write: the lines, parsed, by the client's own helper, 5,000 at a time."""
    client = Elasticsearch(url, request_timeout=60)
    client.indices.put_index_template(name=index, **template.body(index, None))

    def actions() -> Iterator[dict[str, object]]:
        for line in read_lines(folder / "journal", "events"):
            event = orjson.loads(line)
            day = event["@timestamp"][:10].replace("-", ".")
            yield {"_op_type": "create", "_index": f"{index}-{day}", "_id": event["event_id"], "_source": event}

    done, _ = helpers.bulk(client, actions(), chunk_size=5000, max_chunk_bytes=4_000_000)
    client.close()
    return done


def pulled(url: str, index: str) -> int:
    """Our store."""
    store = ElasticLogs(url, index=index)
    rows = store.search(None, Range(0, None)).table.num_rows
    store.close()
    return rows


def client_loop(url: str, index: str) -> int:
    """What a person would write: scan, then Arrow in the schema of the events, 10,000 at a time."""
    client = Elasticsearch(url, request_timeout=60)
    known = schema("events")
    times = {name for name in known.names if pa.types.is_timestamp(known.field(name).type)}
    names = {"@timestamp": "logged_at", "trace.id": "trace_id", "span.id": "span_id", "service.name": "service_name",
             "service.version": "service_version", "deployment.environment.name": "environment", "host.name": "host_name",
             "process.pid": "process_pid"}  # fmt: skip
    typed = pa.schema([pa.field(field.name, pa.string()) if field.name in times else field for field in known])
    tables: list[pa.Table] = []
    rows: list[dict[Any, Any]] = []
    for hit in helpers.scan(client, index=f"{index}-*", size=10_000, query={"query": {"match_all": {}}}):
        rows.append({names.get(key, key): value for key, value in hit["_source"].items()})
        if len(rows) == 10_000:
            tables.append(pa.Table.from_pylist(rows, schema=typed).cast(known))
            rows = []
    tables.append(pa.Table.from_pylist(rows, schema=typed).cast(known))
    client.close()
    return pa.concat_tables(tables).num_rows


def fastest(question: Callable[[], int], expected: int) -> float:
    """Seconds of the fastest of RUNS. Raises AssertionError where the answer is not the expected one."""
    seconds: list[float] = []
    for _ in range(RUNS):
        start = time.perf_counter()
        found = question()
        seconds.append(time.perf_counter() - start)
        assert found == expected, (found, expected)
    return min(seconds)


def elasticsearch(url: str, requests: int) -> None:
    """Prints writing and reading, each beside its rival."""
    prefix = f"bench{uuid4().hex[:8]}"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        events = fill(folder, requests)
        numbers = iter(range(100))
        ours = fastest(lambda: forwarded(folder, url, f"{prefix}a{next(numbers)}"), events)
        theirs = fastest(lambda: bulk_loop(folder, url, f"{prefix}b{next(numbers)}"), events)
        report("forwarder", events, ours, theirs, "helpers.bulk")
        httpx.post(f"{url}/{prefix}a0-*/_refresh", timeout=60).raise_for_status()
        ours = fastest(lambda: pulled(url, f"{prefix}a0"), events)
        theirs = fastest(lambda: client_loop(url, f"{prefix}a0"), events)
        report("events into Arrow", events, ours, theirs, "helpers.scan and from_pylist")
    for index in httpx.get(f"{url}/_resolve/index/{prefix}*", timeout=60).json()["indices"]:
        httpx.delete(f"{url}/{index['name']}", timeout=60)
    httpx.delete(f"{url}/_index_template/{prefix}*", timeout=60)


def report(what: str, rows: int, ours: float, theirs: float, rival: str) -> None:
    """One line: rates and their ratio (above 1: faster than the rival)."""
    print(f"{what}: {rows / ours:.0f} rows/s, {rival} {rows / theirs:.0f} rows/s: {theirs / ours:.2f}x ({rows} rows)", flush=True)
    keep(f"{what}, rows a second", theirs / ours, rival, at_least=1.0 if rows >= 50_000 else None)


@contextmanager
def server(url: str | None) -> Iterator[str]:
    """The address that was given, or a server of our own while it is used."""
    if url:
        yield url
        return
    from tests.servers.elasticsearch import Elasticsearch as Server

    own = Server()
    own.start()
    try:
        yield own.url
    finally:
        own.stop()


def main() -> None:
    """Prints one line a measurement."""
    parser = argparse.ArgumentParser(prog="python -m bench.stores")
    parser.add_argument("--tiny", action="store_true", help="a few hundred requests: only to see that it runs")
    parser.add_argument("--elasticsearch-url", help="a running Elasticsearch to use")
    given = parser.parse_args()
    with server(given.elasticsearch_url) as url:
        elasticsearch(url, 200 if given.tiny else 25_000)


if __name__ == "__main__":
    main()
