"""`sonoscope explain VIDEO`: a file's own symptoms, what is like it among the rows, and refusals that say what to do."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from sonoscope.cli import app

ROWS = Path(__file__).parents[1] / "fixtures" / "sweep.parquet"


@pytest.fixture
def made_by_us(tmp_path: Path) -> Path:
    """A silent clip with the comment of a request of the sweep whose sound was late."""
    rows = pd.read_parquet(ROWS)
    late = rows[(rows["department"] == "claims") & (rows["audio_offset_ms"] > 100)]
    return clip(tmp_path / "late.mp4", f"request_id={late['request_id'].iloc[0]}")


def clip(path: Path, comment: str, picture_s: float = 2.0, sound_s: float = 2.0) -> Path:
    import imageio_ffmpeg

    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-f", "lavfi", "-i", f"testsrc=s=64x64:r=25:d={picture_s}"]
    command += [
        "-f",
        "lavfi",
        "-i",
        f"anullsrc=r=16000:cl=mono:d={sound_s}",
        "-pix_fmt",
        "yuv420p",
        "-metadata",
        f"comment={comment}",
    ]
    subprocess.run([*command, str(path)], check=True, timeout=60)
    return path


def explained(video: Path, *more: str) -> dict:
    done = CliRunner().invoke(app, ["explain", str(video), "--input", str(ROWS), "--json", *more])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_a_file_of_ours_is_its_record_and_not_what_the_file_says_again(made_by_us: Path) -> None:
    told = explained(made_by_us)
    assert told["record"]
    assert told["shows"] == ["sound_late"]
    assert (told["like"], told["known"]) == (37, 175)
    assert told["causes"][0]["where"][0]["what"] == "department = claims"
    assert told["confirm"][:2] == ["--where", told["causes"][0]["expression"]]
    assert told["twin"]["twin"]


def test_the_words_name_the_cause_and_the_replay_that_would_show_it(made_by_us: Path) -> None:
    done = CliRunner().invoke(app, ["explain", str(made_by_us), "--input", str(ROWS), "--show-queries"])
    assert done.exit_code == 0, done.output
    assert "department = claims. 37 of 37 requests there, elsewhere 0 of 138" in done.output
    assert 'To confirm: sonoscope replay --where \'department = "claims"' in done.output
    assert "FROM requests" in done.output


def test_a_file_of_somebody_else_is_measured_alone(tmp_path: Path) -> None:
    told = explained(clip(tmp_path / "theirs.mp4", "holiday", picture_s=2.0, sound_s=3.0))
    assert not told["record"]
    assert told["shows"] == ["tail_cut"]
    assert told["facts"]["duration_drift_ms"] == pytest.approx(-1000, abs=60)
    assert told["twin"] is None


@pytest.mark.parametrize("comment", ["request_id=../../etc/passwd", "request_id=' OR true --", "request_id=" + "0" * 5000])
def test_a_strangers_comment_is_no_request_id(tmp_path: Path, comment: str) -> None:
    told = explained(clip(tmp_path / "hostile.mp4", comment))
    assert not told["record"]
    assert told["request_id"] is None


def test_what_is_no_video_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "notes.mp4"
    path.write_text("not a video")
    done = CliRunner().invoke(app, ["explain", str(path), "--input", str(ROWS)])
    assert done.exit_code == 1
    assert "no media file that can be read" in done.output


def test_an_expression_is_still_an_expression() -> None:
    done = CliRunner().invoke(app, ["explain", "audio_drift_ms > 80", "--input", str(ROWS), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["contrast"]
