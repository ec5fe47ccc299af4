"""The plan of known defects: validated, choosing as it says, and what it does to the frames."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from deployments.defects import Reel
from deployments.faults import FaultPlanError, Faults, read_plan
from serve.settings import Settings
from telemetry.context import RequestContext
from telemetry.errors import RequestError
from telemetry.ids import new_traceparent
from telemetry.segments import read_lines
from telemetry.tracing import setup, stage


def context(request_id: str = "r1", **identity: str) -> RequestContext:
    return RequestContext(request_id, new_traceparent(), identity=identity)


@pytest.fixture
def plan(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "faults.yaml"
        path.write_text(text)
        return path

    return write


def chosen(path: Path, stage: str, ctx: RequestContext, **known: object) -> list[str]:
    return [fault.fault for fault in Faults(path).chosen(stage, ctx, known)]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- fault: melted", "melted"),
        ("- {fault: audio_late}", "late_ms"),
        ("- {fault: audio_late, late_ms: 120, colour: red}", "colour"),
        ("- {fault: audio_late, late_ms: 120, when: {share: 1.5}}", "share"),
        ("- {fault: tail_cut, seconds: 1, when: {parameters: {steps: 3}}}", "steps is no parameter"),
        ("- {fault: failing_stage, stage: run_inference, error_type: oops}", "oops"),
        ("- {fault: slow_stage, stage: load_audio, seconds: 1, when: {parameters: {fps: 30}}}", "cannot be chosen by a parameter"),
        ("- {fault: slow_stage, stage: preprocess_image, seconds: 1, when: {replica: abc}}", "cannot be chosen by replica"),
        ("{", "wrong"),
    ],
)
def test_a_wrong_plan_is_refused_with_its_fault(plan, text: str, says: str) -> None:
    with pytest.raises(FaultPlanError, match=says):
        read_plan(plan(text))


def test_a_missing_plan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FaultPlanError, match="cannot be read"):
        Faults(tmp_path / "none.yaml")


def test_a_plan_is_refused_on_a_public_address(plan, tmp_path: Path) -> None:
    path = plan("- {fault: audio_late, late_ms: 120}")
    with pytest.raises(ValidationError, match="on loopback only"):
        Settings(data_dir=tmp_path, host="0.0.0.0", faults_file=path)
    assert Settings(data_dir=tmp_path, faults_file=path).faults_file == path


def test_a_wrong_plan_stops_the_settings(plan, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="melted"):
        Settings(data_dir=tmp_path, faults_file=plan("- fault: melted"))


def test_nothing_happens_without_a_plan() -> None:
    assert Faults().chosen("encode_video", context()) == ()


def test_a_share_strikes_about_so_many_and_always_the_same(plan) -> None:
    path = plan("- {fault: audio_late, late_ms: 120, when: {share: 0.3}}")
    faults = Faults(path)
    struck = [bool(faults.chosen("encode_video", context(f"request-{n}"))) for n in range(2_000)]
    assert 0.26 < sum(struck) / len(struck) < 0.34  # 4 standard errors
    assert struck == [bool(Faults(path).chosen("encode_video", context(f"request-{n}"))) for n in range(2_000)]


def test_conditions_choose_by_department_setting_replica_and_time(plan) -> None:
    path = plan("""
- {fault: audio_late, late_ms: 120, when: {department: claims}}
- {fault: tail_cut, seconds: 1, when: {parameters: {inference_steps: {max: 19}, model_name: lite}}}
- {fault: tail_frozen, seconds: 1, when: {replica: "#b2"}}
- {fault: frames_relabelled, encoded_fps: 24, when: {before: 2020-01-01T00:00:00Z}}
- {fault: memory_limit, max_pixels: 10}
""")
    known = {"inference_steps": 12, "model_name": "lite", "replica": "run_inference#b2"}
    assert chosen(path, "encode_video", context(department="claims"), **known) == ["audio_late", "tail_cut", "tail_frozen"]
    assert chosen(path, "encode_video", context(), **known | {"inference_steps": 25, "replica": "x#a1"}) == []
    assert chosen(path, "run_inference", context()) == ["memory_limit"]


def test_a_changed_plan_is_taken_up_and_a_broken_one_is_not(plan) -> None:
    faults = Faults(plan("- {fault: audio_late, late_ms: 120}"))
    path = plan("- {fault: tail_cut, seconds: 1.25}")
    assert [fault.fault for fault in faults.chosen("encode_video", context())] == ["tail_cut"]
    plan("- {fault: nonsense, and: more}")
    assert [fault.fault for fault in faults.chosen("encode_video", context())] == ["tail_cut"]
    path.unlink()
    assert faults.chosen("encode_video", context()) == ()


def test_a_failing_stage_fails_and_leaves_its_event(plan, tmp_path: Path) -> None:
    telemetry = setup("faults-test", tmp_path)
    faults = Faults(plan("- {fault: failing_stage, stage: load_audio, error_type: out_of_memory}"))

    async def run() -> None:
        with stage(telemetry, "load_audio", context("abc")) as span:
            await faults.strike(telemetry, span)

    with pytest.raises(RequestError) as caught:
        asyncio.run(run())
    assert (caught.value.type, caught.value.stage) == ("out_of_memory", "load_audio")
    events = [line for line in read_lines(tmp_path / "journal", "events") if b'"fault_injected"' in line]
    assert len(events) == 1
    assert b'"fault":"failing_stage"' in events[0]


def frames(first: int, n: int) -> np.ndarray:
    return np.arange(first, first + n, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)


def through(path: Path, *, sizes: tuple[int, ...] = (7, 7, 6)) -> tuple[Reel, list[int]]:
    reel = Reel(Faults(path).chosen("encode_video", context()), frames=sum(sizes), fps=10.0, timeout_s=60.0)
    seen, first = [], 0
    for size in sizes:
        seen += [int(frame[0, 0, 0]) for frame in reel.shape(frames(first, size))]
        first += size
    assert len(seen) == reel.frames
    return reel, seen


def test_without_faults_frames_pass_untouched() -> None:
    reel = Reel((), frames=7, fps=10.0, timeout_s=60.0)
    chunk = frames(0, 7)
    assert reel.shape(chunk) is chunk
    assert (reel.fps, reel.frames, reel.sound_late_s, reel.timeout_s) == (10.0, 7, 0.0, 60.0)


def test_a_cut_tail_is_missing(plan) -> None:
    _, seen = through(plan("- {fault: tail_cut, seconds: 0.9}"))
    assert seen == list(range(11))


def test_a_frozen_tail_repeats_the_last_moving_frame(plan) -> None:
    _, seen = through(plan("- {fault: tail_frozen, seconds: 0.9}"))
    assert seen == [*range(11), *[10] * 9]


def test_a_tail_that_freezes_at_a_chunks_border_repeats_the_frame_before_it(plan) -> None:
    _, seen = through(plan("- {fault: tail_frozen, seconds: 1.3}"))
    assert seen == [*range(7), *[6] * 13]


def test_rate_lateness_and_deadline_are_handed_to_the_encoder(plan) -> None:
    reel, seen = through(
        plan("""
- {fault: frames_relabelled, encoded_fps: 24}
- {fault: audio_late, late_ms: 120}
- {fault: encoder_timeout}
""")
    )
    assert (reel.fps, reel.sound_late_s, reel.timeout_s) == (24.0, 0.12, 0.001)
    assert seen == list(range(20))
