"""Facts are counted from the file, not believed from its header; a frozen end is found and measured."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from deployments.media.encode import VideoWriter
from deployments.media.probe import duration_drift_ms, faststart, probe
from deployments.media.still import frozen_tail_ms
from telemetry.errors import RequestError


def test_late_sound_and_short_video_show_in_the_facts(make, speech: Path) -> None:
    video = ["-f", "lavfi", "-i", "testsrc2=size=64x64:rate=25:duration=2", "-itsoffset", 0.5, "-i", speech]
    facts = probe(make("a.mkv", *video, "-c:v", "libx264", "-c:a", "flac"))
    assert (facts.frames, facts.video_codec, facts.audio_codec) == (50, "h264", "flac")
    assert facts.video_s == pytest.approx(2.0, abs=0.002)
    assert facts.audio_start_s == pytest.approx(0.5, abs=0.002)
    assert facts.audio_s == pytest.approx(7.1, abs=0.1)
    assert duration_drift_ms(facts) == pytest.approx(1000 * (facts.video_s - facts.audio_s))


def test_sound_alone_has_no_video_and_no_drift(speech: Path) -> None:
    facts = probe(speech)
    assert (facts.video_codec, facts.frames, facts.width) == (None, 0, 0)
    assert facts.audio_s == pytest.approx(7.1)
    assert facts.bytes == speech.stat().st_size
    assert duration_drift_ms(facts) == 0.0
    assert frozen_tail_ms(speech) == 0.0


def test_faststart_sees_where_the_index_lies(make) -> None:
    source = ["-f", "lavfi", "-i", "testsrc2=size=64x64:rate=25:duration=1"]
    assert not faststart(make("slow.mp4", *source))
    assert faststart(make("fast.mp4", *source, "-movflags", "+faststart"))


def test_what_is_no_media_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("#EXTM3U\n")
    for path in (tmp_path / "a.mp4", tmp_path / "missing.mp4", tmp_path):
        with pytest.raises(RequestError) as caught:
            probe(path)
        assert caught.value.type == "invalid_parameter"
        assert str(tmp_path) not in caught.value.message
    assert not faststart(tmp_path / "a.mp4")


def talking(seconds: float, fps: float, frozen_s: float) -> np.ndarray:
    """(n, 128, 128, 3) a textured picture whose mouth, 1.5 % of it, opens and shuts until `frozen_s` before the end."""
    noise = np.random.default_rng(3).integers(60, 200, (16, 16, 3), dtype=np.uint8)
    ground = cv2.resize(noise, (128, 128), interpolation=cv2.INTER_CUBIC)
    frames = round(seconds * fps)
    pixels = np.repeat(ground[None], frames, axis=0)
    for k in range(frames):
        time = min(k / fps, seconds - frozen_s)
        cv2.ellipse(pixels[k], (64, 90), (12, 2 + round(4 * abs(np.sin(9 * time)))), 0, 0, 360, (40, 10, 10), -1, cv2.LINE_AA)
    return pixels


@pytest.mark.parametrize("fps", [10.0, 25.0, 60.0])
@pytest.mark.parametrize("frozen_s", [0.0, 1.0, 2.5])
def test_a_frozen_tail_under_speech_is_measured(fps: float, frozen_s: float, tmp_path: Path, speech: Path) -> None:
    pixels = talking(5.0, fps, frozen_s)
    options = {"width": 128, "height": 128, "frames": len(pixels), "request_id": "r"}
    with VideoWriter(tmp_path / "v.mp4", fps=fps, audio=speech, audio_s=5.0, **options) as video:
        video.write(pixels)
        video.finish()
    assert frozen_tail_ms(tmp_path / "v.mp4") == pytest.approx(1000 * frozen_s, abs=max(120.0, 2000 / fps) if frozen_s else 60.0)


def test_a_still_end_is_no_fault_where_nobody_speaks(tmp_path: Path, make, speech: Path) -> None:
    sound = make("pause.wav", "-i", speech, "-af", "atrim=0:3,apad=whole_dur=5")
    pixels = talking(5.0, 25.0, 1.9)
    options = {"width": 128, "height": 128, "frames": len(pixels), "request_id": "r"}
    with VideoWriter(tmp_path / "v.mp4", fps=25.0, audio=sound, audio_s=5.0, **options) as video:
        video.write(pixels)
        video.finish()
    assert frozen_tail_ms(tmp_path / "v.mp4") == 0.0
    assert frozen_tail_ms(tmp_path / "v.mp4", np.ones(5 * 16000, np.float32)) > 1500
