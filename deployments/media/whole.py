"""Whether a sound file is there as a whole, as far as its own structure says; ffmpeg plays what is left of it without a word.

What the files of each container say of themselves, and what becomes of one that was cut off or put together, is in
docs/media_corpus.md. Only headers are read, in Python.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import IO

MISSING_S, MISSING_SHARE = 0.25, 0.01
"""How much of its stated length a file may lack. Measured on whole files of 7.1 s as ffmpeg writes them (MP4, Matroska, FLAC, AIFF,
AU, MP3 with a table of contents, WavPack): at most 0.01 s; cut to half, they lack 3.4 s and more."""

_UNKNOWN_SIZES = (0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, 0x80000000)
"""Sizes that recorders write who do not know yet how long it will be: such a file ends where it ends."""

_OGG_TAIL_BYTES = 1 << 17
"""More than one page of Ogg, which has 65,307 bytes at most."""
_BOXES_AT_MOST = 10_000
_PAGES_AT_MOST = 100_000
_OPUS_RATE = 48_000
_FIRST_PAGE = 0x02
_PAGE_AT_MOST_S = 30.6
"""255 packets of 0.12 s."""


def what_is_wrong(path: Path) -> str | None:
    """Why the file `path` is no whole recording, in words that follow "The audio cannot be decoded:"; None where it seems whole.

    Finds a WAV that is shorter than its header says, an Ogg that ends within a page, and WAV, AIFF and MP4 files that were put one
    behind the other, of which players and decoders take the first only.
    """
    with path.open("rb") as file:
        head = file.read(12)
        size = os.fstat(file.fileno()).st_size
        if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
            return _wrong_wave(file, size, "<I")
        if head[:4] == b"FORM" and head[8:11] == b"AIF":
            return _second(file, head, ">I")
        if head[4:8] == b"ftyp":
            return _TWO if _boxes(file, size).count(b"ftyp") > 1 else None
        if head[:4] == b"OggS":
            return _wrong_ogg(file, size)
    return None


_TWO = "it holds two recordings one behind the other, of which only the first would be heard; export them as one."


def is_short(stated_s: float | None, end_s: float) -> bool:
    """True where a file states a length (None: it states none) that its sound does not reach."""
    return stated_s is not None and stated_s - end_s > MISSING_S + MISSING_SHARE * stated_s


def cut_off(stated_s: float | None, end_s: float) -> str:
    """The words for it."""
    return f"the file says {stated_s or 0.0:.1f} s, but its sound ends at {end_s:.1f} s: it is cut off or damaged."


def _second(file: IO[bytes], head: bytes, order: str) -> str | None:
    (length,) = struct.unpack(order, head[4:8])
    file.seek(8 + length + length % 2)
    return _TWO if file.read(4) == head[:4] else None


def _wrong_wave(file: IO[bytes], size: int, order: str) -> str | None:
    file.seek(0)
    if (two := _second(file, file.read(12), order)) is not None:
        return two
    at, rate = 12, 0
    while at + 8 <= size:
        file.seek(at)
        name, length = struct.unpack("<4sI", file.read(8))
        if name == b"fmt " and len(fmt := file.read(16)) == 16:
            rate = struct.unpack("<8xI4x", fmt)[0]
        if name == b"data":
            there = size - at - 8
            if not rate or length in _UNKNOWN_SIZES or not is_short(length / rate, there / rate):
                return None
            return cut_off(length / rate, there / rate)
        at += 8 + length + length % 2
    return None


def _boxes(file: IO[bytes], size: int) -> list[bytes]:
    """Names of the outermost boxes of an MP4, as far as they can be followed."""
    names: list[bytes] = []
    at = 0
    while at + 8 <= size and len(names) < _BOXES_AT_MOST:
        file.seek(at)
        length, name = struct.unpack(">I4s", file.read(8))
        if length == 1:  # a 64-bit size follows
            length = struct.unpack(">Q", file.read(8).ljust(8, b"\0"))[0]
        names.append(name)
        if length < 8:
            break
        at += length
    return names


def _wrong_ogg(file: IO[bytes], size: int) -> str | None:
    """An Ogg whose last page goes on behind the end of the file."""
    start = max(0, size - _OGG_TAIL_BYTES)
    file.seek(start)
    tail = file.read()
    at = tail.rfind(b"OggS\0")
    page = tail[at:]
    if at < 0 or len(page) < 27:
        return "its last page is cut off." if at >= 0 else None
    segments = page[27 : 27 + page[26]]
    complete = len(segments) == page[26] and len(page) >= 27 + len(segments) + sum(segments)
    return None if complete else "its last page is cut off."


def opus_s(path: Path) -> float | None:
    """Seconds of Opus in the Ogg file `path` by its pages' own clocks; None for everything else.

    An Ogg may be a chain of recordings. ffmpeg plays them all, but not a last one of Opus that is shorter than a page (about a
    second) and has the serial number of the one before; and it says nothing.
    """
    total = last = origin = pages = 0
    with path.open("rb") as file:
        while len(header := file.read(27)) == 27 and header[:4] == b"OggS" and pages < _PAGES_AT_MOST:
            content = sum(file.read(header[26]))
            if header[5] & _FIRST_PAGE:
                total, last, origin = total + last - origin, 0, 0
                if file.read(8) != b"OpusHead":
                    return None
                content -= 8
            clock = int.from_bytes(header[6:14], "little", signed=True)
            if last == 0 and clock > _PAGE_AT_MOST_S * _OPUS_RATE:
                origin = clock  # recorded from a stream that had run for a while
            last = max(last, clock)
            pages += 1
            file.seek(content, 1)
    return (total + last - origin) / _OPUS_RATE if pages else None
