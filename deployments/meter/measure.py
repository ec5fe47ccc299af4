"""The sync meter: one finished file in, what a viewer would see and hear of its timing out."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from deployments.media.audio import SAMPLE_RATE, Samples, is_silent, read_samples
from deployments.media.probe import MediaFacts, duration_drift_ms, open_media, probe
from deployments.media.still import frozen_tail_ms
from deployments.meter.curve import Curve
from deployments.meter.hear import RATE, expected_mouth
from deployments.meter.lags import LAGS, Motion, heard_motion
from deployments.meter.offset import Offset, find
from deployments.meter.track import LONGEST_S, Tick, Track, track
from deployments.models.facemesh import FaceMesh
from telemetry.errors import RequestError

FLOOR = 0.7
"""Confidence below which no offset is given. At 0.6, 5 % of natural clips with another clip's sound were answered, at 0.7 3.6 %,
and at both 71 % of those of 5 s and more with their own sound (bench/sync_accuracy.py)."""
FACE_SHARE = 0.5
"""Share of frames with a face below which the answer is no_face."""
_LONGEST_SOUND_S = 3600.0
_DECODE_S = 120.0


@dataclass(frozen=True)
class Measured:
    """What stands in the file. Offsets are ms, positive where the sound is late against the lips; None where not measured."""

    audio_offset_ms: float | None
    """In the middle of the video."""
    audio_drift_ms: float | None
    """Its absolute value."""
    offset_start_ms: float | None
    offset_end_ms: float | None
    """At the first and the last frame: they differ where the frames run at another rate than they were made for."""
    sync_confidence: float | None
    """Probability that the offset is within 80 ms; None where nothing was compared (no face, silence)."""
    sync_reason: str
    """measured, not_sure, no_face or silent."""
    lip_match: float | None
    """Correlation of mouth and speech at the best lag, 0 to 1."""
    duration_drift_ms: float
    frozen_tail_ms: float
    video_s: float
    audio_s: float
    video_frames: int
    fps: float
    audio_start_ms: float = 0.0
    """Start of the sound after that of the picture, as the container has them."""
    face_share: float | None = None
    """Share of the frames with a face."""
    truncated: bool = False
    """True where only the first ten minutes were looked at."""
    curve: Curve | None = field(default=None, repr=False, compare=False)
    """What the answer was found from (None without a face or without sound)."""

    def fields(self) -> dict[str, Any]:
        """Everything but the curve, by its name."""
        return {each.name: getattr(self, each.name) for each in dataclasses.fields(self) if each.name != "curve"}


def container_facts(path: Path) -> dict[str, Any]:
    """What needs no face: duration_drift_ms, frozen_tail_ms, video_s, audio_s, video_frames, fps, audio_start_ms.

    Raises RequestError(invalid_parameter, field="file") for what is no media file or lacks picture or sound.
    """
    facts = _facts(path)
    return _container(facts, frozen_tail_ms(path))


def _facts(path: Path) -> MediaFacts:
    facts = probe(path)
    missing = "picture" if facts.video_codec is None else "sound" if facts.audio_codec is None else None
    if missing or not facts.frames:
        raise RequestError(
            "invalid_parameter", f"This file holds no {missing or 'frame'}.", field="file", hint="Name a video with a soundtrack."
        )
    return facts


def _container(facts: MediaFacts, tail_ms: float) -> dict[str, Any]:
    return {
        "duration_drift_ms": duration_drift_ms(facts), "frozen_tail_ms": tail_ms, "video_s": facts.video_s,
        "audio_s": facts.audio_s, "video_frames": facts.frames, "fps": facts.fps,
        "audio_start_ms": (facts.audio_start_s - facts.video_start_s) * 1000.0,
    }  # fmt: skip


def measure(path: Path, *, face_mesh: FaceMesh | None = None, on_frame: Tick | None = None) -> Measured:
    """The sync of the video at `path`, from the file alone. `on_frame(seconds)` hears of progress and may raise to stop.

    Looks at the first ten minutes. Costs about a third of a second a second of 512 x 512 video, on one core. Raises
    RequestError(invalid_parameter, field="file") for what is no media file or lacks picture or sound, and as `read_samples` does.
    """
    facts = _facts(path)
    samples = read_samples(path, max_s=_LONGEST_SOUND_S, timeout_s=_DECODE_S)
    tail_ms = frozen_tail_ms(path, samples)
    known = _container(facts, tail_ms)
    if is_silent(samples):
        return _unmeasured("silent", known)
    found = track(path, face_mesh or FaceMesh(), on_frame)
    if found.face_share < FACE_SHARE:
        return _unmeasured("no_face", known | {"face_share": found.face_share, "truncated": found.truncated})
    return compare(found, samples, sound_start_s(path, facts), known)


def sound_start_s(path: Path, facts: MediaFacts) -> float:
    """When the first sample that a decoder presents is heard, seconds on the file's clock.

    The packets do not tell: Matroska's first one starts before the priming that the decoder takes off (23 ms of AAC at 44.1 kHz).
    """
    with open_media(path) as container:
        for frame in container.decode(container.streams.audio[0]):
            if frame.pts is not None and frame.time_base is not None:
                return float(frame.pts * frame.time_base)
    return facts.audio_start_s


def _unmeasured(reason: str, known: dict[str, Any], **more: Any) -> Measured:
    empty = dict.fromkeys(("audio_offset_ms", "audio_drift_ms", "offset_start_ms", "offset_end_ms", "sync_confidence", "lip_match"))
    return Measured(**empty | {"sync_reason": reason} | known | more)  # pyright: ignore[reportArgumentType]


def compare(found: Track, samples: Samples, audio_start_s: float, known: dict[str, Any]) -> Measured:
    """The answer for a tracked mouth and its soundtrack, which starts at `audio_start_s` on the video's clock."""
    samples = samples[: int((LONGEST_S + 2.0) * SAMPLE_RATE)]
    heard = heard_motion(expected_mouth(samples), audio_start_s)
    until_s = found.times[-1] - known["frozen_tail_ms"] / 1000.0
    offset = find(found, heard, until_s)
    seen = {"face_share": found.face_share, "truncated": found.truncated}
    if offset is None:
        return _unmeasured("not_sure", known | seen, sync_confidence=0.0)
    sure = offset.confidence >= FLOOR
    answer: dict[str, Any] = {
        "audio_offset_ms": offset.middle_ms, "audio_drift_ms": abs(offset.middle_ms),
        "offset_start_ms": offset.start_ms, "offset_end_ms": offset.end_ms,
    }  # fmt: skip
    return Measured(
        **(answer if sure else dict.fromkeys(answer)),
        sync_confidence=offset.confidence,
        sync_reason="measured" if sure else "not_sure",
        lip_match=offset.match,
        **known,
        **seen,
        curve=_curve(found, heard, offset),
    )


def _curve(found: Track, heard: Motion, offset: Offset) -> Curve:
    times = found.times[np.isfinite(found.mouth[:, 0])]
    opening = found.mouth[np.isfinite(found.mouth[:, 0]), 0]
    at = np.arange(len(heard.values)) / RATE + heard.start / RATE
    expected = np.interp(times, at, heard.values[:, 0], left=np.nan, right=np.nan)
    return Curve(times, opening, expected, (LAGS * (1000.0 / RATE)).astype(np.float64), offset.by_lag)
