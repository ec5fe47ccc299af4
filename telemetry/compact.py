"""Sealed journal segments become Parquet files; hourly ones are merged, old ones are dropped.

One compactor a folder (it holds a lock). Every step is: write new files, swap the manifest, then delete. A compactor that is killed
at any moment leaves either the state before or the state after; what lies around besides is cleared by the next run.

    python -m telemetry.compact DATA_DIR [--every SECONDS]
"""

from __future__ import annotations

import argparse
import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from telemetry.fields import TERMINAL_EVENTS
from telemetry.ids import uuid7
from telemetry.manifest import DataFile, Manifest, Retired, read_manifest, sync_folder, write_manifest
from telemetry.segments import Kind, seal_orphans
from telemetry.shipping.checkpoints import NAME as CHECKPOINTS
from telemetry.shipping.checkpoints import Delivered as DeliveredSegments
from telemetry.tables import schema, table

KINDS: tuple[Kind, ...] = ("spans", "events")
BATCH_BYTES = 64_000_000
"""Journal bytes of one Parquet file at most: 16 full segments, about 0.6 GB of memory at the peak."""
ROW_GROUP = 122_880
"""Rows of a row group: DuckDB's own unit of work."""
GRACE_S = 600.0
"""Seconds for which a file stays after it left the manifest: a reader that began before may take so long."""
PRESSED_GRACE_S = 60.0
"""The same while the folder is beyond its bound of size: reading a million requests takes 11 s (docs/analysis.md)."""

Delivered = Callable[[str], bool]
"""Whether a forwarder has delivered the segment of this name; only then may it be deleted."""

_log = logging.getLogger("sonoscope.compact")


class CompactorBusy(RuntimeError):
    """Another process compacts this folder."""


@dataclass(frozen=True)
class Retention:
    """How long Parquet files are kept: by the age of their newest row, and by their size together; None = no bound.

    A file that left the manifest stays for its readers. It counts, and goes sooner where the bound is passed; so the folder holds
    more than `max_bytes` for a minute after an hour was merged (the hour's old files lie beside the new one), and otherwise not.
    """

    max_age_s: float | None = None
    max_bytes: int | None = None


