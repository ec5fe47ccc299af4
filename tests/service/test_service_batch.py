"""`sonoscope batch`, as a user runs it: twice, with a broken row, and on a folder that fills up."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deployments.media.probe import probe

pytestmark = pytest.mark.service
MEDIA = Path(__file__).parents[2] / "sonoscope" / "media"


@pytest.fixture
def lessons(service: Any, tmp_path: Path) -> Path:
    """A folder with a portrait and two short recordings."""
    shutil.copy(MEDIA / "portrait_astronaut.png", tmp_path / "portrait.png")
    for name in ("one", "two"):
        (tmp_path / f"{name}.wav").write_bytes(service.long_speech(1.0 if name == "one" else 1.5))
    return tmp_path


def summary(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    return json.loads(done.stdout)


def test_a_manifest_is_made_row_by_row_and_goes_on_where_it_was_left(service: Any, lessons: Path, cli: Callable[..., Any]) -> None:
    (lessons / "broken.wav").write_bytes(b"no recording")
    manifest = lessons / "term.csv"
    manifest.write_text(
        "portrait,audio,name,min_resolution\nportrait.png,one.wav,one,128\nportrait.png,two.wav,two,128\nportrait.png,broken.wav,bad,128\n"
    )
    first = cli(service.data_dir, "batch", manifest, "--json")
    said = summary(first)
    assert first.returncode == 1
    assert (said["made"], said["failed"], said["errors"]) == (2, 1, {"audio_undecodable": 1})
    assert said["success_rate"] == pytest.approx(2 / 3)
    out = lessons / "term-videos"
    assert abs(probe(out / "two.mp4").video_s - 1.5) < 0.1
    with (out / "failed.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["name"], row["error_type"]) == ("bad", "audio_undecodable")
    shutil.copy(lessons / "one.wav", lessons / "broken.wav")
    second = summary(cli(service.data_dir, "batch", manifest, "--json"))
    assert (second["made"], second["made_before"], second["failed"], second["failed_rows"]) == (1, 2, 0, None)
    with service.client() as client:
        newest = client.jobs(limit=1)[0]
    record = service.record(newest.request_id).request
    assert record["source_prefix"] == "term.csv"


def test_a_manifest_with_a_typing_error_hands_nothing_in(service: Any, lessons: Path, cli: Callable[..., Any]) -> None:
    manifest = lessons / "term.csv"
    manifest.write_text("portrait,audio,inference_step\nportrait.png,one.wav,3\n")
    done = cli(service.data_dir, "batch", manifest)
    assert done.returncode == 1
    assert "line 2: inference_step" in done.stderr


def test_a_course_is_made_as_its_lessons_arrive(service: Any, lessons: Path) -> None:
    (lessons / "two.wav").rename(lessons / "later.hold")
    command = [sys.executable, "-m", "sonoscope", "batch", str(lessons), "--watch", "--json", "--data-dir", str(service.data_dir)]
    course = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=dict(os.environ))
    try:
        _until(lessons / "videos" / "one.mp4")
        (lessons / "later.hold").rename(lessons / "two.wav")
        _until(lessons / "videos" / "two.mp4")
        time.sleep(1.0)  # the row is counted a moment after its file is there
        course.send_signal(signal.SIGTERM)
        said = json.loads(course.communicate(timeout=60)[0])
    finally:
        course.kill()
        course.wait()
    assert (said["made"], said["failed"], said["success_rate"]) == (2, 0, 1.0)


def _until(path: Path) -> None:
    end = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < end, f"{path.name} was not made"
        time.sleep(0.2)
