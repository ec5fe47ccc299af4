"""A reader in the middle of compaction sees every row once, whoever is killed when."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pyarrow.parquet as pq
import pytest

from analytics.stores.snapshot import Reader
from telemetry.compact import Compactor
from telemetry.journal import Journal

WRITER = """
import sys, pathlib, itertools, orjson, time
from telemetry.journal import Journal
folder, name = pathlib.Path(sys.argv[1]), sys.argv[2]
journal = Journal(folder / "journal", max_bytes=4000, idle_s=0.05)
with (folder / f"{name}.done").open("w", buffering=1) as done:
    for n in itertools.count():
        event = {"@timestamp": "2026-11-22T10:00:00Z", "event_type": "advice", "event_id": f"{name}-{n}"}
        assert journal.write("events", orjson.dumps(event))
        done.write(f"{n}\\n")
        time.sleep(0.0005)
"""
COMPACTOR = """
import sys, pathlib, time
from telemetry.compact import Compactor, CompactorBusy
folder = pathlib.Path(sys.argv[1])
hour = [time.time()]
def now():
    hour[0] += 1800  # every second look at the clock is another hour: merging goes on all the time
    return hour[0]
while True:
    Compactor(folder / "journal", folder / "parquet", grace_s=1e9, now=now).run_once()
    print("round", flush=True)
"""


def start(script: str, *arguments: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", script, *map(str, arguments)], stdout=subprocess.DEVNULL)


def kill(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def acknowledged(folder: Path) -> set[str]:
    """What the writers have been told is written."""
    return {f"{path.stem}-{line}" for path in folder.glob("*.done") for line in path.read_text().split("\n")[:-1]}


def seen(reader: Reader) -> list[str]:
    snapshot = reader.take()
    ids = snapshot.live["events"].table["event_id"].to_pylist()
    for path in snapshot.paths("events"):
        ids += pq.read_table(path, columns=["event_id"])["event_id"].to_pylist()
    return ids


@pytest.mark.chaos
def test_readers_see_every_row_once_while_writers_and_compactors_are_killed(tmp_path: Path) -> None:
    chance = random.Random(7)
    reader = Reader(tmp_path / "journal", tmp_path / "parquet")
    writers = [start(WRITER, tmp_path, f"w{n}") for n in range(2)]
    compacting, looks, deaths, last = start(COMPACTOR, tmp_path), 0, 0, 0
    try:
        started, die_at = time.monotonic(), time.monotonic() + 1.5
        while time.monotonic() - started < 14:
            written = acknowledged(tmp_path)
            ids = seen(reader)
            looks += 1
            assert len(ids) == len(set(ids)), "a row was seen twice"
            assert written <= set(ids), "a row was missed"
            assert len(ids) >= last
            last = len(ids)
            if time.monotonic() > die_at:
                assert compacting.poll() is None, "the compactor ended by itself"
                kill(compacting)
                compacting, deaths = start(COMPACTOR, tmp_path), deaths + 1
                if deaths == 3:
                    kill(writers[0])
                    writers[0] = start(WRITER, tmp_path, "w2")
                die_at = time.monotonic() + chance.uniform(0.7, 1.3)
    finally:
        for process in (*writers, compacting):
            kill(process)
    assert looks > 10
    assert deaths >= 5
    written = acknowledged(tmp_path)
    Compactor(tmp_path / "journal", tmp_path / "parquet").run_once()
    ids = seen(Reader(tmp_path / "journal", tmp_path / "parquet"))
    assert len(ids) == len(set(ids))
    assert written <= set(ids)
    assert not list((tmp_path / "journal").glob("**/*.jsonl")), "everything is in Parquet"


def test_a_segment_that_grows_is_read_from_where_the_last_look_ended(tmp_path: Path) -> None:
    journal, reader = Journal(tmp_path / "journal"), Reader(tmp_path / "journal", tmp_path / "parquet")
    for n in range(3):
        journal.write("events", orjson.dumps({"@timestamp": "2026-11-22T10:00:00Z", "event_type": "advice", "event_id": f"{n}"}))
        assert sorted(seen(reader)) == [str(i) for i in range(n + 1)]
    journal.close()
    assert sorted(seen(reader)) == ["0", "1", "2"]
    Compactor(tmp_path / "journal", tmp_path / "parquet").run_once()
    assert sorted(seen(reader)) == ["0", "1", "2"]


def test_nothing_at_all_is_an_empty_answer(tmp_path: Path) -> None:
    snapshot = Reader(tmp_path / "journal", tmp_path / "parquet").take()
    assert snapshot.files == ()
    assert snapshot.live["spans"].table.num_rows == 0
