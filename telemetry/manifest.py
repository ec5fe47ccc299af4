"""The manifest: which Parquet files hold the telemetry, and which journal segments are already in them.

It is replaced as a whole (`os.replace`), so a reader sees the state before or the state after, never one in between.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import orjson

from telemetry.segments import Kind

NAME = "manifest.json"


@dataclass(frozen=True)
class DataFile:
    """One Parquet file: its rows, and the span of time that they cover (ns since 1970). `hour`: when it was made, hours since 1970.

    `segments` are those of its sources that still lie in the journal (not delivered yet, or not deleted yet).
    """

    name: str
    kind: Kind
    rows: int
    bytes: int
    min_ns: int
    max_ns: int
    hour: int
    segments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Retired:
    """A file that left the manifest at `at` (seconds since 1970); readers of the manifest before may still be at it."""

    name: str
    at: float


@dataclass(frozen=True)
class Manifest:
    """The state of a Parquet folder. `generation` grows with every change; `unreadable` counts lines that were skipped so far."""

    generation: int = 0
    files: tuple[DataFile, ...] = ()
    retired: tuple[Retired, ...] = field(default=())
    unreadable: int = 0

    @property
    def segments(self) -> frozenset[str]:
        """Names of the segments that a reader must not read again."""
        return frozenset(name for file in self.files for name in file.segments)

    def of(self, kind: Kind) -> tuple[DataFile, ...]:
        """The files of one kind."""
        return tuple(file for file in self.files if file.kind == kind)

    def without(self, names: frozenset[str], at: float) -> Manifest:
        """The manifest after these files left it."""
        kept = tuple(file for file in self.files if file.name not in names)
        return replace(self, files=kept, retired=(*self.retired, *(Retired(name, at) for name in sorted(names))))


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a Parquet folder; an empty one where there is none. Raises ValueError where it is not ours."""
    try:
        raw = orjson.loads((folder / NAME).read_bytes())
    except FileNotFoundError:
        return Manifest()
    try:
        files = tuple(DataFile(**{**entry, "segments": tuple(entry["segments"])}) for entry in raw["files"])
        return Manifest(raw["generation"], files, tuple(Retired(**entry) for entry in raw["retired"]), raw["unreadable"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"{folder / NAME} is not a manifest of this version: {error!r}") from error


def write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """Replaces the manifest durably and returns what was written: the next generation. Raises OSError."""
    written = replace(manifest, generation=manifest.generation + 1)
    part = folder / f"{NAME}.part"
    with part.open("wb") as file:
        file.write(orjson.dumps(asdict(written), option=orjson.OPT_INDENT_2))
        file.flush()
        os.fsync(file.fileno())
    part.replace(folder / NAME)
    sync_folder(folder)
    return written


def sync_folder(folder: Path) -> None:
    """Makes names in `folder` durable. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        with contextlib.suppress(OSError):
            os.close(fd)
