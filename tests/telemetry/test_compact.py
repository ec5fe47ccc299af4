"""Sealed segments become Parquet with typed columns; nothing is lost, nothing undelivered is deleted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from telemetry import fields
from telemetry.compact import Compactor, CompactorBusy, Retention, _locked
from telemetry.context import RequestContext
from telemetry.ids import new_traceparent
from telemetry.journal import Journal
from telemetry.manifest import Manifest, read_manifest
from telemetry.record import RequestRecord
from telemetry.segments import Kind
from telemetry.tables import schema, table
from telemetry.tracing import setup

HOUR = 3600.0


class Clock:
    """Seconds since 1970, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def write(folder: Path, ids: range, at: str = "2026-11-22T10:00:00.123456789Z") -> None:
    journal = Journal(folder / "journal")
    for number in ids:
        journal.write("events", orjson.dumps({"@timestamp": at, "event_type": "advice", "event_id": str(number)}))
    journal.close()


def compactor(folder: Path, **more: Any) -> Compactor:
    return Compactor(folder / "journal", folder / "parquet", **more)


def stored(folder: Path, kind: Kind = "events") -> pa.Table:
    files = read_manifest(folder / "parquet").of(kind)
    return pa.concat_tables([schema(kind).empty_table(), *(pq.read_table(folder / "parquet" / file.name) for file in files)])


def ids(folder: Path) -> list[int]:
    return sorted(int(id) for id in stored(folder)["event_id"].to_pylist())


def segments(folder: Path) -> list[Path]:
    return list((folder / "journal" / "sealed").glob("*.jsonl"))


def test_a_request_keeps_every_value_in_its_own_type(tmp_path: Path) -> None:
    telemetry = setup("test", tmp_path, version="1.2.3")
    context = RequestContext("r1", new_traceparent(), job_id="j1")
    record = RequestRecord(telemetry, context, started_ns=1_795_000_000_123_456_789, values={"inference_steps": 30, "fps": 25})
    record.update(audio_drift_ms=120.5, cache_hit=True, advice=["inference_steps_high"], house_rule="x")
    row = record.finish()
    telemetry.shutdown()
    compactor(tmp_path).run_once()
    for kind in ("spans", "events"):
        kept = next(found for found in stored(tmp_path, kind).to_pylist() if found["status"])
        for name, value in row.items():
            if name in fields.BY_NAME:
                got = kept[name].value if fields.BY_NAME[name].dtype == "time" else kept[name]
                assert (got, type(got)) == (value, type(value)), name
        assert orjson.loads(kept["extra"])["house_rule"] == "x"
        assert kept["service_version"] == "1.2.3"


def test_the_columns_are_those_of_the_table_of_names() -> None:
    for kind in ("spans", "events"):
        for field in fields.arrow_schema():
            assert schema(kind).field(field.name).type == field.type


def test_a_value_of_the_wrong_type_is_kept_beside_its_column() -> None:
    line = (
        b'{"event_type":"x","@timestamp":"2026-11-22T19:15:30Z","fps":"abc","inference_steps":2.0,"started_at":"junk","seed":1.5}'
    )
    rows, unreadable = table("events", [line, b"junk", b"[]", b"3", b'{"event_type":"x"}'])
    assert unreadable == 4
    (row,) = rows.to_pylist()
    assert (row["fps"], row["inference_steps"], row["started_at"], row["seed"]) == (None, 2, None, None)
    assert orjson.loads(row["extra"]) == {"fps": "abc", "started_at": "junk", "seed": 1.5}


def test_segments_go_once_they_are_in_parquet(tmp_path: Path) -> None:
    write(tmp_path, range(10))
    manifest = compactor(tmp_path).run_once()
    assert ids(tmp_path) == list(range(10))
    assert segments(tmp_path) == []
    assert manifest.segments == frozenset()
    assert compactor(tmp_path).run_once() == manifest, "nothing new: nothing is written"


def test_a_torn_line_is_skipped_and_counted(tmp_path: Path) -> None:
    write(tmp_path, range(3))
    (path,) = segments(tmp_path)
    path.write_bytes(path.read_bytes()[:-20])
    assert compactor(tmp_path).run_once().unreadable == 1
    assert ids(tmp_path) == [0, 1]


def test_a_segment_that_is_not_delivered_stays_and_is_not_compacted_twice(tmp_path: Path) -> None:
    delivered: set[str] = set()
    write(tmp_path, range(5))
    (path,) = segments(tmp_path)
    run = compactor(tmp_path, delivered=delivered.__contains__)
    assert run.run_once().segments == {path.name}
    run.run_once()
    assert ids(tmp_path) == list(range(5))
    delivered.add(path.name)
    assert run.run_once().segments == frozenset()
    assert segments(tmp_path) == []


