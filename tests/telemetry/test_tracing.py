"""Stages, their spans and times; ids that were promised; one set-up a process."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace

from telemetry.context import RequestContext
from telemetry.errors import RequestError
from telemetry.tracing import Telemetry, new_traceparent, pinned, setup, stage

Rows = Callable[[str], list[dict[str, Any]]]
_CLIENT = f"00-{'1' * 32}-{'2' * 16}-00"


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids 1, 2, 3 … and a clock that ticks once a look: a span tree that can be written down."""
    ids, ticks = itertools.count(1), itertools.count(1_000)

    class Clock:
        monotonic: Iterator[float] = staticmethod(lambda: float(next(ticks)))  # type: ignore[assignment]

    monkeypatch.setattr("telemetry.tracing.random_span_id", lambda: next(ids))
    monkeypatch.setattr("opentelemetry.sdk.trace.time_ns", lambda: next(ticks))
    monkeypatch.setattr("telemetry.stages.time", Clock)


@pytest.mark.usefixtures("counted")
def test_the_span_tree_of_a_request(telemetry: Telemetry, context: RequestContext, rows: Rows) -> None:
    with stage(telemetry, "encode_video", context, encoder="libx264") as outer:
        outer.event("started", width=64)
        with stage(telemetry, "run_inference", outer.context) as inner:
            inner.set(video_frames=75.0, seed=None, sample_rate=16000)
    common = {"request_id": context.request_id, "job_id": "job-1", "attempt": 1, "operation": "generate"}
    fixed = {"traceId": "ab" * 16, "kind": 1, "status": {"code": 1}}
    assert rows("spans") == [
        fixed | {
            "spanId": f"{2:016x}", "parentSpanId": f"{1:016x}", "flags": 0x300, "name": "run_inference",
            "startTimeUnixNano": "1004", "endTimeUnixNano": "1006",
            "attributes": common | {
                "video_frames": 75, "sample_rate": 16000, "run_inference_ms": 2000.0, "run_inference_busy_ms": 2000.0,
            },
        },
        fixed | {
            "spanId": f"{1:016x}", "parentSpanId": "cd" * 8, "flags": 0x300, "name": "encode_video",
            "startTimeUnixNano": "1001", "endTimeUnixNano": "1008",
            "attributes": common | {"encoder": "libx264", "encode_video_ms": 7000.0, "encode_video_busy_ms": 7000.0},
            "events": [{"timeUnixNano": "1002", "name": "started", "attributes": {"width": 64}}],
        },
    ]  # fmt: skip


def test_waiting_is_not_busy(telemetry: Telemetry, context: RequestContext) -> None:
    with stage(telemetry, "encode_video", context) as running:
        with running.waiting():
            time.sleep(0.05)
        time.sleep(0.01)
    assert running.ms >= 60
    assert running.ms - 60 < running.busy_ms + 10 < running.ms - 30
    assert running.fields == {"encode_video_ms": running.ms, "encode_video_busy_ms": running.busy_ms}
    assert running.ms == running.ms, "the clock stands after the end"


def test_a_request_error_marks_the_span_and_learns_its_stage(telemetry: Telemetry, context: RequestContext, rows: Rows) -> None:
    error = RequestError("face_not_found", "There is no face in the picture.")
    with pytest.raises(RequestError) as caught, stage(telemetry, "preprocess_image", context, width=640):
        raise error
    assert caught.value is error
    assert error.stage == "preprocess_image"
    (span,) = rows("spans")
    assert span["status"] == {"code": 2, "message": "There is no face in the picture."}
    assert span["attributes"]["error_type"] == "face_not_found"
    assert span["attributes"]["width"] == 640
    (event,) = span["events"]
    assert event["name"] == "exception"
    assert event["attributes"]["exception.type"] == "telemetry.errors.RequestError"
    assert "raise error" in event["attributes"]["exception.stacktrace"]


def test_the_stage_that_failed_first_is_kept(telemetry: Telemetry, context: RequestContext) -> None:
    with pytest.raises(RequestError) as caught, stage(telemetry, "encode_video", context) as outer:  # noqa: SIM117
        with stage(telemetry, "run_inference", outer.context):
            raise RequestError("inference_diverged", "NaN")
    assert caught.value.stage == "run_inference"


def test_a_file_name_in_an_error_of_the_system_does_not_reach_the_span(
    telemetry: Telemetry, context: RequestContext, rows: Rows
) -> None:
    def fail() -> None:
        with stage(telemetry, "load_audio", context):
            try:
                Path("/nowhere/Alice.wav").read_bytes()
            except OSError as error:
                raise RequestError("audio_undecodable", "The audio cannot be read.") from error

    with pytest.raises(RequestError):
        fail()
    with pytest.raises(FileNotFoundError), stage(telemetry, "load_audio", context):
        Path("/nowhere/Bob.wav").read_bytes()
    for span in rows("spans"):
        (event,) = span["events"]
        assert "FileNotFoundError" in event["attributes"]["exception.stacktrace"]
        assert "Alice.wav:" not in str(span)
        assert "'/nowhere/Bob.wav'" not in str(span)