class Compactor:
    """Compacts one journal into one Parquet folder.

    `delivered`: asked before a segment is deleted; None = nothing is forwarded, a segment goes as soon as it is in Parquet.
    """

    def __init__(
        self,
        journal_dir: Path,
        parquet_dir: Path,
        *,
        delivered: Delivered | None = None,
        retention: Retention | None = None,
        grace_s: float = GRACE_S,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._journal = journal_dir
        self._folder = parquet_dir
        self._delivered = delivered
        self._retention = retention or Retention()
        self._grace_s = grace_s
        self._now = now

    def run_once(self) -> Manifest:
        """Compacts what is sealed, merges past hours, applies retention; returns the manifest as it then is.

        Raises CompactorBusy, and OSError where the disk is full (what was there stays whole).
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with _locked(self._folder):
            manifest = self._clear(read_manifest(self._folder))
            seal_orphans(self._journal)
            manifest = self._compact(manifest)
            manifest = self._merge(manifest)
            manifest = self._retain(manifest)
            return self._clear(manifest)

    def _compact(self, manifest: Manifest) -> Manifest:
        done = manifest.segments
        files, unreadable = list(manifest.files), manifest.unreadable
        for kind in KINDS:
            paths = [path for path in sorted((self._journal / "sealed").glob(f"*.{kind}.jsonl")) if path.name not in done]
            for batch in _batches(paths):
                tables, bad = zip(*(_read(kind, path) for path in batch), strict=True)
                unreadable += sum(bad)
                files.append(self._write(kind, iter(tables), tuple(path.name for path in batch)))
        if len(files) == len(manifest.files):
            return manifest
        return write_manifest(self._folder, replace(manifest, files=tuple(files), unreadable=unreadable))

    def _merge(self, manifest: Manifest) -> Manifest:
        """The files of a past hour become one."""
        this_hour = int(self._now() // 3600)
        groups: dict[tuple[Kind, int], list[DataFile]] = {}
        for file in manifest.files:
            if file.hour < this_hour:
                groups.setdefault((file.kind, file.hour), []).append(file)
        for (kind, hour), group in groups.items():
            if len(group) < 2:
                continue
            segments = tuple(name for file in group for name in file.segments)
            merged = replace(self._write(kind, self._stored(group), segments), hour=hour)
            manifest = manifest.without(frozenset(file.name for file in group), self._now())
            manifest = write_manifest(self._folder, replace(manifest, files=(*manifest.files, merged)))
        return manifest

    def _retain(self, manifest: Manifest) -> Manifest:
        """Drops the oldest files beyond the bounds; one with a segment that still waits for its delivery stays."""
        dropped: set[str] = set()
        waiting = 0
        size = sum(file.bytes for file in manifest.files)
        for file in sorted(manifest.files, key=lambda file: file.max_ns):
            age, bounds = self._now() - file.max_ns / 1e9, self._retention
            old = bounds.max_age_s is not None and age > bounds.max_age_s
            if not old and (bounds.max_bytes is None or size <= bounds.max_bytes):
                continue
            if self._waiting(file):
                waiting += 1
                continue
            dropped.add(file.name)
            size -= file.bytes
        if waiting:
            _log.error("%d Parquet files are beyond the bounds and not delivered yet: they stay, and the disk fills up", waiting)
        return write_manifest(self._folder, manifest.without(frozenset(dropped), self._now())) if dropped else manifest

    def _waiting(self, file: DataFile) -> bool:
        return self._delivered is not None and any(not self._delivered(name) for name in file.segments)

    def _clear(self, manifest: Manifest) -> Manifest:
        """Deletes what the manifest makes needless: delivered segments, files past their grace, files that never came into it."""
        sealed = self._journal / "sealed"
        # One that is not there was deleted just before a compactor died; its delivery may be forgotten by now.
        there = {name for name in manifest.segments if (sealed / name).exists()}
        gone = {name for name in manifest.segments if name not in there or self._delivered is None or self._delivered(name)}
        for name in gone:
            (sealed / name).unlink(missing_ok=True)
        kept = self._lingering(manifest)
        wanted = {file.name for file in (*manifest.files, *kept)}
        for path in self._folder.glob("*.parquet"):
            if path.name not in wanted:
                path.unlink()
        # A name may be forgotten once its file is gone: a reader that listed it reads again when the generation has changed.
        if not gone and kept == manifest.retired:
            return manifest
        files = (replace(file, segments=tuple(name for name in file.segments if name not in gone)) for file in manifest.files)
        return write_manifest(self._folder, replace(manifest, files=tuple(files), retired=kept))

    def _lingering(self, manifest: Manifest) -> tuple[Retired, ...]:
        """The files that left the manifest and stay for readers; fewer where the folder is beyond its bound of size."""
        now, bound = self._now(), self._retention.max_bytes
        kept = sorted((file for file in manifest.retired if file.at > now - self._grace_s), key=lambda file: file.at)
        if bound is None:
            return tuple(kept)
        paths = (self._folder / file.name for file in kept)
        size = sum(file.bytes for file in manifest.files) + sum(path.stat().st_size for path in paths if path.exists())
        while kept and size > bound and kept[0].at <= now - PRESSED_GRACE_S:
            path = self._folder / kept.pop(0).name
            size -= path.stat().st_size if path.exists() else 0
        return tuple(kept)

    def _stored(self, group: list[DataFile]) -> Iterator[pa.Table]:
        """The row groups of stored files in today's schema; an older file has fewer columns, for the schema only grows."""
        for file in group:
            empty = schema(file.kind).empty_table()
            with pq.ParquetFile(self._folder / file.name) as source:
                for number in range(source.num_row_groups):
                    whole = pa.concat_tables([empty, source.read_row_group(number)], promote_options="default")
                    yield whole.select(empty.column_names)

    def _write(self, kind: Kind, tables: Iterator[pa.Table], segments: tuple[str, ...]) -> DataFile:
        """A new file that is on the disk when this returns; it counts once it is in the manifest."""
        path = self._folder / f"{kind}-{uuid7()}.parquet"
        time_column = "end_at" if kind == "spans" else "logged_at"
        rows, low, high = 0, 2**63 - 1, 0
        with pq.ParquetWriter(path, schema(kind), compression="zstd") as writer:
            for chunk in _grouped(kind, tables):
                writer.write_table(chunk, row_group_size=ROW_GROUP)
                times = pc.min_max(chunk[time_column].cast(pa.int64())).as_py()  # pyright: ignore[reportAttributeAccessIssue]
                rows += chunk.num_rows
                low, high = min(low, times["min"] or low), max(high, times["max"] or high)
        with path.open("rb") as file:
            os.fsync(file.fileno())
        sync_folder(self._folder)
        return DataFile(path.name, kind, rows, path.stat().st_size, low, high, int(self._now() // 3600), segments)


def _grouped(kind: Kind, tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """The rows in groups worth writing, request rows before the others: whoever wants only them skips the other row groups."""
    waiting: dict[bool, list[pa.Table]] = {True: [], False: []}
    for piece in tables:
        first = piece["is_record"] if kind == "spans" else pc.is_in(piece["event_type"], pa.array(TERMINAL_EVENTS))  # pyright: ignore[reportAttributeAccessIssue]
        waiting[True].append(piece.filter(first))
        waiting[False].append(piece.filter(pc.invert(first)))  # pyright: ignore[reportAttributeAccessIssue]
        for pieces in waiting.values():
            if sum(part.num_rows for part in pieces) >= ROW_GROUP:
                yield pa.concat_tables(pieces)
                pieces.clear()
    for pieces in waiting.values():
        if pieces and (rest := pa.concat_tables(pieces)).num_rows:
            yield rest


def _read(kind: Kind, path: Path) -> tuple[pa.Table, int]:
    lines = path.read_bytes().split(b"\n")
    torn = bool(lines.pop())  # what follows the last line end: the writer was killed in the middle of it
    rows, unreadable = table(kind, lines)
    return rows, unreadable + torn


def _batches(paths: list[Path]) -> Iterator[list[Path]]:
    batch: list[Path] = []
    size = 0
    for path in paths:
        length = path.stat().st_size
        if batch and size + length > BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(path)
        size += length
    if batch:
        yield batch


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    fd = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CompactorBusy(f"another process compacts {folder}") from error
        yield
    finally:
        os.close(fd)


def main() -> None:
    """Entry point of `python -m telemetry.compact`."""
    parser = argparse.ArgumentParser(prog="python -m telemetry.compact", description="Compacts the journal of a data folder.")
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--every", type=float, metavar="SECONDS", help="go on for ever")
    parser.add_argument("--max-age-s", type=float, metavar="SECONDS", help="delete Parquet whose newest row is older")
    parser.add_argument("--max-bytes", type=int, metavar="BYTES", help="delete the oldest Parquet beyond this size")
    parser.add_argument(
        "--forwarded", action="append", choices=KINDS, default=[], help="what a forwarder ships: it stays until it is acknowledged"
    )
    given = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    retention = Retention(given.max_age_s, given.max_bytes)
    delivered = DeliveredSegments(given.data_dir / CHECKPOINTS, given.forwarded) if given.forwarded else None
    compactor = Compactor(given.data_dir / "journal", given.data_dir / "parquet", delivered=delivered, retention=retention)
    while True:
        compactor.run_once()
        if given.every is None:
            return
        time.sleep(given.every)


if __name__ == "__main__":
    main()
