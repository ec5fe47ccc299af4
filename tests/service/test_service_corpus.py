"""Media that bite, all of them over HTTP: a right video or a refusal in words, and nothing left behind."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.corpus import make_corpus
from tests.corpus.cases import case
from tests.corpus.runner import Outcome, footprint, run_all, trap

pytestmark = [pytest.mark.service, pytest.mark.timeout(900)]

MEMORY_MB = 600
"""Growth of all processes together (resident; pages that several share count in each) that is let pass. Measured: 220 MB over 311
inputs, from 4.1 GB."""


def test_every_input_gets_a_right_video_or_a_clear_refusal_and_leaves_nothing(service: Any) -> None:
    with trap() as (address, asked):
        cases = make_corpus(1, address)
        assert len(cases) >= 150
        assert len({one.name for one in cases}) == len(cases)
        run_all(service.url, [case("warm-up", "video")] * 6)
        before = footprint(service.run.run_id, service.data_dir)
        outcomes = run_all(service.url, cases)
    wrong = [f"{one.case.name}: {one.got} ({one.trouble}) {one.message}" for one in outcomes if one.trouble]
    assert not wrong, "\n".join(wrong)
    assert asked == []
    assert_nothing_is_left(service, before, outcomes)


def assert_nothing_is_left(service: Any, before: Any, outcomes: list[Outcome]) -> None:
    """No unfinished file, no process more, and no memory that stays."""
    service.settle()
    end = time.monotonic() + 10
    while (after := footprint(service.run.run_id, service.data_dir)).processes > before.processes and time.monotonic() < end:
        time.sleep(0.2)
    assert after.strays == ()
    assert after.processes <= before.processes
    assert after.resident_mb < before.resident_mb + MEMORY_MB
    assert {one.got for one in outcomes} >= {"video", "face_not_found", "audio_silent"}
