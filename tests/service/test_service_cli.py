"""The command line as a user types it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.service
MEDIA = Path(__file__).parents[2] / "sonoscope" / "media"


Cli = Callable[..., subprocess.CompletedProcess[str]]


def test_generate_writes_the_video_and_says_where_its_record_is(cli: Cli, service: Any, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    done = cli(
        service.data_dir, "generate", MEDIA / "painting_mona_lisa.jpg", MEDIA / "speech_zh.wav", "-o", out,
        "--inference-steps", 10, "--min-resolution", 256, "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["parameters"]["inference_steps"] == 10
    assert out.stat().st_size == answer["outcomes"]["response_bytes"]
    by_video = json.loads(cli(service.data_dir, "record", out, "--json").stdout)
    assert by_video["request"]["request_id"] == answer["request_id"]
    assert by_video.keys() >= {"request", "spans", "events"}
    for id in (answer["job_id"], answer["trace_id"]):
        same = json.loads(cli(service.data_dir, "record", id, "--json").stdout)
        assert all(same[part] == by_video[part] for part in ("request", "spans", "events"))


def test_record_draws_a_waterfall(cli: Cli, service: Any) -> None:
    answer = service.generate(min_resolution="128").json()
    shown = cli(service.data_dir, "record", answer["request_id"]).stdout
    for word in ("sonic_generation", "run_inference", "business_output", "inference_steps", "video_frames", "━"):
        assert word in shown


def test_a_failed_generation_says_what_to_do(cli: Cli, service: Any, tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_text("hello")
    done = cli(service.data_dir, "generate", bad, MEDIA / "speech_zh.wav", "-o", tmp_path / "out.mp4")
    assert done.returncode == 1
    assert "image_undecodable" in done.stderr
    assert "JPEG" in done.stderr
    assert not (tmp_path / "out.mp4").exists()


def test_an_unknown_id_is_an_error_with_a_way_out(cli: Cli, service: Any) -> None:
    done = cli(service.data_dir, "record", "nothing")
    assert done.returncode == 1
    assert "--data-dir" in done.stderr


def test_doctor_finds_nothing_missing(cli: Cli, service: Any) -> None:
    done = cli(service.data_dir, "doctor", "--json")
    assert done.returncode == 0, done.stdout
    findings = {finding["name"]: finding for finding in json.loads(done.stdout)}
    assert findings["service"]["detail"].startswith(service.url)
    assert findings["face models"]["state"] == "ok"
    assert findings["telemetry"]["state"] == "ok", findings["telemetry"]


def test_a_second_up_uses_the_first(cli: Cli, service: Any) -> None:
    done = cli(service.data_dir, "up", "-d")
    assert done.returncode == 0
    assert service.url in done.stdout


def test_without_a_service_generate_says_how_to_start_one(cli: Cli, tmp_path: Path) -> None:
    done = cli(tmp_path, "generate", MEDIA / "painting_mona_lisa.jpg", MEDIA / "speech_zh.wav")
    assert done.returncode == 1
    assert "sonoscope up -d" in done.stderr
