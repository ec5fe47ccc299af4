"""Sound of any common format as 16 kHz mono samples, decoded by ffmpeg in one pass through a pipe, in a bounded child."""

from __future__ import annotations

import os
import selectors
import signal
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import ffmpeg
import numpy as np
import numpy.typing as npt

from deployments.media.command import DEMUXERS, ONLY_INPUT, QUIET, LastWords, exit_words, ffmpeg_binary, is_regular_file
from deployments.media.sandbox import Bounds, Child, Ending, shared
from deployments.media.whole import cut_off, is_short, opus_s, what_is_wrong
from telemetry.errors import RequestError

SAMPLE_RATE = 16_000
"""Samples a second of what `decode_audio` returns (the same as `deployments.models.protocol.SAMPLE_RATE`)."""

SILENCE_DBFS = -60.0
"""A window below this is silence. Measured on five recordings of speech: their loudest windows reach -8 to -22 dBFS, their pauses
lie at -43 to -71. A recording that never leaves the level of a quiet pause holds no speech that could move a mouth."""

SILENCE_WINDOW_S = 0.05
"""Length of the windows: about one syllable's vowel, so that a single spoken word in a long pause is found."""

MEMORY_BYTES = 1 << 31
"""Address space of the children. Measured with one decoding thread, two cores, 90 s of stereo: 0.56 GiB for WAV, FLAC, MP3, Vorbis,
Opus and WMA, 0.61 GiB for AAC, most of it what the C library sets aside for ffmpeg's own threads."""

_READ_BYTES = 1 << 18
_FLOAT_BYTES = 4

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True)
class AudioLimits:
    """Shortest and longest recording in seconds, and the wall-clock seconds that decoding may take."""

    min_s: float = 0.3
    max_s: float = 600.0
    timeout_s: float = 30.0


@dataclass(frozen=True)
class DecodedAudio:
    """A recording, and facts of the file it came from."""

    samples: Samples
    """(n,) mono, -1 to 1."""
    sample_rate: int
    """Samples a second: always SAMPLE_RATE."""
    seconds: float
    """Length of `samples`."""
    source_rate: int
    """Samples a second in the file."""
    source_channels: int
    """Channels in the file."""
    codec: str
    """The file's codec by ffmpeg's name."""
    peak_dbfs: float
    """Highest absolute sample of the mono mix in dB below full scale (0 is full scale)."""
    start_s: float
    """Where the file's own clock starts its sound, in seconds; `samples` start with the first sample whatever it is."""


def decode_audio(path: Path, limits: AudioLimits | None = None) -> DecodedAudio:
    """The first audio stream of `path` (any common format and rate, also a video's) with its facts.

    Raises RequestError (field "audio"): audio_undecodable, audio_too_short, audio_too_long, audio_silent.
    """
    limits = limits or AudioLimits()
    if is_regular_file(path) and (wrong := what_is_wrong(path)) is not None:
        raise _undecodable(wrong)
    samples = read_samples(path, max_s=limits.max_s, timeout_s=limits.timeout_s)
    seconds = len(samples) / SAMPLE_RATE
    facts = _source_facts(path, limits.timeout_s)
    for stated_s, end_s in ((facts["stated_s"], facts["end_s"]), (opus_s(path), seconds)):
        if is_short(stated_s, end_s):
            raise _undecodable(cut_off(stated_s, end_s))
    if seconds < limits.min_s:
        raise _error("audio_too_short", f"The recording is {seconds:.2f} s long; at least {limits.min_s:g} s are needed.")
    if is_silent(samples):
        window = f"{SILENCE_WINDOW_S * 1000:.0f} ms"
        raise _error("audio_silent", f"Every {window} of the recording lies below {SILENCE_DBFS:g} dBFS, quieter than any speech.")
    peak = 20.0 * float(np.log10(np.abs(samples).max()))
    return DecodedAudio(samples, SAMPLE_RATE, seconds, facts["rate"], facts["channels"], facts["codec"], peak, facts["start_s"])


