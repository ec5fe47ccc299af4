"""Facts of a sound file, read with PyAV: the part that runs in a bounded child (`keeper`), where nothing more can be opened.

What PyAV would import at the first stream of a kind is therefore imported here.
"""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import av
import av.audio.codeccontext
import av.audio.stream
import av.logging
import av.subtitles.codeccontext
import av.subtitles.stream
import av.video.codeccontext
import av.video.stream
from av.container import InputContainer
from av.error import FFmpegError

from deployments.media.command import DEMUXERS, without_paths
from telemetry.errors import RequestError

_STATING = ("mov", "matroska", "flac", "aiff", "au", "mp3", "wv")
"""Demuxers whose files say in advance how long they are. The others count what is there, or guess from the bit rate."""

_MP3_LENGTH = (b"Xing", b"Info", b"VBRI")
_MP3_HEAD_BYTES = 4096


def run(arguments: dict[str, Any], files: list[int]) -> dict[str, Any]:
    """`rate`, `channels`, `codec`, `start_s`, `end_s` (end of the last packet on the file's clock) and `stated_s` (or None).

    Reads every packet of the first audio stream of the open file `files[0]`, decodes none. Raises RequestError(audio_undecodable).
    """
    del arguments
    av.logging.set_level(None)  # the child's standard error is its parent's
    with os.fdopen(files[0], "rb") as file:
        options = {"format_whitelist": ",".join(DEMUXERS), "protocol_whitelist": "none"}
        try:
            with av.open(file, "r", options=options, metadata_errors="replace") as container:
                return _facts(container, file)
        except FFmpegError as error:
            message = f"This is no media file that can be read: {without_paths(error.strerror or str(error), Path('upload'))}."
            raise RequestError("audio_undecodable", message) from None


def _facts(container: InputContainer, file: IO[bytes]) -> dict[str, Any]:
    if not container.streams.audio:
        raise RequestError("audio_undecodable", "The audio cannot be decoded: the file holds no sound.")
    stream = container.streams.audio[0]
    base, first, end = stream.time_base or Fraction(1), None, 0
    stated = _stated_s(container, stream)
    if container.format.name == "mp3" and not _says_its_length(file):
        stated = None
    for packet in container.demux(stream):
        # A discarded packet is decoded but never heard: the priming of AAC.
        if packet.pts is not None and not packet.is_discard:
            first = packet.pts if first is None else first
            end = max(end, packet.pts + (packet.duration or 0))
    context = stream.codec_context
    return {
        "rate": context.sample_rate,
        "channels": context.channels,
        "codec": context.name,
        "start_s": float((first or 0) * base),
        "end_s": float(end * base),
        "stated_s": stated,
    }


def _stated_s(container: InputContainer, stream: av.AudioStream) -> float | None:
    """The length that the file claims for its sound; None where it claims none, or only one for sound and pictures together."""
    if container.format.name.split(",")[0] not in _STATING:
        return None
    lengths: list[float] = []
    if stream.duration:
        lengths.append(float(stream.duration * (stream.time_base or Fraction(1))))
    if container.duration and (lengths or len(container.streams) == 1):
        lengths.append(container.duration / av.time_base)
    return min(lengths, default=None)


def _says_its_length(file: IO[bytes]) -> bool:
    """True for an MP3 whose first frame is a table of contents; of any other, ffmpeg guesses the length from the first bit rate."""
    before = file.tell()
    file.seek(0)
    head = file.read(10)
    if head[:3] == b"ID3":  # its size: four bytes of seven bits
        file.seek(10 + sum(byte << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True)))
    else:
        file.seek(0)
    frame = file.read(_MP3_HEAD_BYTES)
    file.seek(before)
    return any(mark in frame for mark in _MP3_LENGTH)
