"""Spans and events go to files first: one append to a local file, no network, no queue, no fsync.

A segment is written by one process under a lock. It is sealed by a rename into `sealed/`; from then on it never changes.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import threading
import time
import weakref
from pathlib import Path

from telemetry.losses import Counter, Losses, create_locked, process_name, read_losses
from telemetry.segments import Kind, ReadStats, move_to_sealed, read_lines, seal_orphans

__all__ = ["Journal", "Kind", "ReadStats", "read_lines", "read_losses", "seal_orphans"]

# Counts through all journals of the process, so that no name comes back after its file was sealed, shipped and deleted.
_numbers = itertools.count()
_open_journals: weakref.WeakSet[Journal] = weakref.WeakSet()


class _Segment:
    """The open file of one kind: its descriptor, its size, and when it was last written to."""

    def __init__(self, fd: int, path: Path) -> None:
        self.fd = fd
        self.path = path
        self.size = 0
        self.written = time.monotonic()

    def append(self, data: bytes) -> None:
        """Writes all of `data` or nothing. Raises OSError."""
        done = os.write(self.fd, data)
        if done != len(data):
            os.ftruncate(self.fd, self.size)  # a full disk took a part of the line; the next line must not follow on it
            raise OSError(f"only {done} of {len(data)} bytes could be written")
        self.size += done
        self.written = time.monotonic()

    def seal(self) -> None:
        """Moves the file into `sealed/` and lets the lock go. Where the move fails the file stays for `seal_orphans`."""
        with contextlib.suppress(OSError):
            if self.size == 0:
                self.path.unlink()
            else:
                move_to_sealed(self.path)
        os.close(self.fd)


class _Writer:
    """Appends the lines of one kind, in one segment after another."""

    def __init__(self, directory: Path, kind: Kind, host: str | None) -> None:
        self._directory = directory
        self._suffix = f".{kind}.jsonl"
        self._host = host
        self.lock = threading.Lock()
        self.segment: _Segment | None = None

    def write(self, line: bytes, max_bytes: int) -> None:
        """Appends, and seals at `max_bytes`. Raises OSError."""
        with self.lock:
            segment = self.segment = self.segment or self._open()
            try:
                segment.append(line)
            except OSError:
                # Not the same file again: it may be the one at fault (a limit of its size). An empty one is kept, so that
                # a full disk leaves one empty file and not one for every line.
                if segment.size:
                    self._seal()
                raise
            if segment.size >= max_bytes:
                self._seal()

    def seal(self, idle_s: float = 0.0) -> float:
        """Seals what was not written to for `idle_s`; returns the seconds until it may be so (`idle_s` where nothing is open)."""
        with self.lock:
            if self.segment is None:
                return idle_s
            left = self.segment.written + idle_s - time.monotonic()
            if left > 0:
                return left
            self._seal()
            return idle_s

    def reset_after_fork(self) -> None:
        """Forgets the parent's segment; closing the inherited descriptor leaves the parent's lock alone."""
        self.lock = threading.Lock()
        if self.segment is not None:
            os.close(self.segment.fd)
            self.segment = None

    def _open(self) -> _Segment:
        self._directory.mkdir(parents=True, exist_ok=True)
        while True:
            path = self._directory / f"{process_name(self._host)}-{next(_numbers)}{self._suffix}"
            if (fd := create_locked(path, os.O_APPEND)) is not None:
                return _Segment(fd, path)

    def _seal(self) -> None:
        if self.segment is not None:
            self.segment.seal()
            self.segment = None


class Journal:
    """The writing end, one a process and directory. Safe in threads and over forks.

    A segment is sealed at `max_bytes` and after `idle_s` seconds without a write.
    """

    def __init__(self, directory: Path, *, host: str | None = None, max_bytes: int = 4_000_000, idle_s: float = 5.0) -> None:
        self.directory = directory
        self.losses = Losses(directory, host)
        self._max_bytes = max_bytes
        self._idle_s = idle_s
        self._writers: dict[Kind, _Writer] = {
            "spans": _Writer(directory, "spans", host),
            "events": _Writer(directory, "events", host),
        }
        self._lost: dict[Kind, Counter] = {"spans": "spans_lost", "events": "events_lost"}
        self._reset_thread()
        _open_journals.add(self)
        atexit.register(self.close)

    def write(self, kind: Kind, line: bytes) -> bool:
        """Appends one line; False where it was lost (and counted). Never raises."""
        # JSON has line ends only between its tokens, where a blank means the same; a second line would break the reader.
        data = (line.replace(b"\n", b" ") if b"\n" in line else line) + b"\n"
        if self._thread is None:
            self._watch()
        try:
            self._writers[kind].write(data, self._max_bytes)
        except OSError as error:
            self.losses.count(self._lost[kind], f"journal: {error.strerror or error}")
            return False
        return True

    def close(self) -> None:
        """Seals what is open. A later write is not lost: it opens a new segment."""
        atexit.unregister(self.close)
        with self._thread_lock:
            self._stop.set()
            self._thread = None
        for writer in self._writers.values():
            writer.seal()
        self.losses.close()

    def _watch(self) -> None:
        with self._thread_lock:
            if self._thread is None:
                self._stop = threading.Event()
                self._thread = threading.Thread(
                    target=_seal_idle, args=(list(self._writers.values()), self._stop, self._idle_s), name="journal", daemon=True
                )
                with contextlib.suppress(RuntimeError):  # the interpreter is going down: seal_orphans will do it
                    self._thread.start()

    def _reset_thread(self) -> None:
        self._thread_lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def reset_after_fork(self) -> None:
        """In the child: nothing of the parent's is used any more; the next write opens the child's own segment."""
        self._reset_thread()
        for writer in self._writers.values():
            writer.reset_after_fork()


def _seal_idle(writers: list[_Writer], stop: threading.Event, idle_s: float) -> None:
    wait = idle_s
    while not stop.wait(wait):
        wait = max(0.01, min(writer.seal(idle_s) for writer in writers))


def _after_fork() -> None:
    for journal in list(_open_journals):
        journal.reset_after_fork()


os.register_at_fork(after_in_child=_after_fork)
