"""`sonoscope export` and `sonoscope world` over a data folder that the real writers filled."""

from __future__ import annotations

import json
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sonoscope.cli import app
from tests.analytics.conftest import SECOND, Service

PICTURE, SPEECH, LOST = "a" * 64, "b" * 64, "c" * 64


def run(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [*map(str, arguments)], env={"COLUMNS": "200"})
    return done.exit_code, done.output


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generations, one not sure and one judged bad; 120 recognitions now, darker than 60 of two days ago, with one rare label."""
    path = tmp_path_factory.mktemp("data")
    service, now = Service(path), time.time_ns() - 60 * SECOND
    for number, values in enumerate([{"sync_reason": "not_sure"}, {}, {"sync_reason": "measured"}, {"synthetic": True}]):
        context = service.context(number)
        if number == 3:
            values["sync_reason"] = "not_sure"
        service.receive(context)
        service.finish(context, now, portrait_hash=PICTURE, audio_hash=SPEECH if number else LOST, **values)
    service.telemetry.events.log_event("user_score", service.context(1), user_score=-1, user_comment="lips late")
    for number in range(10, 190):
        context = replace(service.context(number), operation="recognize")
        old = number >= 130
        label = "okapi" if number == 10 else "tabby" if number % 2 else "espresso"
        facts = {"top1_label": label, "low_confidence": number == 11, "input_brightness": (0.5 if old else 0.4) + number % 10 / 100}
        service.finish(context, now - (2 * 86_400 * SECOND if old else 0), image_hash=PICTURE, **facts)
    service.telemetry.shutdown()
    for kind, name in (("assets", PICTURE), ("assets", SPEECH), ("videos", "request-0001.mp4")):
        (path / kind).mkdir(exist_ok=True)
        (path / kind / name).write_bytes(name.encode())
    return path


def test_hard_cases_come_with_their_media_and_records_and_what_is_missing_is_said(folder: Path, tmp_path: Path) -> None:
    code, text = run("export", tmp_path / "hard", "--data-dir", folder)
    assert code == 0, text
    lines = (tmp_path / "hard" / "manifest.jsonl").read_text("utf-8").splitlines()
    cases = {case["request_id"]: case for case in map(json.loads, lines)}
    assert {id: case["reasons"] for id, case in cases.items()} == {
        "request-0000": ["low_confidence"], "request-0001": ["user_score"],
        "request-0010": ["rare_label"], "request-0011": ["low_confidence"],
    }  # fmt: skip
    assert cases["request-0001"]["files"] == {
        "portrait": f"media/{PICTURE}", "audio": f"media/{SPEECH}", "video": "media/request-0001.mp4"
    }  # fmt: skip
    assert cases["request-0000"]["missing"] == ["audio", "video"]
    assert cases["request-0001"]["row"]["user_comment"] == "lips late"
    assert (tmp_path / "hard" / "media" / PICTURE).read_bytes() == PICTURE.encode()
    record = json.loads((tmp_path / "hard" / cases["request-0010"]["record"]).read_text())
    assert record["request"]["top1_label"] == "okapi"
    assert "4 cases, 3 files, 2 files missing" in text


def test_a_zip_holds_the_same_and_a_filter_narrows_it(folder: Path, tmp_path: Path) -> None:
    code, text = run("export", tmp_path / "hard.zip", "--where", 'operation = "recognize"', "--json", "--data-dir", folder)
    assert code == 0, text
    assert json.loads(text)["cases"] == 2
    with zipfile.ZipFile(tmp_path / "hard.zip") as made:
        assert set(made.namelist()) == {
            "manifest.jsonl", f"media/{PICTURE}", "records/request-0010.json", "records/request-0011.json"
        }  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["hard.zip"]


def test_a_target_that_is_there_is_never_overwritten(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "hard").mkdir()
    code, text = run("export", tmp_path / "hard", "--data-dir", folder)
    assert code == 1
    assert "is there already" in text
    assert "unknown name" in run("export", tmp_path / "new", "--where", "nothing > 1", "--data-dir", folder)[1]


def test_a_darker_world_is_said_to_be_darker(folder: Path) -> None:
    code, text = run("world", "--operation", "recognize", "--window", "1d", "--against", "7d", "--data-dir", folder)
    assert code == 0, text
    first, *others = text.splitlines()
    assert first.startswith("input_brightness: 0.44")
    assert "n = 120 and 60" in first
    assert any(line.startswith("No shift of top1_label") for line in others)


def test_an_empty_world_says_so(tmp_path: Path) -> None:
    assert "No generate request" in run("world", "--data-dir", tmp_path)[1]