@pytest.mark.parametrize("error", [asyncio.CancelledError(), GeneratorExit()])
def test_a_cancelled_stage_says_so_and_the_cancellation_goes_on(
    telemetry: Telemetry, context: RequestContext, rows: Rows, error: BaseException
) -> None:
    with pytest.raises(type(error)), stage(telemetry, "run_inference", context):
        raise error
    (span,) = rows("spans")
    assert span["status"] == {"code": 2, "message": "cancelled"}
    assert span["attributes"]["error_type"] == "cancelled"


def test_stages_in_tasks_and_threads_keep_their_own_parents(telemetry: Telemetry, context: RequestContext, rows: Rows) -> None:
    def work(name: str, parent: RequestContext) -> None:
        with stage(telemetry, name, parent):
            time.sleep(0.005)

    async def branch(name: str) -> None:
        with stage(telemetry, name, context) as running:
            await asyncio.sleep(0.01)
            await asyncio.to_thread(work, f"{name}_child", running.context)

    async def main() -> None:
        await asyncio.gather(branch("load_audio"), branch("preprocess_image"))

    asyncio.run(main())
    spans = {span["name"]: span for span in rows("spans")}
    for name in ("load_audio", "preprocess_image"):
        assert spans[name]["parentSpanId"] == context.span_id
        assert spans[f"{name}_child"]["parentSpanId"] == spans[name]["spanId"]


def test_nothing_current_becomes_a_parent(telemetry: Telemetry, context: RequestContext, rows: Rows) -> None:
    with telemetry.tracer.start_as_current_span("somebody else's"), stage(telemetry, "load_audio", context):
        pass
    assert rows("spans")[0]["parentSpanId"] == context.span_id


def test_pinned_ids_hold_for_one_block_and_one_thread(telemetry: Telemetry, rows: Rows) -> None:
    promised = new_traceparent()
    started = threading.Event()

    def other() -> None:
        telemetry.tracer.start_span("other thread").end()
        started.set()

    with pinned(promised):
        threading.Thread(target=other).start()
        assert started.wait(5)
        telemetry.tracer.start_span("promised").end()
    telemetry.tracer.start_span("after").end()
    ids = {span["name"]: (span["traceId"], span["spanId"]) for span in rows("spans")}
    assert ids["promised"] == tuple(promised.split("-")[1:3])
    assert len(set(ids.values())) == 3


def test_pinning_refuses_what_is_no_traceparent() -> None:
    with pytest.raises(ValueError, match="not a traceparent"), pinned("00-abc"):
        pass


def test_a_new_traceparent_stays_in_the_clients_trace() -> None:
    version, trace_id, span_id, flags = new_traceparent(_CLIENT).split("-")
    assert (version, trace_id, flags) == ("00", "1" * 32, "01")
    assert span_id != "2" * 16
    assert new_traceparent(f"cc-{'1' * 32}-{'2' * 16}-00-later").split("-")[1] == "1" * 32


@pytest.mark.parametrize(
    "header",
    [
        None, "", "garbage", f"00-{'0' * 32}-{'2' * 16}-01", f"00-{'1' * 32}-{'0' * 16}-01", f"ff-{'1' * 32}-{'2' * 16}-01",
        f"00-{'1' * 31}-{'2' * 16}-01", f"00-{'A' * 32}-{'2' * 16}-01", f"{_CLIENT}-more", f"{_CLIENT}\n", f" {_CLIENT}",
        f"cc-{'1' * 32}-{'2' * 16}-00more",
    ],
)  # fmt: skip
def test_a_broken_traceparent_counts_as_none(header: str | None) -> None:
    made = new_traceparent(header)
    assert made.split("-")[1] not in ("0" * 32, "1" * 32, "A" * 32)
    assert len(made) == 55


def test_setup_is_one_object_a_folder_and_never_the_global_one(telemetry: Telemetry, tmp_path: Path) -> None:
    assert setup("test", tmp_path / "." / "") is telemetry
    assert trace.get_tracer_provider() is not telemetry.provider
    telemetry.shutdown()
    again = setup("test", tmp_path)
    assert again is not telemetry
    again.shutdown()


_FORKED = """
import os, sys
from pathlib import Path
from telemetry.tracing import setup
from telemetry.context import RequestContext
telemetry = setup("test", Path(sys.argv[1]))
context = RequestContext("r", "00-" + "1" * 32 + "-" + "2" * 16 + "-01")
child = os.fork()
telemetry.tracer.start_span("child" if child == 0 else "parent").end()
telemetry.events.log_event("input_start", context)
if child == 0:
    os._exit(0)
os.waitpid(child, 0)
"""


def test_a_forked_child_signs_with_its_own_process_id(telemetry: Telemetry, tmp_path: Path, rows: Rows) -> None:
    subprocess.run([sys.executable, "-c", _FORKED, str(tmp_path)], check=True)
    assert len({row["process.pid"] for row in rows("events")}) == 2
    assert len({span["spanId"] for span in rows("spans")}) == 2


def test_telemetry_brings_no_server_and_no_model_library() -> None:
    modules = "journal, guard, tracing, events, redact, record, fields, stages"
    code = f"""
import sys
from telemetry import {modules}
heavy = {{"ray", "torch", "fastapi", "serve", "deployments", "analytics", "console", "sonoscope", "pyarrow"}} & sys.modules.keys()
sys.exit(str(heavy) if heavy else 0)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
