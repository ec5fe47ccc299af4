"""Frames and the original sound into one MP4, which appears under its final name only when it is whole."""

from __future__ import annotations

import fcntl
import os
import secrets
import select
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from deployments.media.command import LastWords, exit_words, is_regular_file
from deployments.media.encoder import encode_command, even_size, fitting_encoder, pick_encoder
from deployments.media.encoder_bounds import EncoderBounds
from deployments.media.probe import MediaFacts, probe
from telemetry.errors import RequestError

__all__ = ["EncodedVideo", "VideoWriter", "pick_encoder"]

_PIPE_BYTES = 1 << 20
"""Size of the pipe to ffmpeg: the most that Linux gives without privileges, more than one 512 x 512 frame (0.79 MB)."""

_AAC_FRAME_S = 1024 / 48_000
_POLL_S = 0.02
_DYING_S = 5.0


@dataclass(frozen=True)
class EncodedVideo:
    """A finished video."""

    path: Path
    """Its final name."""
    facts: MediaFacts
    """What stands in the file."""
    encoder: str
    """Name of the video encoder that was used."""
    busy_s: float
    """Wall-clock seconds inside `write` and `finish`: without the waiting for frames."""


class VideoWriter:
    """Writes one video; use as a context manager, so that whatever goes wrong leaves neither a file nor a process.

    `write` and `finish` block and are meant for one executor thread; `abort` may be called from any other thread. Both raise
    RequestError: encoder_failed, or encoder_timeout where ffmpeg made no progress for `timeout_s` seconds.
    """

    def __init__(
        self,
        final: Path,
        *,
        width: int,
        height: int,
        fps: float,
        frames: int,
        audio: Path | None,
        audio_s: float,
        request_id: str,
        sound_late_s: float = 0.0,
        output_size: tuple[int, int] | None = None,
        encoder: str | None = None,
        preset: str = "veryfast",
        crf: int = 20,
        threads: int | None = None,
        timeout_s: float = 60.0,
    ) -> None:
        """Starts ffmpeg for exactly `frames` frames of `width` x `height` px at `fps`.

        The soundtrack is `audio` from its first sample, cut or padded to `audio_s` seconds. `output_size` (width, height) scales
        the picture; odd sides are made even. `sound_late_s` lets the soundtrack start late in the container (a drill's defect).
        `encoder` is a name that ffmpeg knows (None: `pick_encoder()`); `preset`, `crf` and
        `threads` (None: the cores that we may use) are x264's.
        """
        self._final, self._frames, self._timeout_s = final, frames, timeout_s
        self._part = final.with_name(f".{final.name}.{secrets.token_hex(4)}.part")
        self._audio, self._audio_s, self._sound_late = audio, audio_s, sound_late_s > 0
        self._shape = (height, width, 3)
        self._size = even_size(output_size or (width, height))
        self.encoder = fitting_encoder(encoder or pick_encoder(), self._size)
        self.written = 0
        self.busy_s = 0.0
        self._closed = False
        self._lock = threading.Lock()
        if audio is not None and not is_regular_file(audio):
            raise RequestError("encoder_failed", "The audio file for the soundtrack is gone.", field="audio")
        command = encode_command(
            self._part, size=(width, height), output_size=self._size, fps=fps, audio=audio, audio_s=audio_s,
            sound_late_s=sound_late_s, request_id=request_id, encoder=self.encoder, preset=preset, crf=crf, threads=threads,
        )  # fmt: skip
        pixels = max(width * height, self._size[0] * self._size[1])
        cores = threads or len(os.sched_getaffinity(0))
        self._process = _start(command, EncoderBounds.of(pixels, frames, cores, on_gpu=self.encoder == "h264_nvenc"))
        assert self._process.stdin is not None
        assert self._process.stderr is not None
        self._pipe = self._process.stdin
        self._words = LastWords(self._process.stderr)
        with suppress(OSError):  # refused where this user's pipes hold much already: the small pipe works, a little slower
            fcntl.fcntl(self._pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        os.set_blocking(self._pipe.fileno(), False)

    def write(self, frames: npt.NDArray[np.uint8]) -> None:
        """Sends `frames` ((n, h, w, 3) RGB) to the encoder and blocks until it took them; no copy where they lie in one piece."""
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[1:] != self._shape:
            self.abort()
            raise RequestError("encoder_failed", f"Frames are {frames.dtype} {frames.shape[1:]}, not uint8 {self._shape}.")
        if self.written + len(frames) > self._frames:
            self.abort()
            raise self._wrong_count(self.written + len(frames))
        started = time.monotonic()
        with self._lock:
            if len(frames):
                self._send(np.ascontiguousarray(frames).data.cast("B"))
            self.written += len(frames)
        self.busy_s += time.monotonic() - started

    def _send(self, view: memoryview) -> None:
        """Writes `view` to the pipe; the pipe taking something within `timeout_s` is what counts as progress."""
        self._refuse_closed()
        poll = select.poll()
        poll.register(self._pipe, select.POLLOUT)
        while view:
            if not poll.poll(self._timeout_s * 1000.0):
                raise self._stalled()
            try:
                view = view[os.write(self._pipe.fileno(), view) :]
            except BlockingIOError:
                continue
            except OSError:  # a broken pipe: ffmpeg knows why
                raise self._failed() from None

    def finish(self) -> EncodedVideo:
        """Ends the stream, waits for ffmpeg, checks the file and moves it to its final name."""
        started = time.monotonic()
        with self._lock:
            self._refuse_closed()
            if self.written != self._frames:
                self._clean_up()
                raise self._wrong_count(self.written)
            self._pipe.close()
            if self._wait() != 0:
                raise self._failed()
            try:
                facts = self._checked()
                _sync_to_disk(self._part)
                self._part.replace(self._final)
            except OSError as error:
                raise RequestError("encoder_failed", f"The finished video cannot be stored: {error.strerror}.") from None
            finally:
                self._clean_up()
        self.busy_s += time.monotonic() - started
        return EncodedVideo(self._final, facts, self.encoder, self.busy_s)

    def abort(self) -> None:
        """Kills ffmpeg and removes the unfinished file. Harmless when called again or after `finish`."""
        if not self._closed:
            self._process.kill()  # before the lock: a write in another thread then ends at once
        with self._lock:
            self._clean_up()

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.abort()

    def _wait(self) -> int:
        """ffmpeg's exit status once its input has ended; a file that neither grows nor is rewritten is no progress."""
        seen, since = None, time.monotonic()
        while (status := self._process.poll()) is None:
            now = time.monotonic()
            if (state := _state(self._part)) != seen:
                seen, since = state, now
            elif now - since > self._timeout_s:
                raise self._stalled()
            time.sleep(_POLL_S)
        return status

    def _checked(self) -> MediaFacts:
        """The facts of the written file. Raises where they are not what was ordered."""
        try:
            facts = probe(self._part)
        except RequestError as error:
            raise RequestError("encoder_failed", f"The encoder's file cannot be read back: {error.message}") from None
        if facts.frames != self._frames or (facts.width, facts.height) != self._size:
            found = f"{facts.frames} frames of {facts.width} x {facts.height}"
            ordered = f"{self._frames} of {self._size[0]} x {self._size[1]}"
            raise RequestError("encoder_failed", f"The encoder's file holds {found}, not {ordered}.")
        # A soundtrack that starts late shows its priming frame too: silence before the first sample (seen with ffmpeg 9).
        spare_s = _AAC_FRAME_S * (2 if self._sound_late else 1)
        if self._audio is not None and (facts.audio_codec is None or abs(facts.audio_s - self._audio_s) > spare_s + 1e-6):
            raise RequestError("encoder_failed", f"The soundtrack is {facts.audio_s:.3f} s long, not {self._audio_s:.3f} s.")
        return facts

    def _refuse_closed(self) -> None:
        if self._closed:
            raise RequestError("encoder_failed", "The video was aborted or finished already.")

    def _stalled(self) -> RequestError:
        self._clean_up()
        progress = f"after {self.written} of {self._frames} frames"
        return RequestError("encoder_timeout", f"The encoder made no progress for {self._timeout_s:g} s {progress}.")

    def _failed(self) -> RequestError:
        """ffmpeg ended before it was done: its reason, after its death."""
        try:
            self._process.wait(_DYING_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
        status = self._process.wait()
        said = self._words.lines(self._part, self._final, *([self._audio] if self._audio is not None else []))
        self._clean_up()
        reason = " / ".join(said[-3:]) or exit_words(status)
        return RequestError("encoder_failed", f"The encoder stopped after {self.written} of {self._frames} frames: {reason}")

    def _wrong_count(self, count: int) -> RequestError:
        return RequestError("encoder_failed", f"The video has {count} frames, but {self._frames} were announced.")

    def _clean_up(self) -> None:
        """No process, no pipe and no unfinished file after this; the caller holds the lock."""
        if self._closed:
            return
        self._closed = True
        self._process.kill()
        self._process.wait()
        self._words.lines()
        for pipe in (self._pipe, self._process.stderr):
            if pipe is not None:
                pipe.close()
        self._part.unlink(missing_ok=True)


def _start(command: list[str], bounds: EncoderBounds) -> subprocess.Popen[bytes]:
    try:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, bufsize=0)
        with suppress(ProcessLookupError):  # it ended at once: its own words say why
            bounds.bind(process.pid)
    except OSError as error:
        raise RequestError("encoder_failed", f"ffmpeg cannot be started: {error.strerror}.") from None
    return process


def _state(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_size, found.st_mtime_ns


def _sync_to_disk(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
