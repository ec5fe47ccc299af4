"""Known defects, switched on for a department each: what the file and the record then say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deployments.media.probe import MediaFacts, probe

pytestmark = pytest.mark.service


@pytest.fixture(autouse=True)
def _empty_plan_afterwards(service: Any) -> Any:
    yield
    service.fault_plan.write_text("[]")


def struck(service: Any, fault: str, **form: str) -> Any:
    """The answer to a request of the department that the fault is for, and afterwards to one of another department."""
    form = {"seed": "5", "min_resolution": "128"} | form
    service.fault_plan.write_text(f"- {{{fault}, when: {{department: drill}}}}")
    answer = service.generate(headers={"X-Department": "drill"}, **form)
    other = service.generate(headers={"X-Department": "press"}, **form)
    assert other.status_code == 200, other.text
    assert abs(other.json()["outcomes"]["duration_drift_ms"]) < 41
    return answer


def facts(service: Any, answer: Any, tmp_path: Path) -> MediaFacts:
    assert answer.status_code == 200, answer.text
    path = tmp_path / "video.mp4"
    service.download(answer.json()["request_id"], path)
    return probe(path)


def events(service: Any, request_id: str) -> list[dict[str, Any]]:
    return [event for event in service.record(request_id).events if event["event_type"] == "fault_injected"]


def test_relabelled_frames_make_the_video_longer_than_its_sound(service: Any, tmp_path: Path) -> None:
    answer = struck(service, "fault: frames_relabelled, encoded_fps: 24")
    assert facts(service, answer, tmp_path).fps == pytest.approx(24.0)
    outcomes = answer.json()["outcomes"]
    assert outcomes["video_fps"] == pytest.approx(24.0)
    assert outcomes["duration_drift_ms"] == pytest.approx(4280 / 24, abs=45)
    assert events(service, answer.json()["request_id"])[0]["encoded_fps"] == 24.0
    assert "fault_injected" not in service.record(answer.json()["request_id"]).request


def test_late_sound_starts_late_in_the_file(service: Any, tmp_path: Path) -> None:
    answer = struck(service, "fault: audio_late, late_ms: 120")
    assert facts(service, answer, tmp_path).audio_start_s == pytest.approx(0.12, abs=0.03)
    assert answer.json()["outcomes"]["audio_start_ms"] == pytest.approx(120, abs=30)


def test_invisible_characters_in_a_name_are_named_on_the_record(service: Any) -> None:
    answer = struck(service, "fault: invisible_characters")
    assert service.record(answer.json()["request_id"]).request["invisible_characters"] == ["U+200B"]


def test_a_cut_tail_shows_as_duration_drift(service: Any) -> None:
    answer = struck(service, "fault: tail_cut, seconds: 1.0")
    assert answer.json()["outcomes"]["duration_drift_ms"] == pytest.approx(-1000, abs=45)


def test_a_frozen_tail_shows_as_frozen_tail(service: Any) -> None:
    # 2.5 of the recording's 4.28 s stand still, and its last 0.63 s are silent; the reading is some frames short.
    answer = struck(service, "fault: tail_frozen, seconds: 2.5", min_resolution="256")
    outcomes = answer.json()["outcomes"]
    assert abs(outcomes["duration_drift_ms"]) < 41
    assert 1500 < outcomes["frozen_tail_ms"] < 1900


def test_a_short_deadline_of_the_encoder_is_an_encoder_timeout(service: Any) -> None:
    answer = struck(service, "fault: encoder_timeout")
    assert answer.status_code == 504
    assert answer.json()["error"]["type"] == "encoder_timeout"
    service.settle()
    assert service.stray_files() == []


def test_a_memory_limit_strikes_large_pictures_only(service: Any) -> None:
    service.fault_plan.write_text("- {fault: memory_limit, max_pixels: 40000, when: {department: drill}}")
    small = service.generate(headers={"X-Department": "drill"}, min_resolution="128")
    large = service.generate(headers={"X-Department": "drill"}, min_resolution="256")
    assert (small.status_code, large.status_code) == (200, 200)
    assert "resolution_lowered" in large.json()["advice"]
    assert (large.json()["parameters"]["min_resolution"], large.json()["outcomes"]["lowered_min_resolution"]) == (256, 128)
    failed = [e for e in service.record(large.json()["request_id"]).events if e["event_type"] == "attempt_failed"]
    assert [event["error_type"] for event in failed] == ["out_of_memory"]


def test_a_slow_stage_shows_in_its_own_time_only(service: Any) -> None:
    stages = struck(service, "fault: slow_stage, stage: preprocess_image, seconds: 1.5").json()["stages"]
    assert stages["preprocess_image_ms"] > 1500
    assert stages["load_audio_ms"] < 1500


def test_a_failing_stage_fails_with_the_error_of_the_plan(service: Any) -> None:
    answer = struck(service, "fault: failing_stage, stage: run_inference, error_type: inference_diverged")
    assert answer.status_code == 500
    assert answer.json()["error"]["type"] == "inference_diverged"
    assert answer.json()["error"]["trace_id"]
