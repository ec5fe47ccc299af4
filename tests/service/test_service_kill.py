"""Processes that die: a clear error with a terminal event, and the next request works."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from telemetry import fields
from telemetry.losses import read_losses

pytestmark = [pytest.mark.service, pytest.mark.chaos]


@pytest.mark.parametrize("stage", ["run_inference", "encode_video"])
def test_a_replica_killed_in_the_middle_is_replica_lost_and_the_next_request_works(service: Any, stage: str) -> None:
    job = service.submit(service.long_speech())
    service.until_encoding(job["job_id"])
    service.replica(stage).kill()
    ended = service.wait(job["job_id"], timeout_s=30)
    assert ended["state"] == "failed"
    assert ended["error"]["type"] == "replica_lost"
    terminal = [e for e in service.record(job["request_id"]).events if e["event_type"] in fields.TERMINAL_EVENTS]
    assert len(terminal) == 1
    assert terminal[0]["error_type"] == "replica_lost"
    assert service.generate(min_resolution="128").status_code == 200
    if stage == "run_inference":
        service.settle()
        assert not service.stray_files()


def test_a_killed_runner_ends_its_jobs_once_and_is_replaced(service: Any) -> None:
    job = service.submit(service.long_speech())
    service.until_encoding(job["job_id"])
    service.replica("runner").kill()
    ended = service.wait(job["job_id"], timeout_s=60)
    assert ended["state"] == "failed"
    assert ended["error"]["type"] == "replica_lost"
    terminal = [e for e in service.record(job["request_id"]).events if e["event_type"] in fields.TERMINAL_EVENTS]
    assert len(terminal) == 1
    end = time.monotonic() + 60
    while (answer := service.generate(min_resolution="128")).status_code != 200:
        assert time.monotonic() < end, answer.text
        assert answer.json()["error"]["type"] in ("replica_lost", "overloaded", "internal")
        time.sleep(0.5)
    assert httpx.get(f"{service.url}/readyz").status_code == 200


def test_nothing_of_all_this_lost_telemetry(service: Any) -> None:
    losses = read_losses(service.data_dir / "journal")
    assert losses["spans_lost"] == losses["events_lost"] == losses["telemetry_errors"] == 0, losses
