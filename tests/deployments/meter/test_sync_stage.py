"""What the stage measure_sync does with the meter, without Ray's cluster."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from deployments.meter.curve import curve_path, read_curve
from deployments.meter.stage import OUTCOMES, Meter, outcomes, sampled
from telemetry.context import RequestContext
from telemetry.errors import RequestError
from telemetry.fields import BY_NAME
from telemetry.ids import new_traceparent, uuid7


def context(deadline: float | None = None) -> RequestContext:
    return RequestContext(request_id="r", traceparent=new_traceparent(), deadline=deadline)


def test_a_share_of_requests_is_chosen_by_their_id_alone() -> None:
    ids = [uuid7() for _ in range(2000)]
    chosen = [sampled(id, 0.25) for id in ids]
    assert 0.2 < sum(chosen) / len(chosen) < 0.3
    assert chosen == [sampled(id, 0.25) for id in ids]
    assert all(sampled(id, 1.0) for id in ids)
    assert not any(sampled(id, 0.0) for id in ids)


def test_the_curve_lies_beside_the_video_and_the_row_knows_every_name(talking: Path, tmp_path: Path) -> None:
    video = tmp_path / "0190.mp4"
    shutil.copy(talking, video)
    row = outcomes(Meter().run(video, context()))
    assert tuple(row) == OUTCOMES
    assert row.keys() <= BY_NAME.keys()
    assert row["sync_reason"] == "measured"
    assert len(read_curve(curve_path(video)).time_s) == 125


def test_a_deadline_that_has_passed_stops_the_measurement_and_leaves_no_curve(talking: Path, tmp_path: Path) -> None:
    video = tmp_path / "0190.mp4"
    shutil.copy(talking, video)
    with pytest.raises(RequestError) as caught:
        Meter().run(video, context(deadline=time.time() - 1.0))
    assert caught.value.type == "deadline_exceeded"
    assert list(tmp_path.iterdir()) == [video]
