"""The loss matrix: real writers, a real forwarder, real servers, and somebody who breaks them.

python -m tests.telemetry.losses         # every case, as the table of docs/stores.md
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import orjson

from telemetry.segments import Kind, read_lines
from tests.servers.collector import Collector
from tests.servers.elasticsearch import Elasticsearch
from tests.servers.faulty import Faulty
from tests.servers.process import wait_for
from tests.telemetry.forwarding import Process, status

LIMITS: dict[str, object] = {"indexing_pressure.memory.limit": "200kb", "http.max_content_length": "1mb"}
"""Elasticsearch refuses bulks of more than 200 kB (429) and 1 MB (413) in every case."""
_WRITER = Path(__file__).parents[1] / "servers" / "writer.py"


@dataclass(frozen=True)
class Row:
    """One line of the table: `again` lines were sent more than once, `doubled` stand more than once where they are kept."""

    case: str
    kind: Kind
    written: int
    acknowledged: int
    found: int
    lost: int
    doubled: int
    again: int
    retries: int


class Actors:
    """Who takes part: two writers, a forwarder, Elasticsearch, and a receiver of spans."""

    def __init__(self, folder: Path, elastic: Elasticsearch, receiver: Faulty | Collector, index: str) -> None:
        self.folder = folder
        self.elastic = elastic
        self.receiver = receiver
        self.index = index
        self.rng = random.Random(index)
        self._notes: list[Path] = []
        self.writers = [self._writer() for _ in range(2)]
        self.forwarder = Process(
            folder, ELASTICSEARCH_URL=elastic.url, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url, SONOSCOPE_ELASTICSEARCH_INDEX=index
        )
        self.forwarder.wait_until_it_works()

    def wait(self, low: float, high: float) -> None:
        """A random while."""
        time.sleep(self.rng.uniform(low, high))

    def until(self, kind: Kind, counter: str, more: int = 1) -> None:
        """Returns once a counter has grown: the trouble is felt."""
        before = status(self.folder, kind).get(counter, 0)
        message = f"{kind}: {counter} stays at {before}"
        wait_for(lambda: status(self.folder, kind).get(counter, 0) >= before + more, 90, lambda: message)

    def kill_a_writer(self) -> None:
        """One dies at once, another takes its place."""
        dead = self.writers.pop(0)
        dead.kill()
        dead.wait()
        self.writers.append(self._writer())

    def end(self) -> dict[str, dict[str, int]]:
        """The writers end, and what is left is shipped; the forwarder's last status by kind."""
        for writer in self.writers:
            writer.terminate()
        for writer in self.writers:
            assert writer.wait(60) == 0
        self.forwarder.stop()
        return self.forwarder.once(for_s=120.0)

    def kill(self) -> None:
        """Leaves nobody behind."""
        for process in (*self.writers, self.forwarder.process):
            if process is not None:
                process.kill()
                process.wait()

    def promised(self) -> set[str]:
        """Requests whose record a writer has called written."""
        return {id for path in self._notes for id in path.read_text().split()}

    def _writer(self) -> subprocess.Popen[bytes]:
        """One that has begun: a process takes seconds to start on a busy machine."""
        notes = self.folder / f"notes-{len(self._notes)}.txt"
        self._notes.append(notes)
        writer = subprocess.Popen([sys.executable, str(_WRITER), str(self.folder), str(notes)])
        wait_for(notes.exists, 60, lambda: "a writer does not write")
        return writer


def measure(case: str, actors: Actors, disturb: Callable[[Actors], None]) -> list[Row]:
    """Disturbs, ends, and counts. Raises AssertionError where a promised request is not in the journal."""
    try:
        disturb(actors)
        ended_with = actors.end()
    finally:
        actors.kill()
    journal = actors.folder / "journal"
    events = [orjson.loads(line) for line in read_lines(journal, "events")]
    ended = {event["request_id"] for event in events if event["event_type"] == "business_output"}
    assert actors.promised() <= ended
    spans = [orjson.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["spanId"] for line in read_lines(journal, "spans")]
    stored = documents(actors.elastic.url, actors.index)
    received = _received(actors.receiver, len(spans))
    twice = len(stored) - len(set(stored))
    return [
        _row(case, "events", [event["event_id"] for event in events], stored, ended_with["events"], twice),
        _row(case, "spans", spans, received, ended_with["spans"], 0),
    ]


def _received(receiver: Faulty | Collector, expected: int) -> list[str]:
    if isinstance(receiver, Faulty):
        return receiver.accepted()
    deadline = time.monotonic() + 10  # it writes its file once a second
    while len(found := [span["spanId"] for span in receiver.spans()]) < expected and time.monotonic() < deadline:
        time.sleep(0.2)
    return found


