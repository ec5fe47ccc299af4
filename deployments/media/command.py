"""What every run of ffmpeg has in common: the binary, the options against hostile input, and its last words."""

from __future__ import annotations

import os
import re
import stat
import threading
from collections import deque
from functools import cache
from pathlib import Path
from typing import IO

import imageio_ffmpeg

DEMUXERS = (
    "wav", "w64", "aiff", "caf", "au", "mp3", "aac", "flac", "ogg", "amr", "amrnb", "amrwb", "ac3", "wv",
    "mov", "matroska", "asf", "avi", "mpegts", "mpeg",
)  # fmt: skip
"""Containers that we open. None of them names other files: playlists (hls, dash, concat), scripts and pictures (svg) are left out,
so that a file called .wav that holds a playlist cannot make ffmpeg read something else."""

HOSTILE_INPUT = {"protocol_whitelist": "file,pipe", "format_whitelist": ",".join(DEMUXERS)}
"""Options for every input that somebody sent, for the ffmpeg program and for PyAV alike."""

STEADY_INPUT = HOSTILE_INPUT | {"reinit_filter": "0"}
"""The same for the ffmpeg program, which by default starts its filters afresh where rate or channels change midway (two MP3s in one
file): the clock then jumps back and the soundtrack is no longer the decoded sound. With this it is an error."""

ONLY_INPUT = STEADY_INPUT | {"protocol_whitelist": "fd", "fd": 0, "threads": 1}
"""The same for a program that has the file open as its standard input: it is given no way to open any other. One thread
for decoding: each sets aside 70 MB of its bounded address space, and there would be one a core."""

QUIET = ("-nostdin", "-hide_banner", "-nostats", "-loglevel", "error")
"""Global arguments: never wait for a terminal, say errors only."""

_LINE_BYTES = 500
_LINES = 20
_POINTER = re.compile(r"\[[^\[\]]*@ 0x[0-9a-f]+\]\s*")
_PATH = re.compile(r"(?:file:)?/[^\s'\"]+")


@cache
def ffmpeg_binary() -> str:
    """Path of the ffmpeg program that imageio-ffmpeg brings."""
    return imageio_ffmpeg.get_ffmpeg_exe()


def url(path: Path) -> str:
    """`path` as ffmpeg takes it: absolute behind `file:`, so that no name is read as an option or as another protocol."""
    return f"file:{path.absolute()}"


def is_regular_file(path: Path) -> bool:
    """True for a file that can be read to its end (a pipe or a device could block for ever)."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def without_paths(text: str, *paths: Path) -> str:
    """`text` without file names and without ffmpeg's addresses in memory: it goes into answers and events."""
    for path in paths:
        for name in (str(path.absolute()), path.name):
            # As a whole word: a file may be called `a`.
            text = re.sub(rf"(?<!\w){re.escape(os.fsencode(name).decode('utf-8', 'replace'))}(?!\w)", "the file", text)
    text = _PATH.sub("the file", _POINTER.sub("", text)).replace("file:the file", "the file")
    return " ".join(text.split())


class LastWords:
    """Drains a process's standard error in a thread, so that it never blocks, and keeps its last lines (bounded)."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._lines: deque[bytes] = deque(maxlen=_LINES)
        self._thread = threading.Thread(target=self._drain, name="ffmpeg-stderr", daemon=True)
        self._thread.start()

    def _drain(self) -> None:
        while line := self._pipe.readline(_LINE_BYTES):
            self._lines.append(line)

    def lines(self, *paths: Path) -> list[str]:
        """The last lines of an ended process, without `paths` and without empty ones, oldest first."""
        self._thread.join(timeout=5.0)
        cleaned = (without_paths(line.decode("utf-8", "replace"), *paths) for line in self._lines)
        return [line for line in cleaned if line]


def exit_words(returncode: int) -> str:
    """How a process ended, for the case that it said nothing itself."""
    return f"it was killed by signal {-returncode}" if returncode < 0 else f"it ended with status {returncode}"