def test_the_files_of_a_past_hour_are_merged_into_one(tmp_path: Path, clock: Clock) -> None:
    run = compactor(tmp_path, now=clock)
    for start in (0, 10, 20):
        write(tmp_path, range(start, start + 10))
        run.run_once()
    assert len(read_manifest(tmp_path / "parquet").files) == 3
    clock.now += HOUR
    run.run_once()
    manifest = read_manifest(tmp_path / "parquet")
    assert len(manifest.files) == 1
    assert ids(tmp_path) == list(range(30))
    assert len(list((tmp_path / "parquet").glob("*.parquet"))) == 4, "a reader may still be at the old ones"
    clock.now += 601
    run.run_once()
    assert len(list((tmp_path / "parquet").glob("*.parquet"))) == 1


def test_retention_by_age_drops_what_is_delivered_and_only_that(tmp_path: Path, clock: Clock) -> None:
    delivered: set[str] = set()
    run = compactor(tmp_path, now=clock, retention=Retention(max_age_s=HOUR), delivered=delivered.__contains__)
    write(tmp_path, range(5), at="2026-11-22T10:00:00Z")  # long before the clock
    assert run.run_once().files, "not forwarded yet: kept, however old"
    delivered.update(path.name for path in segments(tmp_path))
    assert not run.run_once().files
    write(tmp_path, range(5, 6), at="2027-01-15T08:00:00Z")
    delivered.update(path.name for path in segments(tmp_path))
    assert run.run_once().files, "young enough"


def test_retention_by_size_drops_the_oldest_first(tmp_path: Path) -> None:
    for hour in (3, 1, 2):
        write(tmp_path, range(hour * 10, hour * 10 + 5), at=f"2026-11-22T0{hour}:00:00Z")
        compactor(tmp_path).run_once()
    size = max(file.bytes for file in read_manifest(tmp_path / "parquet").files)
    compactor(tmp_path, retention=Retention(max_bytes=2 * size)).run_once()
    assert ids(tmp_path) == [*range(20, 25), *range(30, 35)]


def test_beyond_the_bound_what_left_the_manifest_goes_after_a_minute(tmp_path: Path, clock: Clock) -> None:
    write(tmp_path, range(5), at="2027-01-15T08:00:00Z")
    first = compactor(tmp_path, now=clock)
    first.run_once()
    size = read_manifest(tmp_path / "parquet").files[0].bytes
    write(tmp_path, range(5, 10), at="2027-01-15T08:00:01Z")
    first.run_once()
    clock.now += HOUR
    bounded = {bound: compactor(tmp_path, now=clock, retention=Retention(max_bytes=bound)) for bound in (2 * size, 100 * size)}

    def there() -> int:
        return len(list((tmp_path / "parquet").glob("*.parquet")))

    bounded[2 * size].run_once()
    assert there() == 3, "merged; a reader may still hold both old files"
    clock.now += 61
    bounded[100 * size].run_once()
    assert there() == 3, "within the bound they stay for their whole grace"
    bounded[2 * size].run_once()
    assert there() <= 2
    assert ids(tmp_path) == list(range(10)), "no row goes"
    clock.now += 600
    bounded[100 * size].run_once()
    assert there() == 1


def test_what_a_killed_compactor_left_is_cleared(tmp_path: Path) -> None:
    write(tmp_path, range(5))
    compactor(tmp_path).run_once()
    (tmp_path / "parquet" / "events-half.parquet").write_bytes(b"PAR1")
    (tmp_path / "parquet" / "manifest.json.part").write_bytes(b"{")
    compactor(tmp_path).run_once()
    assert not (tmp_path / "parquet" / "events-half.parquet").exists()
    assert ids(tmp_path) == list(range(5))


def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, range(5))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("telemetry.compact.write_manifest", full)
        with pytest.raises(OSError, match="No space"):
            compactor(tmp_path).run_once()
    assert len(segments(tmp_path)) == 1
    compactor(tmp_path).run_once()
    assert ids(tmp_path) == list(range(5))


def test_there_is_one_compactor_a_folder(tmp_path: Path) -> None:
    (tmp_path / "parquet").mkdir()
    with _locked(tmp_path / "parquet"), pytest.raises(CompactorBusy):
        compactor(tmp_path).run_once()


def test_a_manifest_of_another_program_is_refused(tmp_path: Path) -> None:
    assert read_manifest(tmp_path) == Manifest()
    (tmp_path / "manifest.json").write_text('{"tables": []}')
    with pytest.raises(ValueError, match="not a manifest"):
        read_manifest(tmp_path)
