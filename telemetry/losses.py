"""What telemetry could not write, counted in one small file a process.

The file is made and filled to its full size at the start, so that counting goes on when the disk is full.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import itertools
import os
import re
import socket
import threading
import weakref
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

import orjson

Counter = Literal["spans_lost", "events_lost", "telemetry_errors"]
COUNTERS: tuple[Counter, ...] = get_args(Counter)

_FILE_BYTES = 256
_open_losses: weakref.WeakSet[Losses] = weakref.WeakSet()


@lru_cache(maxsize=1)
def _start_token(pid: int) -> str:
    """8 digits that differ between any two processes of a host.

    The start time is part of it: a restarted container has the same host name, boot id and pid as the one before, and a reader that
    remembers files by name must not take its first segment for one that it has read.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
        started = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
        seed = f"{boot}{started}".encode()
    except OSError:
        seed = os.urandom(8)
    return hashlib.sha256(seed).hexdigest()[:8]


def process_name(host: str | None = None) -> str:
    """`{host}-{boot}-{pid}`: the beginning of every file name of this process."""
    clean = re.sub(r"[^A-Za-z0-9._-]", "_", host or socket.gethostname())
    return f"{clean}-{_start_token(os.getpid())}-{os.getpid()}"


def create_locked(path: Path, mode: int = 0) -> int | None:
    """A new file at `path`, open for writing (`mode`: O_APPEND) and locked; None where the name is taken. Raises OSError.

    Who seals orphans may catch the file before we lock it, and moves it: then it is not ours, and the name counts as taken.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | mode, 0o640)
    except FileExistsError:
        return None
    if take_lock(fd, path):
        return fd
    os.close(fd)
    return None


def take_lock(fd: int, path: Path) -> bool:
    """True where nobody else holds the file of `fd` and it still lies at `path`."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(fd), path.stat())
    except (BlockingIOError, FileNotFoundError):
        return False


class Losses:
    """The counters of this process in one journal directory."""

    def __init__(self, directory: Path, host: str | None = None) -> None:
        self._directory = directory / "losses"
        self._host = host
        self._reset()
        with self._lock:
            self._flush()
        _open_losses.add(self)

    def count(self, counter: Counter, error: str) -> None:
        """Adds 1 to `counter` and keeps `error` in words. Never raises; what cannot be written yet is written with the next one."""
        with self._lock:
            self._counts[counter] += 1
            self._last_error = error
            self._flush()

    def close(self) -> None:
        """Removes the file where nothing was lost, else leaves it to be read."""
        with self._lock:
            fd, path, self._fd = self._fd, self._path, None
            if fd is None:
                return
            if not any(self._counts.values()):
                path.unlink(missing_ok=True)
            os.close(fd)
            self._counts = dict.fromkeys(COUNTERS, 0)
            _open_losses.discard(self)

    def reset_after_fork(self) -> None:
        """The child counts its own losses in a file of its own."""
        inherited = self._fd
        self._reset()
        if inherited is not None:
            os.close(inherited)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._fd: int | None = None
        self._path = self._directory
        self._counts = dict.fromkeys(COUNTERS, 0)
        self._last_error = ""

    def _flush(self) -> None:
        with contextlib.suppress(OSError):
            if self._fd is None:
                self._directory.mkdir(parents=True, exist_ok=True)
                self._fd = self._create()
            os.pwrite(self._fd, self._line(), 0)

    def _create(self) -> int:
        name = process_name(self._host)
        for n in itertools.count():  # a second journal of this process in this directory, or one that was closed with losses
            self._path = self._directory / (f"{name}.{n}.json" if n else f"{name}.json")
            # Not O_APPEND: Linux would append what pwrite writes, whatever the offset.
            if (fd := create_locked(self._path)) is not None:
                return fd
        raise AssertionError

    def _line(self) -> bytes:
        message = self._last_error.encode("ascii", "replace").decode()
        room = _FILE_BYTES
        while len(line := orjson.dumps({**self._counts, "last_error": message[:room]})) >= _FILE_BYTES:
            room -= 8
        return line.ljust(_FILE_BYTES - 1) + b"\n"


def count_error(error: str) -> None:
    """Counts one `telemetry_errors` in every open journal of this process. Never raises."""
    for losses in list(_open_losses):
        losses.count("telemetry_errors", error)


def read_losses(directory: Path) -> dict[str, Any]:
    """The sum over all processes: `spans_lost`, `events_lost`, `telemetry_errors`, and the newest `last_error` ("" for none)."""
    total: dict[str, Any] = {**dict.fromkeys(COUNTERS, 0), "last_error": ""}
    newest = 0
    for path in sorted((directory / "losses").glob("*.json")):
        try:
            row, written = orjson.loads(path.read_bytes()), path.stat().st_mtime_ns
        except (OSError, orjson.JSONDecodeError):  # removed, or made this moment
            continue
        for counter in COUNTERS:
            total[counter] += row[counter]
        if row["last_error"] and written >= newest:
            total["last_error"], newest = row["last_error"], written
    return total


def remove_empty(directory: Path) -> None:
    """Removes the files of processes that died without having lost anything."""
    for path in (directory / "losses").glob("*.json"):
        with contextlib.suppress(OSError, orjson.JSONDecodeError):
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                content = os.read(fd, _FILE_BYTES)
                if take_lock(fd, path) and content and not any(orjson.loads(content)[name] for name in COUNTERS):
                    path.unlink()
            finally:
                os.close(fd)


def _after_fork() -> None:
    for losses in list(_open_losses):
        losses.reset_after_fork()


os.register_at_fork(after_in_child=_after_fork)
