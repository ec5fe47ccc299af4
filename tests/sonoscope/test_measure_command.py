"""`sonoscope measure`: what it prints, and that it needs nothing but the file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from deployments.meter.curve import Curve
from deployments.meter.measure import Measured
from sonoscope.cli import app
from sonoscope.commands.measure import NAMES, plot, sentences

ISSUED = {
    "audio_offset_ms", "audio_drift_ms", "sync_confidence", "sync_reason", "lip_match", "duration_drift_ms", "frozen_tail_ms",
    "video_s", "audio_s", "video_frames", "fps",
}  # fmt: skip
MEDIA = Path(__file__).parents[2] / "sonoscope" / "media"


def measured(start_ms: float | None, end_ms: float | None, reason: str = "measured") -> Measured:
    middle = None if start_ms is None or end_ms is None else (start_ms + end_ms) / 2
    sure = None if middle is None else 0.97
    return Measured(
        audio_offset_ms=middle, audio_drift_ms=None if middle is None else abs(middle),
        offset_start_ms=start_ms, offset_end_ms=end_ms, sync_confidence=sure, sync_reason=reason, lip_match=sure,
        duration_drift_ms=40.0, frozen_tail_ms=0.0, video_s=5.0,
        audio_s=4.96, video_frames=125, fps=25.0,
    )  # fmt: skip


def test_in_an_empty_folder_without_service_or_journal_a_video_is_measured_as_json(tmp_path: Path) -> None:
    video = tmp_path / "still.mp4"
    _still_portrait(video)
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "none")}
    command = [sys.executable, "-m", "sonoscope", "measure", video.name, "--json"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert set(answer) >= ISSUED
    assert list(answer) == list(NAMES)
    assert (answer["sync_reason"], answer["audio_offset_ms"], answer["video_frames"]) == ("not_sure", None, 50)
    assert list(tmp_path.iterdir()) == [video]


def _still_portrait(path: Path) -> None:
    """A photograph that does not move, under speech: two seconds."""
    import imageio_ffmpeg

    picture, sound = MEDIA / "portrait_astronaut.png", MEDIA / "speech_en.wav"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-loop", "1", "-framerate", "25", "-i", str(picture)]
    command += ["-i", str(sound), "-t", "2", "-vf", "scale=256:256", "-pix_fmt", "yuv420p", str(path)]
    subprocess.run(command, check=True, timeout=60)


def test_a_file_without_sound_ends_with_a_message_that_names_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    path.write_bytes((MEDIA / "speech_en.wav").read_bytes())
    done = CliRunner().invoke(app, ["measure", str(path), "--json"])
    assert done.exit_code == 1
    assert "no picture" in done.stderr
    assert json.loads(done.stdout)["error"]["field"] == "file"


def test_a_person_reads_the_side_and_the_standards_with_the_signs_the_right_way_round() -> None:
    late = " ".join(sentences(measured(100.0, 100.0)))
    assert "100 ms late" in late
    assert "outside[/red] EBU R37: -40 to +60" in late
    assert "inside[/green] ITU-R BT.1359-1, detectable: -45 to +125" in late
    early = " ".join(sentences(measured(-100.0, -100.0)))
    assert "100 ms early" in early
    assert "outside[/red] ITU-R BT.1359-1, acceptable: -90 to +185" in early


def test_an_offset_that_grows_is_named_with_both_ends() -> None:
    text = " ".join(sentences(measured(-10.0, -1010.0)))
    assert "-10 ms at the start to -1010 ms at the end" in text


@pytest.mark.parametrize("reason", ["not_sure", "no_face", "silent"])
def test_no_answer_is_explained(reason: str) -> None:
    text = " ".join(sentences(measured(None, None, reason)))
    assert reason in text
    assert "EBU" not in text


def test_the_plot_stands_highest_where_the_correlation_does() -> None:
    lags = np.arange(-100, 101) * 10.0
    line = plot(Curve(lags, lags, lags, lags, 0.8 * np.exp(-(((lags - 500) / 100) ** 2)))).splitlines()[0]
    assert 0.7 < line.index("█") / len(line) < 0.8
