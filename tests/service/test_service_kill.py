"""Processes that die: their jobs are taken up again, and end once."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from telemetry import fields
from telemetry.losses import read_losses

pytestmark = [pytest.mark.service, pytest.mark.chaos]


def ends(service: Any, request_id: str) -> list[dict[str, Any]]:
    return [e for e in service.record(request_id).events if e["event_type"] in fields.TERMINAL_EVENTS]


@pytest.mark.parametrize("stage", ["run_inference", "encode_video"])
def test_a_job_outlives_a_replica_that_is_killed_in_the_middle(service: Any, stage: str) -> None:
    job = service.submit(service.long_speech(30.0))
    service.until_encoding(job["job_id"])
    service.replica(stage).kill()
    ended = service.wait(job["job_id"], timeout_s=240)
    assert (ended["state"], ended["attempt"]) == ("succeeded", 2)
    failed = [e for e in service.record(job["request_id"]).events if e["event_type"] == "attempt_failed"]
    assert [event["error_type"] for event in failed] == ["replica_lost"]
    assert [event["event_type"] for event in ends(service, job["request_id"])] == ["business_output"]
    service.settle()
    assert not service.stray_files()


def test_a_job_outlives_its_runner_and_one_that_was_cancelled_meanwhile_does_no_more_work(service: Any) -> None:
    job = service.submit(service.long_speech(30.0))
    unwanted = service.submit(service.long_speech())
    service.until_encoding(job["job_id"])
    service.replica("runner").kill()
    httpx.delete(f"{service.url}/jobs/{unwanted['job_id']}", timeout=60)
    ended = service.wait(job["job_id"], timeout_s=240)
    assert (ended["state"], ended["attempt"]) == ("succeeded", 2)
    assert service.wait(unwanted["job_id"], timeout_s=120)["state"] == "cancelled"
    for one, event_type in ((job, "business_output"), (unwanted, "request_failed")):
        assert [event["event_type"] for event in ends(service, one["request_id"])] == [event_type]
    service.settle()
    assert not service.stray_files()
    assert not (service.data_dir / "videos" / f"{unwanted['request_id']}.mp4").exists()
    assert httpx.get(f"{service.url}/readyz").status_code == 200


def test_nothing_of_all_this_lost_telemetry(service: Any) -> None:
    losses = read_losses(service.data_dir / "journal")
    assert losses["spans_lost"] == losses["events_lost"] == losses["telemetry_errors"] == 0, losses
