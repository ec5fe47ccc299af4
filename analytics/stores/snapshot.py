"""What the files hold at one moment: the Parquet of the manifest and the segments beyond it, every row exactly once."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from telemetry.manifest import DataFile, read_manifest
from telemetry.segments import Kind
from telemetry.tables import schema, table

KINDS: tuple[Kind, ...] = ("spans", "events")
_ATTEMPTS = 50


@dataclass(frozen=True)
class Live:
    """The rows of segments that are not in Parquet yet; `unreadable` lines were skipped, `torn` segments end within a line."""

    table: pa.Table
    unreadable: int
    torn: int


@dataclass(frozen=True)
class Snapshot:
    """Files and live rows that belong together: no row is in both, none is missing."""

    folder: Path
    generation: int
    files: tuple[DataFile, ...]
    live: dict[Kind, Live]
    unreadable: int

    def paths(self, kind: Kind, since_ns: int | None = None) -> list[str]:
        """The Parquet files of one kind that can hold rows from `since_ns` on."""
        wanted = (file for file in self.files if file.kind == kind and file.rows and (since_ns is None or file.max_ns >= since_ns))
        return [str(self.folder / file.name) for file in wanted]


class Reader:
    """Takes snapshots of one journal and its Parquet folder; what it has read of a segment it does not read again."""

    def __init__(self, journal_dir: Path, parquet_dir: Path) -> None:
        self._journal = journal_dir
        self._folder = parquet_dir
        self._seen: dict[str, tuple[int, Live]] = {}

    def take(self) -> Snapshot:
        """The state now. Raises ValueError where the manifest is not ours, OSError where the files cannot be read.

        A compactor may move rows from segments to Parquet meanwhile: then the manifest's generation has changed, and we look again.
        """
        for _ in range(_ATTEMPTS):
            manifest = read_manifest(self._folder)
            live: dict[Kind, Live] = {kind: self._live(kind, manifest.segments) for kind in KINDS}
            if read_manifest(self._folder).generation == manifest.generation:
                unreadable = manifest.unreadable + sum(part.unreadable for part in live.values())
                return Snapshot(self._folder, manifest.generation, manifest.files, live, unreadable)
        raise OSError(f"{self._folder} changed {_ATTEMPTS} times while it was read")

    def position(self) -> tuple[int, tuple[tuple[str, int], ...]]:
        """The manifest's generation and the segments with their sizes: where nothing was written, it is the same."""
        generation, sizes = read_manifest(self._folder).generation, dict[str, int]()
        for folder in (self._journal, self._journal / "sealed"):
            for path in folder.glob("*.jsonl"):
                with contextlib.suppress(FileNotFoundError):
                    sizes[path.name] = path.stat().st_size
        return generation, tuple(sorted(sizes.items()))

    def _live(self, kind: Kind, done: frozenset[str]) -> Live:
        pattern = f"*.{kind}.jsonl"
        # Live first: one that is sealed between the two listings is then in both (and counts once), never in none.
        names = {path.name for path in self._journal.glob(pattern)}
        names |= {path.name for path in (self._journal / "sealed").glob(pattern)}
        parts = [part for name in sorted(names - done) if (part := self._segment(kind, name)) is not None]
        self._seen = {name: seen for name, seen in self._seen.items() if name in names or not name.endswith(pattern[1:])}
        tables = [schema(kind).empty_table(), *(part.table for part in parts)]
        return Live(pa.concat_tables(tables), sum(part.unreadable for part in parts), sum(part.torn for part in parts))

    def _segment(self, kind: Kind, name: str) -> Live | None:
        """The rows of one segment, as far as it is written; None where a compactor has deleted it meanwhile."""
        for path in (self._journal / name, self._journal / "sealed" / name):
            with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
                start, before = self._seen.get(name, (0, None))
                file.seek(start)  # a segment only grows
                content = file.read()
                end = content.rfind(b"\n") + 1
                rows, unreadable = table(kind, content[:end].split(b"\n")[:-1])
                if before is not None:
                    rows = pa.concat_tables([before.table, rows]) if rows.num_rows else before.table
                    unreadable += before.unreadable
                part = Live(rows, unreadable, int(end != len(content)))
                self._seen[name] = (start + end, part)
                return part
        return None
