"""Sound of any common format as 16 kHz mono samples, decoded by ffmpeg in one pass through a pipe."""

from __future__ import annotations

import selectors
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import ffmpeg
import numpy as np
import numpy.typing as npt

from deployments.media.command import QUIET, STEADY_INPUT, LastWords, exit_words, ffmpeg_binary, is_regular_file, url
from deployments.media.probe import first_presented_s, open_media
from telemetry.errors import RequestError

SAMPLE_RATE = 16_000
"""Samples a second of what `decode_audio` returns (the same as `deployments.models.protocol.SAMPLE_RATE`)."""

SILENCE_DBFS = -60.0
"""A window below this is silence. Measured on five recordings of speech: their loudest windows reach -8 to -22 dBFS, their pauses
lie at -43 to -71. A recording that never leaves the level of a quiet pause holds no speech that could move a mouth."""

SILENCE_WINDOW_S = 0.05
"""Length of the windows: about one syllable's vowel, so that a single spoken word in a long pause is found."""

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
    samples = read_samples(path, max_s=limits.max_s, timeout_s=limits.timeout_s)
    seconds = len(samples) / SAMPLE_RATE
    if seconds < limits.min_s:
        raise _error("audio_too_short", f"The recording is {seconds:.2f} s long; at least {limits.min_s:g} s are needed.")
    if is_silent(samples):
        window = f"{SILENCE_WINDOW_S * 1000:.0f} ms"
        raise _error("audio_silent", f"Every {window} of the recording lies below {SILENCE_DBFS:g} dBFS, quieter than any speech.")
    rate, channels, codec, start_s = _source_facts(path)
    peak = 20.0 * float(np.log10(np.abs(samples).max()))
    return DecodedAudio(samples, SAMPLE_RATE, seconds, rate, channels, codec, peak, start_s)


def read_samples(path: Path, *, max_s: float, timeout_s: float) -> Samples:
    """The first audio stream of `path` as (n,) float32 samples, -1 to 1, at SAMPLE_RATE, without judging what is in it.

    Timestamps in the file are not looked at: sample 0 is the first one that the decoder presents. Raises RequestError (field
    "audio"): audio_undecodable, audio_too_long where there is more than `max_s` seconds.
    """
    if not is_regular_file(path):
        raise _error("audio_undecodable", "There is no such audio file.")
    command = ffmpeg.compile(_decoder(path, max_s + 1.0), cmd=ffmpeg_binary())
    most = int((max_s + 1.0) * SAMPLE_RATE) * _FLOAT_BYTES
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        words = LastWords(process.stderr)
        try:
            data = _read_bounded(process, most, time.monotonic() + timeout_s)
            process.wait(timeout=timeout_s)
        except (TimeoutError, subprocess.TimeoutExpired):
            raise _error("audio_undecodable", f"Decoding took longer than {timeout_s:g} s.") from None
        finally:
            process.kill()
            process.wait()
            said = words.lines(path)
    if len(data) // _FLOAT_BYTES > round(max_s * SAMPLE_RATE):
        raise _error("audio_too_long", f"The recording is longer than {max_s:g} s.")
    if process.returncode != 0 or (not data and said):
        raise _error("audio_undecodable", f"The audio cannot be decoded: {_reason(said, process.returncode)}")
    samples = np.frombuffer(data, np.float32, count=len(data) // _FLOAT_BYTES)
    # A WAV of floats may hold NaN or values beyond full scale; either would poison what is computed from it.
    np.nan_to_num(samples, copy=False, nan=0.0, posinf=1.0, neginf=-1.0)
    return np.clip(samples, -1.0, 1.0, out=samples)


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

    Decoder and encoder both use it: a start offset or a gap in the container's clock then shifts neither against the other.
    """
    return ffmpeg.filter(source["a:0"], "asetpts", "N/SR/TB")


def _decoder(path: Path, most_s: float) -> ffmpeg.nodes.OutputStream:
    sound = first_sound(ffmpeg.input(url(path), **STEADY_INPUT))
    # Without rematrix_maxval floats are mixed as 0.7 L + 0.7 R, which clips a loud stereo recording; with it as 0.5 L + 0.5 R.
    mono = ffmpeg.filter(sound, "aresample", SAMPLE_RATE, out_sample_fmt="flt", out_chlayout="mono", rematrix_maxval=1.0)
    return ffmpeg.output(mono, "pipe:1", format="f32le", t=most_s).global_args(*QUIET)


def _read_bounded(process: subprocess.Popen[bytes], most: int, deadline: float) -> bytearray:
    """What the process writes, at most `most` bytes. Raises TimeoutError at the deadline (monotonic seconds)."""
    assert process.stdout is not None
    data = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while len(data) < most:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise TimeoutError
            chunk = process.stdout.read1(_READ_BYTES)  # pyright: ignore[reportAttributeAccessIssue]
            if not chunk:
                return data
            data += chunk
    process.kill()  # there is more than anybody asked for
    return data


def _source_facts(path: Path) -> tuple[int, int, str, float]:
    """Rate, channels, codec and start in seconds, read after ffmpeg decoded the file in a process of its own."""
    try:
        with open_media(path) as container:
            stream = container.streams.audio[0]
            context = stream.codec_context
            return context.sample_rate, context.channels, context.name, first_presented_s(container, stream)
    except RequestError as error:
        raise _error("audio_undecodable", error.message) from None


def _reason(said: list[str], returncode: int) -> str:
    if any("matches no streams" in line for line in said):
        return "the file holds no sound."
    if any("on the fly" in line for line in said):
        return "its rate or channels change midway; export it again as one recording."
    return said[-1] if said else exit_words(returncode)


def _error(type: str, message: str) -> RequestError:
    return RequestError(type, message, field="audio")
