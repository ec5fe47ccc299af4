"""The meter on a real file, and on the same file spoilt in known ways."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from deployments.meter.curve import curve_path, read_curve, write_curve
from deployments.meter.measure import Measured, container_facts, measure
from deployments.models.facemesh import FaceMesh
from telemetry.errors import RequestError

from .conftest import MEDIA, ffmpeg


@dataclass(frozen=True)
class Meter:
    """The meter, and the folder for spoilt copies."""

    mesh: FaceMesh
    folder: Path

    def __call__(self, path: Path) -> Measured:
        return measure(path, face_mesh=self.mesh)

    def copy(self, *arguments: object, name: str = "copy.mp4") -> Measured:
        """What the meter says of what ffmpeg makes of `arguments`."""
        path = self.folder / name
        ffmpeg(*arguments, path)
        return self(path)


@pytest.fixture
def meter(face_mesh: FaceMesh, tmp_path: Path) -> Meter:
    return Meter(face_mesh, tmp_path)


@pytest.fixture(scope="session")
def plain(talking: Path, face_mesh: FaceMesh) -> Measured:
    return measure(talking, face_mesh=face_mesh)


def offset(found: Measured) -> float:
    assert found.audio_offset_ms is not None, found
    return found.audio_offset_ms


def test_a_generated_video_is_in_sync_and_its_facts_are_exact(plain: Measured) -> None:
    assert plain.sync_reason == "measured"
    assert abs(offset(plain)) < 60
    assert plain.audio_drift_ms == abs(offset(plain))
    assert plain.offset_start_ms == pytest.approx(plain.offset_end_ms)
    assert (plain.video_frames, plain.fps, plain.face_share) == (125, 25.0, 1.0)
    assert plain.video_s == pytest.approx(5.0)
    assert plain.sync_confidence is not None
    assert 0.5 < plain.sync_confidence <= 1.0


def test_sound_that_is_delayed_by_120_ms_reads_120_ms_later(talking: Path, plain: Measured, meter: Meter) -> None:
    late = meter.copy("-i", talking, "-af", "adelay=120:all=1", "-c:v", "copy")
    assert offset(late) - offset(plain) == pytest.approx(120, abs=12)


def test_the_priming_of_aac_in_matroska_is_no_offset(talking: Path, plain: Measured, meter: Meter) -> None:
    again = meter.copy("-i", talking, "-c:v", "copy", "-c:a", "aac", "-ar", 16000, name="copy.mkv")  # 64 ms of priming
    assert offset(again) - offset(plain) == pytest.approx(0, abs=8)


@pytest.mark.parametrize("late_s", [-0.2, 0.16])
def test_an_offset_in_the_container_is_seen_although_no_sample_changed(
    talking: Path, plain: Measured, meter: Meter, late_s: float
) -> None:
    inputs = (
        ("-itsoffset", -late_s, "-i", talking, "-i", talking)
        if late_s < 0
        else ("-i", talking, "-itsoffset", late_s, "-i", talking)
    )
    moved = meter.copy(*inputs, "-map", "0:v", "-map", "1:a", "-c", "copy", name="copy.mkv")
    assert offset(moved) - offset(plain) == pytest.approx(late_s * 1000, abs=6)


def test_frames_that_run_at_another_rate_than_they_were_made_for_are_found(talking: Path, meter: Meter) -> None:
    slow = meter.copy("-itsscale", 30 / 25, "-i", talking, "-i", talking, "-map", "0:v", "-map", "1:a", "-c", "copy")
    assert slow.offset_start_ms == pytest.approx(0, abs=80)
    assert slow.offset_end_ms == pytest.approx(-1000, abs=150)
    assert slow.duration_drift_ms == pytest.approx(1000, abs=60)


def test_frames_that_were_left_out_do_not_matter_where_time_stamps_stay(talking: Path, plain: Measured, meter: Meter) -> None:
    chosen = ("-vf", "select='not(eq(mod(n,5),2))'", "-fps_mode", "passthrough", "-enc_time_base", "1:25", "-c:a", "copy")
    thinned = meter.copy("-i", talking, *chosen)
    assert thinned.video_frames == 100
    assert offset(thinned) - offset(plain) == pytest.approx(0, abs=15)


def test_somebody_elses_speech_gets_no_answer(talking: Path, meter: Meter) -> None:
    wrong = meter.copy("-i", talking, "-i", MEDIA / "speech_zh.wav", "-map", "0:v", "-map", "1:a", "-c:v", "copy")
    assert wrong.sync_reason == "not_sure"
    assert wrong.audio_offset_ms is wrong.audio_drift_ms is None


def test_a_video_without_a_face_says_so(meter: Meter) -> None:
    sound = ("-i", MEDIA / "speech_en.wav")
    found = meter.copy("-f", "lavfi", "-i", "testsrc=size=160x120:rate=25:duration=2", *sound, "-shortest")
    assert found.sync_reason == "no_face"
    assert found.sync_confidence is found.lip_match is found.curve is None
    assert found.video_frames == 50


def test_a_silent_soundtrack_says_so(talking: Path, meter: Meter) -> None:
    silence = ("-f", "lavfi", "-i", "anullsrc=r=48000:cl=mono")
    found = meter.copy("-i", talking, *silence, "-map", "0:v", "-map", "1:a", "-c:v", "copy", "-t", 5)
    assert found.sync_reason == "silent"
    assert found.audio_offset_ms is None


@pytest.mark.parametrize(("arguments", "missing"), [(("-an",), "sound"), (("-vn",), "picture")])
def test_a_file_without_sound_or_picture_is_refused_in_words(
    talking: Path, meter: Meter, arguments: tuple[str, ...], missing: str
) -> None:
    with pytest.raises(RequestError, match=missing) as caught:
        meter.copy("-i", talking, *arguments, "-c", "copy")
    assert caught.value.field == "file"


def test_what_is_no_media_file_is_refused(meter: Meter) -> None:
    path = meter.folder / "fake.mp4"
    path.write_bytes(b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 40)
    with pytest.raises(RequestError):
        meter(path)


def test_whoever_watches_can_stop_the_measurement(talking: Path, face_mesh: FaceMesh) -> None:
    seen: list[float] = []

    def stop(seconds: float) -> None:
        seen.append(seconds)
        if seconds >= 0.4:
            raise RequestError("deadline_exceeded", "Enough.")

    with pytest.raises(RequestError, match="Enough"):
        measure(talking, face_mesh=face_mesh, on_frame=stop)
    assert len(seen) == 11


def test_the_curve_is_kept_beside_the_video_and_reads_back(plain: Measured, tmp_path: Path) -> None:
    assert plain.curve is not None
    path = curve_path(tmp_path / "0190-id.mp4")
    assert path.name == "0190-id.sync.parquet"
    write_curve(plain.curve, path)
    assert list(tmp_path.iterdir()) == [path]
    read = read_curve(path)
    assert read.time_s == pytest.approx(plain.curve.time_s)
    assert read.correlation == pytest.approx(plain.curve.correlation, nan_ok=True)
    assert read.lag_ms[read.correlation.argmax()] == pytest.approx(offset(plain), abs=20)


def test_facts_without_the_mouth_are_the_same_facts(talking: Path, plain: Measured) -> None:
    facts = container_facts(talking)
    assert facts == {name: value for name, value in plain.fields().items() if name in facts}
