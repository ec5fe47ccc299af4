"""Exact facts of a media file, counted from its packets."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.error import FFmpegError

from deployments.media.command import HOSTILE_INPUT, is_regular_file, url, without_paths
from telemetry.errors import RequestError

_IO_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class MediaFacts:
    """What stands in a file. Names of a stream that is missing are None, its counts and lengths 0.

    Lengths are in seconds and run from the first presented packet to the end of the last one; priming samples that an edit list
    hides are not counted. Starts are on the container's clock.
    """

    container: str
    bytes: int
    metadata: dict[str, str]
    video_codec: str | None = None
    pixel_format: str | None = None
    width: int = 0
    height: int = 0
    fps: float = 0.0
    frames: int = 0
    video_start_s: float = 0.0
    video_s: float = 0.0
    audio_codec: str | None = None
    audio_rate: int = 0
    audio_channels: int = 0
    audio_start_s: float = 0.0
    audio_s: float = 0.0


@dataclass
class _Extent:
    """Packets of one stream: how many, and from when to when (in the stream's time base)."""

    packets: int = 0
    start: int = 0
    end: int = 0
    step: int = 0
    last: int = 0

    def add(self, pts: int, duration: int) -> None:
        self.start = min(self.start, pts) if self.packets else pts
        # Matroska may leave durations out: the widest step between packets stands in for them.
        self.step = max(self.step, duration, pts - self.last if self.packets else 0)
        self.last = max(self.last, pts) if self.packets else pts
        self.end = max(self.end, pts + (duration or self.step)) if self.packets else pts + duration
        self.packets += 1


@contextmanager
def open_media(path: Path) -> Iterator[InputContainer]:
    """`path` opened by PyAV with the same restrictions as ffmpeg gets, and a limit on waiting for data.

    Raises RequestError(invalid_parameter, field="file") for what is no media file.
    """
    if not is_regular_file(path):
        raise _unreadable("there is no such file")
    try:
        with av.open(url(path), options=HOSTILE_INPUT, timeout=_IO_TIMEOUT_S, metadata_errors="replace") as container:
            yield container
    except FFmpegError as error:
        raise _unreadable(without_paths(error.strerror or str(error), path)) from None


def _unreadable(reason: str) -> RequestError:
    hint = "Name a video or audio file that plays."
    return RequestError("invalid_parameter", f"This is no media file that can be read: {reason}.", field="file", hint=hint)


def probe(path: Path) -> MediaFacts:
    """Facts of the first video and the first audio stream of `path`; reads every packet, decodes none.

    Raises RequestError(invalid_parameter, field="file") for what is no media file.
    """
    with open_media(path) as container:
        streams = [*container.streams.video[:1], *container.streams.audio[:1]]
        extents = {stream.index: _Extent() for stream in streams}
        for packet in container.demux(streams) if streams else ():
            # A discarded packet is decoded but never shown: the priming of AAC, frames before an edit.
            if packet.pts is not None and not packet.is_discard:
                extents[packet.stream.index].add(packet.pts, packet.duration or 0)
        facts: dict[str, object] = {}
        for video in container.streams.video[:1]:
            facts |= _video_facts(video, extents[video.index])
        for audio in container.streams.audio[:1]:
            facts |= _audio_facts(audio, extents[audio.index])
        name, metadata = container.format.name, dict(container.metadata)
    return MediaFacts(container=name, bytes=path.stat().st_size, metadata=metadata, **facts)  # pyright: ignore[reportArgumentType]


def first_presented_s(container: InputContainer, stream: av.AudioStream) -> float:
    """When the first packet that is not hidden priming starts, on the container's clock in seconds (0.0 where nothing says)."""
    for packet in container.demux(stream):
        if packet.pts is not None and not packet.is_discard:
            return float(packet.pts * (stream.time_base or Fraction(1)))
    return 0.0


def _video_facts(stream: av.VideoStream, extent: _Extent) -> dict[str, object]:
    base = stream.time_base or Fraction(1)
    seconds = float((extent.end - extent.start) * base)
    rate = stream.average_rate or (extent.packets / seconds if seconds else 0.0)
    context = stream.codec_context
    return {
        "video_codec": context.name, "pixel_format": context.pix_fmt, "width": context.width, "height": context.height,
        "fps": float(rate), "frames": extent.packets, "video_start_s": float(extent.start * base), "video_s": seconds,
    }  # fmt: skip


def _audio_facts(stream: av.AudioStream, extent: _Extent) -> dict[str, object]:
    base = stream.time_base or Fraction(1)
    context = stream.codec_context
    return {
        "audio_codec": context.name, "audio_rate": context.sample_rate, "audio_channels": context.channels,
        "audio_start_s": float(extent.start * base), "audio_s": float((extent.end - extent.start) * base),
    }  # fmt: skip


def duration_drift_ms(facts: MediaFacts) -> float:
    """Video length minus audio length in milliseconds (0.0 where one of the two is missing)."""
    if facts.video_codec is None or facts.audio_codec is None:
        return 0.0
    return (facts.video_s - facts.audio_s) * 1000.0


def faststart(path: Path) -> bool:
    """True where an MP4's index (moov) stands before its data (mdat), so that a browser plays while it loads."""
    with path.open("rb") as file:
        while len(header := file.read(8)) == 8:
            size, kind = struct.unpack(">I4s", header)
            if kind in (b"moov", b"mdat"):
                return kind == b"moov"
            if size == 1:  # a 64-bit size follows
                size = struct.unpack(">Q", file.read(8).ljust(8, b"\0"))[0] - 8
            if size < 8:
                return False
            file.seek(size - 8, 1)
    return False
