"""Whatever dies, stops, fills up or refuses: nothing that was written is lost, and nothing is there twice."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from telemetry.manifest import read_manifest
from telemetry.segments import Kind
from tests.conftest import want_elasticsearch
from tests.servers.collector import Collector
from tests.servers.elasticsearch import Elasticsearch
from tests.servers.faulty import Faulty
from tests.telemetry.losses import CASES, LIMITS, Actors, Row, documents, forwarder_killed, measure

pytestmark = [pytest.mark.server, pytest.mark.chaos, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def breakable() -> Iterator[Elasticsearch]:
    """One of our own, with small limits."""
    want_elasticsearch()
    server = Elasticsearch(settings=LIMITS)
    server.start()
    yield server
    server.stop()


def nothing_is_lost(rows: list[Row]) -> None:
    for row in rows:
        assert row.written > 100, row
        assert (row.lost, row.doubled) == (0, 0), row
        assert row.found == row.written, row
        assert row.acknowledged == row.written, row


@pytest.mark.parametrize("case", CASES)
def test_nothing_is_lost_and_nothing_is_doubled(
    tmp_path: Path, breakable: Elasticsearch, faulty: Faulty, index: str, case: str
) -> None:
    rows = measure(case, Actors(tmp_path, breakable, faulty, index), CASES[case])
    nothing_is_lost(rows)
    assert rows[1].again == 0 or "answers lost" in case or "killed" in case, rows


def test_a_collector_gets_every_span_of_a_forwarder_that_is_killed(
    tmp_path: Path, breakable: Elasticsearch, collector: Collector, index: str
) -> None:
    rows = measure("collector", Actors(tmp_path, breakable, collector, index), forwarder_killed)
    nothing_is_lost(rows)


def test_a_compactor_beside_the_forwarder_deletes_only_what_was_delivered(
    tmp_path: Path, breakable: Elasticsearch, faulty: Faulty, index: str
) -> None:
    compact = [sys.executable, "-m", "telemetry.compact", str(tmp_path), "--forwarded", "spans", "--forwarded", "events"]
    actors = Actors(tmp_path, breakable, faulty, index)
    compactor = subprocess.Popen([*compact, "--every", "0.3"])
    try:
        for _ in range(3):
            faulty.behave(status=503)
            actors.until("spans", "retries")
            faulty.behave()
            actors.kill_a_writer()
            actors.until("spans", "delivered", 100)
        status = actors.end()
    finally:
        actors.kill()
        compactor.terminate()
        compactor.wait()
    for _ in range(2):
        subprocess.run(compact, check=True)
    assert list((tmp_path / "journal" / "sealed").glob("*")) == []
    stored: dict[Kind, list[str]] = {"events": documents(breakable.url, index), "spans": faulty.accepted()}
    for kind, found in stored.items():
        files = read_manifest(tmp_path / "parquet").of(kind)
        column = "event_id" if kind == "events" else "span_id"
        written = [id for file in files for id in pq.read_table(tmp_path / "parquet" / file.name)[column].to_pylist()]
        assert len(written) == len(set(written)) > 100
        assert set(found) == set(written)
        assert status[kind]["vanished"] == 0
