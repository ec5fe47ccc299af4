"""What is read once, remembered over restarts, and when a segment may be deleted."""

from __future__ import annotations

import random
import time
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.compact import Compactor
from telemetry.journal import Journal
from telemetry.manifest import read_manifest
from telemetry.segments import seal_orphans
from telemetry.shipping.checkpoints import Checkpoints, Delivered, Ranges
from telemetry.shipping.tail import Line, Tail

OPEN = 60.0
"""Seconds without a write that leave a segment open for the length of a test."""


@given(st.permutations(range(12)))
def test_ranges_that_touch_become_one_in_any_order(order: list[int]) -> None:
    ranges = Ranges()
    for number in order:
        assert not ranges.holds(number * 5)
        ranges.add(number * 5, number * 5 + 5)
        assert ranges.holds(number * 5 + 4)
        assert ranges.begin in (0, *(5 * n for n in range(1, 13)))
    assert ranges.spans == [(0, 60)]
    assert (ranges.begin, ranges.bytes) == (60, 60)


def tail(folder: Path) -> Tail:
    return Tail(folder / "journal", "events", Checkpoints(folder / "checkpoints.db"))


def read(tail: Tail) -> list[Line]:
    tail.scan()
    return tail.read(10**9)


def test_a_line_is_returned_once_while_its_segment_grows_and_is_sealed(tmp_path: Path) -> None:
    journal, reader = Journal(tmp_path / "journal", idle_s=OPEN), tail(tmp_path)
    seen: list[bytes] = []
    for number in range(5):
        journal.write("events", b"%d" % number)
        seen += [line.data for line in read(reader)]
    assert seen == [b"0", b"1", b"2", b"3", b"4"]
    journal.close()
    assert read(reader) == []


def test_the_next_process_gets_exactly_what_was_not_acknowledged(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    for number in range(100):
        journal.write("events", b"%d" % number)
    journal.close()
    first = tail(tmp_path)
    lines = read(first)
    chosen = random.Random(1).sample(lines, 60)
    first.acknowledge(chosen, {"delivered": 60})
    again = tail(tmp_path)
    assert {line.data for line in read(again)} == {line.data for line in lines} - {line.data for line in chosen}
    assert again.counters == {"delivered": 60}


def test_a_segment_may_be_deleted_once_all_of_it_is_acknowledged(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", idle_s=OPEN)
    journal.write("events", orjson.dumps({"@timestamp": "2026-11-22T10:00:00Z", "event_id": "1"}))
    reader, delivered = tail(tmp_path), Delivered(tmp_path / "checkpoints.db", ["events"])
    (line,) = read(reader)
    assert not delivered(line.segment)
    reader.acknowledge([line], {})
    assert not delivered(line.segment), "it may still grow"
    journal.close()
    compactor = Compactor(tmp_path / "journal", tmp_path / "parquet", delivered=delivered)
    assert compactor.run_once().segments == {line.segment}
    read(reader)
    assert delivered(line.segment)
    assert Delivered(tmp_path / "checkpoints.db", ["spans"])(line.segment), "nobody forwards events"
    assert not Delivered(tmp_path / "nothing.db", ["events"])(line.segment)
    compactor.run_once()
    assert not list((tmp_path / "journal" / "sealed").glob("*"))
    assert reader.counters.get("vanished", 0) == 0
    read(reader)
    assert tail(tmp_path).counters.get("vanished", 0) == 0, "compacted and delivered is not lost"


def test_a_compactor_that_died_between_deleting_and_noting_it_does_not_wait_for_ever(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.write("events", orjson.dumps({"@timestamp": "2026-11-22T10:00:00Z", "event_id": "1"}))
    journal.close()
    compactor = Compactor(tmp_path / "journal", tmp_path / "parquet", delivered=lambda _: False)
    compactor.run_once()
    (path,) = (tmp_path / "journal" / "sealed").glob("*")
    path.unlink()
    compactor.run_once()
    assert read_manifest(tmp_path / "parquet").segments == frozenset()


def test_a_segment_that_somebody_deleted_is_counted(tmp_path: Path) -> None:
    journal, reader = Journal(tmp_path / "journal"), tail(tmp_path)
    journal.write("events", b"{}")
    journal.close()
    lines = read(reader)
    next((tmp_path / "journal" / "sealed").glob("*")).unlink()
    reader.scan()
    assert reader.counters["vanished"] == 1
    reader.acknowledge(lines, {})  # what was on its way is not an error


def test_a_torn_line_of_a_dead_writer_is_counted_and_does_not_hold_the_segment(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    folder.mkdir()
    (folder / "h-b-1-0.events.jsonl").write_bytes(b'{"a":1}\n{"a":')
    reader = tail(tmp_path)
    (line,) = read(reader)
    assert reader.backlog > 0
    seal_orphans(folder)
    assert read(reader) == []
    reader.acknowledge([line], {})
    assert reader.counters["torn"] == 1
    assert reader.backlog == 0
    assert Delivered(tmp_path / "checkpoints.db", ["events"])(line.segment)


def test_a_line_longer_than_a_chunk_comes_whole(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.write("events", b"x" * 3_500_000)
    assert [len(line.data) for line in read(tail(tmp_path))] == [3_500_000]
    journal.close()


def test_the_lag_is_that_of_the_oldest_line_even_in_a_segment_that_is_written_to(tmp_path: Path) -> None:
    journal, reader = Journal(tmp_path / "journal", idle_s=OPEN), tail(tmp_path)
    assert reader.oldest is None
    before = time.time()
    journal.write("events", b"{}")
    (line,) = read(reader)
    time.sleep(1.1)
    journal.write("events", b"{}")
    read(reader)
    assert reader.oldest == pytest.approx(before, abs=0.5)
    reader.acknowledge([line], {})
    assert reader.oldest == pytest.approx(before + 1.1, abs=0.5)
    journal.close()
