"""The lines of one kind that nobody has acknowledged yet, read as the journal grows."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from telemetry.segments import Kind
from telemetry.shipping.checkpoints import Checkpoints, Ranges

CHUNK = 1_000_000
"""Bytes read of a segment at a time."""

_log = logging.getLogger("sonoscope.forward")


@dataclass(frozen=True, slots=True)
class Line:
    """A complete line without its end, and where it stands: bytes `start` to `end` (with the line end) of a segment."""

    segment: str
    start: int
    end: int
    data: bytes


@dataclass
class _Segment:
    path: Path
    size: int
    written: float
    sealed: bool
    acked: Ranges
    read_to: int
    done: bool = False
    stalled: int = -1
    """The size at which no further complete line was found: the writer is in the middle of one."""
    marks: list[tuple[float, int]] = field(default_factory=list)
    """When it was seen to have grown, and up to where; what is acknowledged is dropped from the front."""

    @property
    def pending(self) -> int:
        return 0 if self.done else self.size - self.acked.bytes

    def grown(self, path: Path, size: int, written: float, sealed: bool) -> None:
        """Notes what the directory says now."""
        if size > self.size and (not self.marks or written - self.marks[-1][0] >= 1.0):
            self.marks.append((written, size))
        self.path, self.size, self.written, self.sealed = path, size, written, sealed

    @property
    def waiting_since(self) -> float:
        """When its first unacknowledged byte was seen, seconds since 1970."""
        while len(self.marks) > 1 and self.marks[0][1] <= self.acked.begin:
            self.marks.pop(0)
        return self.marks[0][0] if self.marks else self.written


class Tail:
    """One a kind and process. A line is returned once by a process, and again by the next one unless it was acknowledged."""

    def __init__(self, journal: Path, kind: Kind, checkpoints: Checkpoints) -> None:
        self._journal = journal
        self._kind: Kind = kind
        self._checkpoints = checkpoints
        self._known = checkpoints.ranges(kind)
        self._segments: dict[str, _Segment] = {}
        self._dirty: set[str] = set()
        self._counts: dict[str, int] = {}
        self.counters = checkpoints.counters(kind)
        self.checkpoint_error = ""

    def scan(self) -> None:
        """Looks which segments there are and how far they have grown."""
        found: dict[str, _Segment] = {}
        # Live first: one that is sealed between the two listings is then in both, and the second counts.
        for folder, sealed in ((self._journal, False), (self._journal / "sealed", True)):
            for entry in _entries(folder, f".{self._kind}.jsonl"):
                with contextlib.suppress(FileNotFoundError):
                    stat = entry.stat()
                    found[entry.name] = self._seen(entry.name, Path(entry.path), stat.st_size, stat.st_mtime, sealed)
        self._forget(found.keys())
        self._segments = found
        self._dirty |= {name for name, one in found.items() if one.sealed and not one.done and one.pending == 0}
        self.flush()

    def read(self, max_bytes: int) -> list[Line]:
        """Lines that were not returned yet, of the segment that was written to longest ago first; about `max_bytes` at most."""
        lines: list[Line] = []
        for name, segment in sorted(self._segments.items(), key=lambda item: (item[1].written, item[0])):
            while max_bytes > 0 and segment.read_to < segment.size:
                before = segment.read_to
                for line in self._chunk(name, segment):
                    lines.append(line)
                    max_bytes -= len(line.data)
                if segment.read_to == before:
                    segment.stalled = segment.size
                    break
            if max_bytes <= 0:
                break
        return lines

    def acknowledge(self, lines: Iterable[Line], counts: Mapping[str, int]) -> None:
        """Remembers that these lines need not be sent again. A full disk is noted, and tried again with the next call."""
        for line in lines:
            if segment := self._segments.get(line.segment):  # else somebody deleted the file meanwhile, and `scan` has said so
                segment.acked.add(line.start, line.end)
                self._dirty.add(line.segment)
        for name, value in counts.items():
            self._count(name, value)
        self.flush()

    def flush(self) -> None:
        """Writes what is not in the checkpoints yet."""
        for name in self._dirty:
            segment = self._segments[name]
            segment.done = segment.sealed and segment.pending == 0
        if not self._dirty and not self._counts:
            return
        changed = {name: (self._segments[name].acked, self._segments[name].done) for name in self._dirty}
        try:
            self._checkpoints.write(self._kind, changed, self._counts)
        except sqlite3.OperationalError as error:
            self.checkpoint_error = f"checkpoints: {error}"
            return
        self.checkpoint_error = ""
        self._dirty.clear()
        self._counts = {}

    def close(self) -> None:
        """Writes what is left, and lets the checkpoints go."""
        self.flush()
        self._checkpoints.close()

    @property
    def read_all(self) -> bool:
        """Whether every complete line that was there at the last look has been returned."""
        return all(segment.read_to >= segment.size or segment.stalled == segment.size for segment in self._segments.values())

    @property
    def backlog(self) -> int:
        """Bytes that are not acknowledged."""
        return sum(segment.pending for segment in self._segments.values())

    @property
    def oldest(self) -> float | None:
        """When the oldest unacknowledged line was seen first (before this process: its segment's last write); None without one."""
        return min((segment.waiting_since for segment in self._segments.values() if segment.pending), default=None)

    def _seen(self, name: str, path: Path, size: int, written: float, sealed: bool) -> _Segment:
        segment = self._segments.get(name)
        if segment is None:
            acked, done = self._known.pop(name, (Ranges(), False))
            return _Segment(path, size, written, sealed, acked, size if done else acked.begin, done, marks=[(written, size)])
        segment.grown(path, size, written, sealed)
        return segment

    def _chunk(self, name: str, segment: _Segment) -> list[Line]:
        """The next lines of a segment. What follows the last line end is waited for; once sealed it is a torn line, and skipped."""
        content, whole = _read(segment.path, segment.read_to, segment.size)
        end = content.rfind(b"\n") + 1
        lines: list[Line] = []
        offset = segment.read_to
        for data in content[:end].split(b"\n")[:-1]:
            stop = offset + len(data) + 1
            if not segment.acked.holds(offset):
                lines.append(Line(name, offset, stop, data))
            offset = stop
        segment.read_to = offset
        if whole and segment.sealed and offset < segment.size:
            segment.read_to = segment.size
            segment.acked.add(offset, segment.size)
            self._dirty.add(name)
            self._count("torn", 1)
        return lines

    def _forget(self, present: Iterable[str]) -> None:
        """Drops what is known of segments whose files are gone: compacted after their delivery, or lost."""
        kept = set(present)
        gone = (self._segments.keys() | self._known.keys()) - kept
        if not gone:
            return
        undelivered = [name for name in gone if not (self._segments[name].done if name in self._segments else self._known[name][1])]
        if undelivered:
            _log.error("%d segments went away before they were delivered, such as %s", len(undelivered), undelivered[0])
            self._count("vanished", len(undelivered))
        self._dirty -= gone
        for name in gone:
            self._known.pop(name, None)
        with contextlib.suppress(sqlite3.OperationalError):  # the next process tries it again
            self._checkpoints.forget(gone)

    def _count(self, name: str, value: int) -> None:
        self._counts[name] = self._counts.get(name, 0) + value
        self.counters[name] = self.counters.get(name, 0) + value


def _entries(folder: Path, ending: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if entry.name.endswith(ending)]
    except FileNotFoundError:
        return []


def _read(path: Path, start: int, size: int) -> tuple[bytes, bool]:
    """At least one whole line where there is one, and whether this is all up to `size`."""
    length = CHUNK
    while True:
        for place in (path, path.parent / "sealed" / path.name):
            with contextlib.suppress(FileNotFoundError), place.open("rb") as file:
                file.seek(start)
                content = file.read(min(length, size - start))
                break
        else:
            return b"", False
        if start + len(content) >= size or b"\n" in content:
            return content, start + len(content) >= size
        length *= 4
