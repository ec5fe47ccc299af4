"""What a batch is made of: the rows of a manifest, or the lessons of a folder."""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from telemetry import fields
from telemetry.text_json import read_object

AUDIO = frozenset({".wav", ".mp3", ".m4a", ".flac", ".ogg", ".aac"})
PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp"})
SHARED = "portrait"
"""Stem of the picture that speaks every lesson without a picture of its own."""


class BadManifest(Exception):
    """The manifest cannot be used; the text names the line and the way out."""


@dataclass(frozen=True)
class Item:
    """One video to make. `name` is its file without `.mp4`; `row` is what the manifest said, for the file of failed rows."""

    name: str
    portrait: Path
    audio: Path
    parameters: Mapping[str, Any]
    row: Mapping[str, Any]

    def key(self) -> str:
        """The same for the same work: both files' contents, the parameters and the name. Raises OSError."""
        digest = hashlib.sha256(json.dumps([self.name, dict(self.parameters)], sort_keys=True).encode())
        for path in (self.portrait, self.audio):
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()[:40]


def read_manifest(path: Path) -> list[Item]:
    """The rows of a CSV (with a header) or JSON Lines file: `portrait`, `audio`, perhaps `name`, and any parameters.

    Paths are relative to the manifest. Raises BadManifest for the first line that cannot be meant.
    """
    items: list[Item] = []
    reasons = {"error_type", "message"}  # what a file of failed rows says beside its rows
    known = {alias for field in fields.PARAMETERS for alias in (field.name, *field.aliases)} | set(fields.LABELS)
    for number, row in _rows(path):
        given = {key: value for key, value in row.items() if value not in (None, "")}
        if missing := [name for name in ("portrait", "audio") if name not in given]:
            raise BadManifest(f"{path.name}, line {number}: {missing[0]} is missing")
        for key in ("portrait", "audio"):
            if not isinstance(given[key], str) or "\0" in given[key]:
                raise BadManifest(f"{path.name}, line {number}: {key} is no path of a file")
        if strange := [key for key in given if key not in known | reasons | {"portrait", "audio", "name"}]:
            raise BadManifest(f"{path.name}, line {number}: {strange[0]} is neither portrait, audio, name nor a parameter")
        name = str(given.get("name", f"{len(items) + 1:05d}-{Path(str(given['audio'])).stem}"))
        if name != Path(name).name or name.startswith(".") or "\0" in name:
            raise BadManifest(f"{path.name}, line {number}: name must be a plain file name, not {name!r}")
        parameters = {key: value for key, value in given.items() if key in known}
        items.append(Item(name, path.parent / given["portrait"], path.parent / given["audio"], parameters, row))
    if twice := [name for name, times in Counter(item.name for item in items).items() if times > 1]:
        raise BadManifest(f"{path.name}: the name {twice[0]!r} stands there twice")
    return items


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from _cells(path.name, file) if path.suffix.lower() == ".csv" else _objects(path.name, file)
    except UnicodeDecodeError:
        raise BadManifest(f"{path.name}: it is no text in UTF-8") from None


def _cells(name: str, file: TextIO) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader(file)
    try:
        for row in reader:
            if None in row or None in row.values():
                raise BadManifest(f"{name}, line {reader.line_num}: it has not as many cells as the header")
            yield reader.line_num, row
    except csv.Error as error:
        raise BadManifest(f"{name}, line {reader.line_num}: {error}") from None


def _objects(name: str, file: TextIO) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(file, 1):
        if line.strip():
            try:
                row = read_object(line)
            except ValueError as error:
                raise BadManifest(f"{name}, line {number}: it is {error}") from None
            yield number, row


def read_lessons(folder: Path) -> list[Item]:
    """The lessons of a folder, by name: each recording with the picture of its stem, else with `portrait.*`.

    A recording without a picture is no lesson yet: its picture may still come.
    """
    pictures = {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in PICTURES}
    lessons: list[Item] = []
    for audio in sorted(path for path in folder.iterdir() if path.suffix.lower() in AUDIO and not path.name.startswith(".")):
        portrait = pictures.get(audio.stem, pictures.get(SHARED))
        if portrait is not None:
            row = {"portrait": portrait.name, "audio": audio.name, "name": audio.stem}
            lessons.append(Item(audio.stem, portrait, audio, {}, row))
    return lessons


def stamp(item: Item) -> tuple[int, ...]:
    """Sizes and times of an item's files: while they change, somebody still writes them. Raises OSError."""
    found = [path.stat() for path in (item.portrait, item.audio)]
    return tuple(value for one in found for value in (one.st_size, one.st_mtime_ns))
