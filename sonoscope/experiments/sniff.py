"""A picture or a sound? Told by the first bytes of a file, never by its name."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from sonoscope.experiments.plan import PlanError

HEAD = 16
_PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"BM", b"II*\x00", b"MM\x00*")
_SOUNDS = (
    b"fLaC",
    b"OggS",
    b"ID3",
    b"\xff\xfb",
    b"\xff\xf3",
    b"\xff\xf2",
    b"\xff\xf1",
    b"\xff\xf9",
    b".snd",
    b"FORM",
    b"\x1aE\xdf\xa3",
)
_PICTURE_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1")


def kind_of(path: Path) -> Literal["portrait", "audio"]:
    """What the file holds. Raises PlanError where it is neither, or cannot be read."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        raise PlanError(f"{path} cannot be read: {error.strerror}") from error
    if head.startswith(_PICTURES) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return "portrait"
    if head[4:8] == b"ftyp":
        return "portrait" if head[8:12] in _PICTURE_BRANDS else "audio"
    if head.startswith(_SOUNDS) or (head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE"):
        return "audio"
    raise PlanError(f"{path} is neither a picture nor a sound by its first bytes")
