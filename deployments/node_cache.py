"""What a node keeps of a store that lies elsewhere: whole files by key, bounded in bytes, safe for all processes of the node."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO

LEFT_OVER_S = 86_400.0
"""Age at which a draft belongs to a process that is dead: no request may take so long."""


class Held:
    """A file that stays where it is until this is closed, collected, or its process dies."""

    def __init__(self, path: Path, lock: IO[bytes] | None = None, version: str | None = None):
        self.path = path
        self.version = version
        """The same on every node for the same content of the same name; None where the file's own time says it."""
        self._lock = lock

    def close(self) -> None:
        """Lets go of it; harmless when called again."""
        if self._lock is not None:
            self._lock.close()

    __del__ = close

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class NodeCache:
    """Files under `folder`, which appear whole or not at all; beyond `max_bytes` the least recently used go first.

    A file in use is locked (shared) and never removed, so the bound may be passed by what is in use. The lock is the kernel's: it
    ends with its process, however that dies.
    """

    def __init__(self, folder: Path, max_bytes: int):
        self._files = folder / "files"
        self._drafts = folder / "drafts"
        self._max_bytes = max_bytes
        for made in (self._files, self._drafts):
            made.mkdir(parents=True, exist_ok=True, mode=0o700)

    def draft(self, name: str) -> Path:
        """A path of its own for a file that is still to be written; `name` becomes part of it."""
        return self._drafts / f"{secrets.token_hex(8)}.{name}"

    def get(self, key: str, fetch: Callable[[Path], None]) -> Held:
        """The file of this key; where it is not here, `fetch` writes it to the path that it gets. Raises what `fetch` raises."""
        while True:
            if (held := self.find(key)) is not None:
                return held
            draft = self.draft(key)
            try:
                fetch(draft)
                if (held := self.adopt(key, draft)) is not None:
                    return held
            finally:
                draft.unlink(missing_ok=True)

    def find(self, key: str) -> Held | None:
        """The file of this key, if it is here."""
        path = self._files / key
        try:
            lock = path.open("rb")
        except FileNotFoundError:
            return None
        fcntl.flock(lock, fcntl.LOCK_SH)
        if not _same(lock, path):  # removed between the two lines
            lock.close()
            return None
        os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
        return Held(path, lock, key)

    def adopt(self, key: str, draft: Path) -> Held | None:
        """Takes a whole file as the one of this key (`draft` is gone then), unless there is one; None where it was removed at once.

        Raises OSError where the disk does not take it.
        """
        with contextlib.suppress(FileExistsError):  # another process was first: its file is as good
            (self._files / key).hardlink_to(draft)
        draft.unlink()
        held = self.find(key)
        self.trim()
        return held

    def forget(self, key: str) -> None:
        """Removes a file, whoever reads it: what they have open stays readable."""
        (self._files / key).unlink(missing_ok=True)

    def trim(self) -> None:
        """Removes the least recently used files beyond the bound, except those in use, and drafts that dead processes left."""
        found: list[tuple[float, int, Path]] = []
        for path in self._files.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another process removed it
                stat = path.stat()
                found.append((stat.st_atime, stat.st_size, path))
        total = sum(size for _, size, _ in found)
        for _, size, path in sorted(found, key=lambda one: one[0]):
            if total <= self._max_bytes:
                break
            if _removed(path):
                total -= size
        for path in self._drafts.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > LEFT_OVER_S:
                    path.unlink()


def _same(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _removed(path: Path) -> bool:
    """Removes a file that nobody holds; False where somebody does."""
    try:
        with path.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
    except BlockingIOError:
        return False
    except FileNotFoundError:
        pass
    return True
