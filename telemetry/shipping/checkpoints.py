"""What has been acknowledged, in one SQLite file: byte ranges of each segment, and the numbers that doctor shows.

A commit survives the death of the process. After a power cut the last commits may be missing: then a few lines are sent again,
which the receivers recognise by their ids.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from bisect import bisect_right, insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from telemetry.segments import Kind
from telemetry.sqlite import transaction

NAME = "checkpoints.db"
_TABLES = """
    CREATE TABLE IF NOT EXISTS segments (name TEXT PRIMARY KEY, kind TEXT NOT NULL, ranges BLOB NOT NULL, done INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS counters (kind TEXT, name TEXT, value INTEGER NOT NULL, PRIMARY KEY (kind, name));
"""

_OPENING = threading.Lock()
"""The change to WAL fails where another connection holds a lock: the threads of one forwarder open one after the other."""


@dataclass
class Ranges:
    """Half-open ranges of bytes, sorted, none touching another."""

    spans: list[tuple[int, int]] = field(default_factory=list)

    def add(self, start: int, end: int) -> None:
        """Adds one range, which overlaps none; neighbours become one."""
        place = bisect_right(self.spans, (start, end))
        if place < len(self.spans) and self.spans[place][0] == end:
            end = self.spans.pop(place)[1]
        if place and self.spans[place - 1][1] == start:
            start = self.spans.pop(place - 1)[0]
        insort(self.spans, (start, end))

    def holds(self, offset: int) -> bool:
        """Whether the byte at `offset` is in a range."""
        place = bisect_right(self.spans, (offset, 2**63))
        return bool(place) and self.spans[place - 1][1] > offset

    @property
    def begin(self) -> int:
        """Everything before this offset is in."""
        return self.spans[0][1] if self.spans and self.spans[0][0] == 0 else 0

    @property
    def bytes(self) -> int:
        """How many bytes are in."""
        return sum(end - start for start, end in self.spans)


class Checkpoints:
    """The writing end, one a thread. Every method raises sqlite3.OperationalError where the disk is full."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, timeout=30.0, isolation_level=None)
        with _OPENING:
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.executescript(_TABLES)

    def ranges(self, kind: Kind) -> dict[str, tuple[Ranges, bool]]:
        """What is acknowledged of each segment, and whether all of it is and it will not grow."""
        rows = self._connection.execute("SELECT name, ranges, done FROM segments WHERE kind = ?", (kind,)).fetchall()
        return {name: (Ranges([(a, b) for a, b in orjson.loads(spans)]), bool(done)) for name, spans, done in rows}

    def counters(self, kind: Kind) -> dict[str, int]:
        """The counters of a kind by their names."""
        return dict(self._connection.execute("SELECT name, value FROM counters WHERE kind = ?", (kind,)).fetchall())

    def write(self, kind: Kind, segments: Mapping[str, tuple[Ranges, bool]], counts: Mapping[str, int]) -> None:
        """Replaces what is known of these segments and adds to the counters, as one."""
        rows = [(name, kind, orjson.dumps(ranges.spans), int(done)) for name, (ranges, done) in segments.items()]
        with transaction(self._connection):
            self._connection.executemany("INSERT OR REPLACE INTO segments VALUES (?, ?, ?, ?)", rows)
            self._connection.executemany(
                "INSERT INTO counters VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = value + excluded.value",
                [(kind, name, value) for name, value in counts.items()],
            )

    def forget(self, names: Iterable[str]) -> None:
        """Forgets segments whose files are gone; their names never come back."""
        with transaction(self._connection):
            self._connection.executemany("DELETE FROM segments WHERE name = ?", [(name,) for name in names])

    def close(self) -> None:
        """Lets the file go."""
        self._connection.close()


class Delivered:
    """Asked by the compactor: may this segment be deleted? Kinds that nobody forwards are always delivered."""

    def __init__(self, path: Path, kinds: Iterable[Kind]) -> None:
        self._path = path
        self._kinds = frozenset(kinds)

    def __call__(self, name: str) -> bool:
        """True where every byte of the segment was acknowledged. No file of checkpoints yet: nothing was."""
        if name.rsplit(".", 2)[-2] not in self._kinds:
            return True
        if not self._path.exists():
            return False
        with contextlib.closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=30.0)) as connection:
            try:
                row = connection.execute("SELECT done FROM segments WHERE name = ?", (name,)).fetchone()
            except sqlite3.OperationalError:  # made this moment: no tables yet
                return False
        return bool(row and row[0])
