"""What `sonoscope recognize` is pointed at, as pictures in groups: a file, a folder, or a manifest of paths."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from telemetry.names import differences, marked, normalise

ENDINGS = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
"""What a folder is searched for; a file that is named is sent whatever its ending."""
MANIFESTS = frozenset({".txt", ".lst", ".manifest"})
PREFIX_CHARACTERS = 128


@dataclass(frozen=True)
class Found:
    """A picture to send, or the reason why it cannot be; `prefix` is the folder or manifest that it came from."""

    path: Path
    prefix: str
    trouble: str = ""


def pictures(target: Path) -> list[Found]:
    """The pictures of a file, of a folder and what lies below it, or of a manifest (one path a line, relative to it; # begins a
    comment)."""
    if target.is_dir():
        files = sorted(path for path in target.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file())
        return [Found(path, prefix(str(path.parent))) for path in files]
    if target.suffix.lower() in MANIFESTS:
        return [_of_manifest(line, target) for line in _lines(target)]
    return [Found(target, prefix(str(target.parent)))]


def prefix(folder: str) -> str:
    """A folder as `source_prefix` may hold it: NFKC, no characters that cannot be seen, at most PREFIX_CHARACTERS (the end
    of it)."""
    seen = "".join(one for one in unicodedata.normalize("NFKC", folder) if one.isprintable())
    return seen if len(seen) <= PREFIX_CHARACTERS else "…" + seen[1 - PREFIX_CHARACTERS :]


def groups(found: Iterable[Found], size: int) -> Iterator[list[Found]]:
    """Neighbours of one prefix, at most `size` together; what cannot be sent is left out."""
    group: list[Found] = []
    for one in found:
        if one.trouble:
            continue
        if group and (len(group) == size or group[0].prefix != one.prefix):
            yield group
            group = []
        group.append(one)
    if group:
        yield group


def _lines(manifest: Path) -> list[str]:
    lines = manifest.read_text("utf-8-sig").splitlines()
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def _of_manifest(line: str, manifest: Path) -> Found:
    """The picture of a line; one that is not there by this name may be there by the name that it looks like."""
    path = manifest.parent / line
    folder = prefix(str(path.parent) if "/" in line else manifest.name)
    if _is_file(path):
        return Found(path, folder)
    if (hidden := differences(line)) and path.parent.is_dir():
        twin = next((one for one in sorted(path.parent.iterdir()) if normalise(one.name) == normalise(path.name)), None)
        way_out = f"; {marked(twin.name)} is there" if twin else ""
        return Found(path, folder, f"path_invisible_characters: {marked(line)} holds {', '.join(hidden[:3])}{way_out}")
    return Found(path, folder, f"there is no file {marked(line)}")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file system takes
        return False
