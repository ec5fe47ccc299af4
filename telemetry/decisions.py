"""The log of what the autoscaler decided: one JSON line a change, in a file that stays small."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import orjson

NAME = "scaling.jsonl"
MOST_BYTES = 4_000_000
"""Beyond this the file becomes the older one of two: about 20,000 lines each, days of a busy service."""


class DecisionLog:
    """Appends to `scaling.jsonl` in a data folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME

    def write(self, **values: Any) -> None:
        """Appends one decision (`at_ns` and whatever it rests on). Raises OSError."""
        with contextlib.suppress(FileNotFoundError):
            if self._path.stat().st_size > MOST_BYTES:
                self._path.replace(_older(self._path))
        with self._path.open("ab") as file:
            file.write(orjson.dumps(values, option=orjson.OPT_APPEND_NEWLINE))


def read_decisions(folder: Path, since_ns: int | None = None, until_ns: int | None = None) -> list[dict[str, Any]]:
    """The decisions of a data folder in the order of time, oldest first; empty where nothing has been decided. Raises OSError."""
    found: list[dict[str, Any]] = []
    for path in (_older(folder / NAME), folder / NAME):
        with contextlib.suppress(FileNotFoundError):
            for line in path.read_bytes().splitlines():
                with contextlib.suppress(orjson.JSONDecodeError):  # the last line of a writer that was killed
                    found.append(orjson.loads(line))
    since_ns, until_ns = since_ns or 0, until_ns or 2**63
    return [one for one in found if since_ns <= one["at_ns"] < until_ns]


def _older(path: Path) -> Path:
    return path.with_suffix(".old.jsonl")
