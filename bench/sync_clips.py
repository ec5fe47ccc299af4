"""Clips for the sync meter's figures: natural ones from the folder $SONOSCOPE_CLIPS, generated ones made here by `lite`.

A clip is tracked once and kept among the temporary files. Another sound, offset or frame rate, or a missing end, then needs no
decoding; `bench.sync_accuracy` checks on real files that this gives the same answers.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file

import deployments.meter.mouth
import deployments.meter.track
from deployments.media.audio import SAMPLE_RATE, read_samples
from deployments.media.crop import crop_portrait
from deployments.media.encode import VideoWriter
from deployments.media.picture import decode_picture
from deployments.media.probe import probe
from deployments.meter.hear import RATE, expected_mouth
from deployments.meter.lags import Motion, syllables
from deployments.meter.measure import sound_start_s
from deployments.meter.track import Track, track
from deployments.models.facemesh import FaceMesh
from deployments.models.lite import Lite
from deployments.models.protocol import Portrait, Speech, frame_count
from telemetry import fields

MEDIA = Path(__file__).parents[1] / "sonoscope" / "media"
REFERENCE = Path(__file__).with_name("sync_reference.json")
CACHE = Path(tempfile.gettempdir()) / "sonoscope-sync-bench"
SUFFIXES = (".mp4", ".mpg", ".avi", ".mov", ".mkv", ".webm")


@dataclass(frozen=True)
class Clip:
    """A tracked clip."""

    path: Path
    seen: Track
    heard: npt.NDArray[np.float32]
    """`expected_mouth` of the soundtrack."""
    audio_start_s: float
    own_ms: float | None
    """What the whole clip's offset is taken to be; None where it is not known."""
    natural: bool

    @property
    def name(self) -> str:
        """File name."""
        return self.path.name

    @property
    def group(self) -> str:
        """Clips that are left out together: all of GRID are one studio, and generated ones of one recording speak alike."""
        if not self.natural:
            return "speech_zh" if "speech_zh" in self.name else "speech_en"
        return "grid" if "grid_" in self.name else self.name

    @property
    def seconds(self) -> float:
        """From the first frame to the last."""
        return float(self.seen.times[-1] - self.seen.times[0])

    def window(self, start_s: float, seconds: float) -> Clip:
        """The part that starts `start_s` after the first frame, picture and sound alike."""
        low, high = self.seen.times[0] + start_s, self.seen.times[0] + start_s + seconds
        keep = (self.seen.times >= low) & (self.seen.times < high)
        seen = Track(self.seen.times[keep], self.seen.mouth[keep], self.seen.shots[keep], False)
        first = max(0, round((low - self.audio_start_s) * RATE))
        heard = self.heard[first : max(first, round((high - self.audio_start_s) * RATE))]
        return Clip(self.path, seen, heard, self.audio_start_s + first / RATE, self.own_ms, self.natural)

    def sound(self, late_s: float = 0.0) -> Motion:
        """The soundtrack's motion, moved by `late_s`."""
        return Motion(
            round((self.audio_start_s + late_s) * RATE), syllables(self.heard.astype(np.float64)), np.ones(len(self.heard), bool)
        )

    def relabelled(self, factor: float) -> Track:
        """The frames as if each were shown `factor` times as long."""
        times = self.seen.times[0] + (self.seen.times - self.seen.times[0]) * factor
        return Track(times, self.seen.mouth, self.seen.shots, False)


def natural_clips() -> list[Clip]:
    """Clips in $SONOSCOPE_CLIPS, or none where it is not set."""
    folder = os.environ.get("SONOSCOPE_CLIPS")
    if not folder:
        return []
    own = json.loads(REFERENCE.read_text())["own_ms"]
    paths = sorted(path for path in Path(folder).iterdir() if path.suffix in SUFFIXES and path.name in own)
    return [tracked(path, own[path.name], natural=True) for path in paths]


def tracked(path: Path, own_ms: float | None, *, natural: bool) -> Clip:
    """`path` with its mouth, from the cache where it is the same file and the same tracker."""
    kept = kept_track(path)
    if not kept.exists():
        found = track(path, FaceMesh())
        samples = read_samples(path, max_s=3600.0, timeout_s=120.0)
        save_file({"times": found.times, "mouth": found.mouth, "shots": found.shots, "samples": samples}, kept)
    data = load_file(kept)
    seen = Track(data["times"], data["mouth"], data["shots"], False)
    return Clip(path, seen, expected_mouth(data["samples"]), sound_start_s(path, probe(path)), own_ms, natural)


def kept_track(path: Path) -> Path:
    """Where the mouth and the samples of `path` are kept."""
    code = "".join(Path(str(module.__file__)).read_text() for module in (deployments.meter.track, deployments.meter.mouth))
    key = hashlib.sha256(path.read_bytes() + code.encode()).hexdigest()[:24]
    CACHE.mkdir(exist_ok=True)
    return CACHE / f"{key}.safetensors"


def generated_clips(limit: int | None = None) -> list[Clip]:
    """Videos of two portraits in English and Mandarin, made by `lite` as the service makes them (muxed without offset)."""
    CACHE.mkdir(exist_ok=True)
    asked = [(face, voice) for face in ("portrait_astronaut.png", "painting_mona_lisa.jpg") for voice in ("speech_en", "speech_zh")]
    return [tracked(generate(*pair, seed=i), 0.0, natural=False) for i, pair in enumerate(asked[:limit])]


def generate(portrait: str, voice: str, *, seed: int, size: int = 256, fps: float = 25.0) -> Path:
    """A video of `portrait` saying `voice` (names in the bundled media), in the cache."""
    backend = Lite()
    final = CACHE / f"lite-{backend.version}-{Path(portrait).stem}-{voice}-{seed}-{fps:g}.mp4"
    if final.exists():
        return final
    picture, finder = decode_picture(MEDIA / portrait).pixels, FaceMesh()
    mesh, _ = finder.fit(picture, finder.detect(picture)[0])
    crop = crop_portrait(picture, mesh, expand_ratio=0.18, min_resolution=size)
    with wave.open(str(MEDIA / f"{voice}.wav")) as file:
        sound = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    speech = Speech((sound / 32768).astype(np.float32))
    parameters = fields.defaults() | {"seed": seed, "fps": fps}
    height, width = crop.pixels.shape[:2]
    backend.load("cpu")
    with VideoWriter(
        final, width=width, height=height, fps=fps, frames=frame_count(speech.seconds, fps), audio=MEDIA / f"{voice}.wav",
        audio_s=len(sound) / SAMPLE_RATE, request_id="bench",
    ) as writer:  # fmt: skip
        for frames in backend.generate(Portrait(crop.pixels, crop.mesh, final.name), speech, parameters, lambda k, n: None):
            writer.write(frames)
        writer.finish()
    return final
