"""The short form of the kill matrix; the full one is `python -m tests.chaos`."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chaos.matrix import Matrix

pytestmark = [pytest.mark.service, pytest.mark.chaos, pytest.mark.timeout(600)]


def test_every_accepted_job_ends_exactly_once_whatever_is_killed(service: Any) -> None:
    def never() -> None:
        raise AssertionError("the supervisor is not killed in the short form")

    kills = ["replica", "runner", "controller", "service", "replica"]
    matrix = Matrix(service.data_dir, jobs=20, kills=kills, seed=3, restart=never, speech=service.long_speech(1.0))
    count = matrix.run(settle_s=300.0, every_s=5.0, pause_s=0.5)
    assert count.accepted == 20, count.table()
    assert count.kills.total() == 5, count.table()
    assert count.faultless, count.table()