def _row(case: str, kind: Kind, written: list[str], found: list[str], counted: dict[str, int], doubled: int) -> Row:
    distinct = set(found)
    return Row(
        case,
        kind,
        written=len(written),
        acknowledged=counted["delivered"],
        found=len(distinct & set(written)),
        lost=len(set(written) - distinct),
        doubled=doubled,
        again=len(found) - len(distinct),
        retries=counted["retries"],
    )


def documents(url: str, index: str) -> list[str]:
    """The event ids of every document."""
    httpx.post(f"{url}/{index}-*/_refresh", timeout=60).raise_for_status()
    found: list[str] = []
    after: list[str] = []
    while True:
        body = {"size": 10_000, "_source": ["event_id"], "sort": ["event_id"], **({"search_after": after} if after else {})}
        hits = httpx.post(f"{url}/{index}-*/_search", json=body, timeout=60).raise_for_status().json()["hits"]["hits"]
        found += [hit["_source"]["event_id"] for hit in hits]
        if len(hits) < 10_000:
            return found
        after = hits[-1]["sort"]


def forwarder_killed(actors: Actors) -> None:
    """The forwarder is killed six times at random moments of its work."""
    for _ in range(6):
        actors.forwarder.wait_until_it_works()
        actors.wait(0.0, 2.0)
        actors.forwarder.restart()


def writers_killed(actors: Actors) -> None:
    """Writers are killed six times in the middle of what they do."""
    for _ in range(6):
        actors.wait(0.5, 2.0)
        actors.kill_a_writer()


def paused(actors: Actors) -> None:
    """Elasticsearch hears nothing for eight seconds, the receiver is slow; the forwarder dies meanwhile."""
    _misbehave(actors, slow_s=1.0)
    actors.until("events", "delivered")
    actors.elastic.pause()
    actors.wait(3.0, 4.0)
    actors.forwarder.restart()
    actors.wait(4.0, 5.0)
    actors.elastic.resume()
    actors.until("events", "delivered")
    _misbehave(actors)


def killed(actors: Actors) -> None:
    """Elasticsearch and the receiver are killed under load and come back."""
    actors.until("events", "delivered", 100)
    actors.elastic.kill()
    actors.receiver.kill()
    actors.until("events", "retries")
    actors.until("spans", "retries")
    actors.receiver.start()
    actors.elastic.start()
    actors.until("events", "delivered", 100)


def disk_full(actors: Actors) -> None:
    """The indices become read-only, as a disk at its flood stage makes them; the receiver says 503 to most."""
    actors.until("events", "delivered", 100)
    _misbehave(actors, status=503, share=0.7)
    actors.elastic.put_settings(f"/{actors.index}-*/_settings", {"index.blocks.read_only_allow_delete": True})
    actors.until("events", "retries", 2)
    actors.until("spans", "retries", 2)
    actors.elastic.put_settings(f"/{actors.index}-*/_settings", {"index.blocks.read_only_allow_delete": None})
    _misbehave(actors)


def overloaded(actors: Actors) -> None:
    """The receiver takes 60 kB at a time (413) and says 429 to half of it; then half of its answers get lost."""
    _misbehave(actors, status=429, share=0.5, max_bytes=60_000)
    actors.until("spans", "retries", 5)
    _misbehave(actors, drop=0.5)
    actors.until("spans", "retries", 5)
    _misbehave(actors)


CASES: dict[str, Callable[[Actors], None]] = {
    "forwarder killed −9, six times": forwarder_killed,
    "writers killed −9, six times": writers_killed,
    "Elasticsearch stopped (SIGSTOP), receiver slow, forwarder killed": paused,
    "Elasticsearch and receiver killed −9, restarted": killed,
    "disk of Elasticsearch full, receiver 503": disk_full,
    "receiver 413 and 429, answers lost": overloaded,
}


def _misbehave(actors: Actors, **mode: float) -> None:
    assert isinstance(actors.receiver, Faulty)
    actors.receiver.behave(**mode)


@contextmanager
def receiver() -> Iterator[Faulty]:
    """A receiver that is ended afterwards."""
    server = Faulty()
    server.start()
    try:
        yield server
    finally:
        server.stop()


def main() -> None:
    """Prints the table."""
    elastic = Elasticsearch(settings=LIMITS)
    elastic.start()
    print("| case | kind | written | acknowledged | found | lost | doubled | sent again | retries |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    try:
        for number, (case, disturb) in enumerate(CASES.items()):
            with tempfile.TemporaryDirectory() as name, receiver() as server:
                for row in measure(case, Actors(Path(name), elastic, server, f"losses{number}"), disturb):
                    numbers = (row.written, row.acknowledged, row.found, row.lost, row.doubled, row.again, row.retries)
                    print(f"| {case} | {row.kind} | {' | '.join(map(str, numbers))} |", flush=True)
    finally:
        elastic.stop()


if __name__ == "__main__":
    main()