def read_samples(path: Path, *, max_s: float, timeout_s: float) -> Samples:
    """The first audio stream of `path` as (n,) float32 samples, -1 to 1, at SAMPLE_RATE, without judging what is in it.

    Timestamps in the file are not looked at: sample 0 is the first one that the decoder presents. ffmpeg runs as a bounded child
    that has the open file and two pipes and can reach nothing else. Raises RequestError (field "audio"): audio_undecodable,
    audio_too_long where there is more than `max_s` seconds; and where no child can be had, out_of_memory and internal.
    """
    if not is_regular_file(path):
        raise _error("audio_undecodable", "There is no such audio file.")
    command = [str(word) for word in ffmpeg.compile(_decoder(max_s + 1.0), cmd=ffmpeg_binary())]
    most = int((max_s + 1.0) * SAMPLE_RATE) * _FLOAT_BYTES
    child, sound, errors = _start(command, path, timeout_s)
    with sound, errors:
        words = LastWords(errors)
        try:
            data = _read_bounded(sound, most, time.monotonic() + timeout_s)
            if len(data) // _FLOAT_BYTES > round(max_s * SAMPLE_RATE):
                raise _error("audio_too_long", f"The recording is longer than {max_s:g} s.")
            ending = child.ending()
        except TimeoutError:
            raise _error("audio_undecodable", f"Decoding took longer than {timeout_s:g} s.") from None
        finally:
            child.close()
            sound.close()
            said = words.lines()
    _refuse_failed(ending, data, said, timeout_s)
    samples = np.frombuffer(data, np.float32, count=len(data) // _FLOAT_BYTES)
    if not np.isfinite(samples).all():
        # A WAV of floats may hold them. Nobody knows what was meant there, and what ffmpeg makes of them differs by processor.
        raise _undecodable("it holds samples that are no numbers; export it again.")
    return np.clip(samples, -1.0, 1.0, out=samples)


def _start(command: list[str], path: Path, timeout_s: float) -> tuple[Child, IO[bytes], IO[bytes]]:
    """The bounded ffmpeg with `path` as its standard input, and our ends of its standard output and error."""
    bounds = Bounds(seconds=timeout_s, cpu_s=2.0 * timeout_s, memory_bytes=MEMORY_BYTES)
    with ExitStack() as ours, ExitStack() as theirs:
        sound, its_output = _pipe(ours, theirs)
        errors, its_errors = _pipe(ours, theirs)
        file = theirs.enter_context(path.open("rb"))
        child = shared().program(command, (file.fileno(), its_output.fileno(), its_errors.fileno()), bounds)
        ours.pop_all()
    return child, sound, errors


def _pipe(ours: ExitStack, theirs: ExitStack) -> tuple[IO[bytes], IO[bytes]]:
    reader, writer = os.pipe()
    return ours.enter_context(os.fdopen(reader, "rb")), theirs.enter_context(os.fdopen(writer, "wb"))


def _refuse_failed(ending: Ending, data: bytearray, said: list[str], timeout_s: float) -> None:
    if ending.timed_out or ending.status == -int(signal.SIGXCPU):
        raise _error("audio_undecodable", f"Decoding took longer than {timeout_s:g} s.")
    if ending.status != 0 or (not data and said):
        raise _undecodable(_reason(said, ending.status))
    if any("ended prematurely" in line for line in said):
        raise _undecodable("the file is cut off.")


def is_silent(samples: Samples) -> bool:
    """True where no window of SILENCE_WINDOW_S reaches SILENCE_DBFS (root mean square)."""
    return bool((window_dbfs(samples) < SILENCE_DBFS).all())


def window_dbfs(samples: Samples) -> npt.NDArray[np.float64]:
    """(k,) level in dBFS (root mean square) of consecutive windows of SILENCE_WINDOW_S; the last may be padded with silence."""
    size = round(SILENCE_WINDOW_S * SAMPLE_RATE)
    padded = np.pad(samples, (0, -len(samples) % size)).reshape(-1, size)
    power = np.mean(padded.astype(np.float64) ** 2, axis=1)
    return 10.0 * np.log10(np.maximum(power, 1e-20))


def first_sound(source: ffmpeg.nodes.FilterableStream) -> ffmpeg.nodes.FilterableStream:
    """The first audio stream of an ffmpeg input on a clock that starts at its first sample.

    Decoder and encoder both do so: a start offset or a gap in the container's clock then shifts neither against the other. Floats
    become whole numbers, which cuts off what lies beyond full scale: ffmpeg's AAC encoder fails on values above 1e16.
    """
    return ffmpeg.filter(_on_its_own_clock(source), "aformat", sample_fmts="s16|s32")


def _on_its_own_clock(source: ffmpeg.nodes.FilterableStream) -> ffmpeg.nodes.FilterableStream:
    return ffmpeg.filter(source["a:0"], "asetpts", "N/SR/TB")


def _decoder(most_s: float) -> ffmpeg.nodes.OutputStream:
    sound = _on_its_own_clock(ffmpeg.input("fd:", **ONLY_INPUT))
    # Without rematrix_maxval floats are mixed as 0.7 L + 0.7 R, which clips a loud stereo recording; with it as 0.5 L + 0.5 R.
    mono = ffmpeg.filter(sound, "aresample", SAMPLE_RATE, out_sample_fmt="flt", out_chlayout="mono", rematrix_maxval=1.0)
    return ffmpeg.output(mono, "pipe:1", format="f32le", t=most_s).global_args(*QUIET, "-filter_threads", "1")


def _read_bounded(pipe: IO[bytes], most: int, deadline: float) -> bytearray:
    """What comes through the pipe, at most `most` bytes. Raises TimeoutError at the deadline (monotonic seconds)."""
    data = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while len(data) < most:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise TimeoutError
            chunk = os.read(pipe.fileno(), _READ_BYTES)
            if not chunk:
                break
            data += chunk
    return data


def _source_facts(path: Path, timeout_s: float) -> dict[str, Any]:
    """What `sound.run` says of the file, from a bounded child."""
    bounds = Bounds(seconds=timeout_s, cpu_s=timeout_s, memory_bytes=MEMORY_BYTES)
    with path.open("rb") as file:
        ending = shared().decode("sound", {}, (file.fileno(),), bounds)
    if ending.error is not None:
        raise _error(*ending.error)
    if ending.answer is None:
        raise _undecodable("its container is damaged.")
    return ending.answer


def _reason(said: list[str], status: int) -> str:
    known = {
        "matches no streams": "the file holds no sound.",
        "on the fly": "its rate or channels change midway; export it again as one recording.",
        "Error opening input": f"this is no recording of a known format ({', '.join(DEMUXERS)}), or its beginning is damaged.",
        "Error binding filtergraph": "the file holds no sound that makes sense.",
    }
    found = (words for mark, words in known.items() if any(mark in line for line in said))
    return next(found, said[-1] if said else exit_words(status))


def _undecodable(reason: str) -> RequestError:
    return _error("audio_undecodable", f"The audio cannot be decoded: {reason}")


def _error(type: str, message: str) -> RequestError:
    return RequestError(type, message, field="audio")
