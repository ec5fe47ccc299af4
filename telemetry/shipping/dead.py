"""What a receiver will never take, kept with the reason: nothing is thrown away in silence."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from telemetry.segments import Kind
from telemetry.shipping.tail import Line
from telemetry.values import rfc3339

FOLDER = "set_aside"


class DeadLetters:
    """One file a kind: a JSON object a line with `at`, `reason`, `segment`, `start` and the `line` itself."""

    def __init__(self, data_dir: Path, kind: Kind) -> None:
        self.path = data_dir / FOLDER / f"{kind}.jsonl"

    def keep(self, refused: Sequence[tuple[Line, str]]) -> None:
        """Appends them; they are on the disk when this returns. Raises OSError."""
        self._append([
            {"at": rfc3339(time.time_ns()), "reason": reason, "segment": line.segment, "start": line.start,
             "line": line.data.decode("utf-8", "replace")}
            for line, reason in refused
        ])  # fmt: skip

    def _append(self, rows: list[dict[str, Any]]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            data = b"".join(orjson.dumps(row) + b"\n" for row in rows)
            while data:
                data = data[os.write(fd, data) :]
            os.fsync(fd)
        finally:
            os.close(fd)
