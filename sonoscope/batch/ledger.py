"""What a batch has done so far, one line a step, so that it goes on where it was left."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

NAME = ".sonoscope-batch.jsonl"


@dataclass(frozen=True)
class Entry:
    """The newest of one item. `state`: sent, done or failed. `rounds`: how often it has failed for good."""

    key: str
    name: str
    state: str
    job_id: str | None = None
    request_id: str | None = None
    error_type: str | None = None
    message: str | None = None
    rounds: int = 0


class Ledger:
    """Appends to a file in the output folder; safe in threads, and a torn last line is skipped."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / NAME
        self._lock = threading.Lock()
        self._entries: dict[str, Entry] = {}
        if self._path.exists():
            for line in self._path.read_text(encoding="utf-8").splitlines():
                try:
                    entry = Entry(**json.loads(line))
                except (ValueError, TypeError):
                    continue
                self._entries[entry.key] = entry

    def get(self, key: str) -> Entry | None:
        """The newest of an item."""
        with self._lock:
            return self._entries.get(key)

    def note(self, entry: Entry) -> None:
        """Keeps it; it is on the disk when this returns."""
        with self._lock:
            self._entries[entry.key] = entry
            with self._path.open("ab") as file:
                start = b"" if self._whole() else b"\n"
                file.write(start + json.dumps(asdict(entry), ensure_ascii=False).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())

    def _whole(self) -> bool:
        """False where the last line was cut off: the next one must not be glued to it."""
        with self._path.open("rb") as file:
            if file.seek(0, os.SEEK_END) == 0:
                return True
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"
