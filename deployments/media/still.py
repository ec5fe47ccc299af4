"""A picture that stands still at the end of a video while the sound still speaks."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.container import InputContainer

from deployments.media.audio import SAMPLE_RATE, SILENCE_WINDOW_S, Samples, read_samples, window_dbfs
from deployments.media.probe import open_media, probe

STILL_LUMA = 0.2
"""Mean absolute difference of luma (0..255), in the block where it is largest, below which two frames are the same picture.

Measured on four real talking clips (150 to 250 frames, scaled to 512 x 512, H.264 veryfast), with the last 50 frames frozen.
Frozen: below 0.15, but up to 0.7 (CRF 20) or 1.7 (CRF 28) in the three frames in which the encoder still refines the picture.
Moving: CRF 20 never below 0.42, CRF 28 1 of 20 below 0.25 in the calmest clip. The mean over the whole picture does not
separate them (frozen up to 0.02, moving from 0.012): a mouth is a few per cent of the picture."""

SPEECH_BELOW_LOUDEST_DB = 25.0
"""A window of sound at most this far below the loudest counts as speech. Measured on five recordings: the pauses of the noisiest
(LibriVox) lie 28 dB below its loudest window, those of the others 33 to 62 dB."""

SPEECH_FLOOR_DBFS = -50.0
"""Below this nothing counts as speech."""

_SIDE = 128
_GRID = 8
_STEP_S = Fraction(1, 26)  # at 60 frames a second neighbours differ too little: compare frames about 1/25 s apart
_LONGEST_S = 3600.0
_DECODE_S = 60.0


def frozen_tail_ms(path: Path, samples: Samples | None = None) -> float:
    """Milliseconds for which the end of the video stands still under speech: from where nothing moves to the last speech in it.

    `samples` is the soundtrack, (n,) mono at 16 kHz from its first sample (None: it is read from the file). 0.0 where the picture
    moves to the end, where the end is silent, or where video or sound is missing. Reads up to three frames short at 512 px,
    because the encoder refines a picture that stops; at 256 px four, at 128 px up to ten were seen (changes of 0.3 to 0.6). Costs
    0.15 s for 10 s of 512 x 512 at 25 frames a second on two cores, and 0.05 s for the sound. Raises RequestError as `probe` and
    `read_samples` do.
    """
    facts = probe(path)
    if facts.video_codec is None or facts.audio_codec is None:
        return 0.0
    with open_media(path) as container:
        still_from, video_end = _still_from(container, container.streams.video[0])
    if still_from >= video_end:
        return 0.0
    if samples is None:
        samples = read_samples(path, max_s=_LONGEST_S, timeout_s=_DECODE_S)
    speech_end = min(video_end, facts.audio_start_s + _last_speech_s(samples, still_from - facts.audio_start_s))
    return max(0.0, speech_end - still_from) * 1000.0


def _still_from(container: InputContainer, stream: av.VideoStream) -> tuple[float, float]:
    """When the last picture that differs from the one before has been shown, and when the video ends (seconds)."""
    stream.thread_type = "AUTO"
    step = 1 / stream.average_rate if stream.average_rate else Fraction(1, 25)
    before: npt.NDArray[np.float32] | None = None
    before_at = time = still_from = Fraction(-1)
    refreshed = was_key = False
    for frame in container.decode(stream):
        if frame.pts is None or frame.time_base is None:
            continue
        time = frame.pts * frame.time_base
        refreshed = refreshed or (frame.key_frame and not was_key)
        was_key = frame.key_frame
        if before is not None and time - before_at < _STEP_S:
            continue
        small = _small_luma(frame)
        # A key frame is coded afresh and differs by up to 1.0 without any movement: a single one tells nothing.
        if before is None or (not refreshed and _largest_change(before, small) >= STILL_LUMA):
            still_from = time + step
        before, before_at, refreshed = small, time, False
    return float(still_from), float(time + step)


def _small_luma(frame: av.VideoFrame) -> npt.NDArray[np.float32]:
    """The frame's luma plane at 128 x 128, without any conversion of colours."""
    plane = frame.planes[0]
    luma = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: frame.height, : frame.width]
    return cv2.resize(luma, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)


def _largest_change(before: npt.NDArray[np.float32], after: npt.NDArray[np.float32]) -> float:
    blocks = np.abs(after - before).reshape(_GRID, _SIDE // _GRID, _GRID, _SIDE // _GRID)
    return float(blocks.mean(axis=(1, 3)).max())


def _last_speech_s(samples: Samples, from_s: float) -> float:
    """End of the last speech window that starts after `from_s`, in seconds of `samples`; `from_s` where there is none."""
    if not len(samples):
        return from_s
    levels = window_dbfs(samples)
    speech = np.flatnonzero(levels >= max(levels.max() - SPEECH_BELOW_LOUDEST_DB, SPEECH_FLOOR_DBFS))
    if not len(speech) or speech[-1] * SILENCE_WINDOW_S < from_s:
        return from_s
    return min((float(speech[-1]) + 1.0) * SILENCE_WINDOW_S, len(samples) / SAMPLE_RATE)
