"""A share of live traffic at another setting, through the running service."""

from __future__ import annotations

from typing import Any

import pytest

from analytics.requests import load
from analytics.stores.local import LocalStore

pytestmark = pytest.mark.service


def test_a_pair_of_live_requests_is_a_block_with_both_arms(service: Any) -> None:
    headers = {"X-Department": "trial"}
    answers = [service.generate(min_resolution="128", headers=headers).json() for _ in range(2)]
    rows = [service.record(answer["request_id"]).request for answer in answers]
    assert {row["arm"] for row in rows} == {"as it was", "expand_ratio=0.2"}
    assert len({row["block"] for row in rows}) == 1
    for answer, row in zip(answers, rows, strict=True):
        assert row["randomized"] is True
        assert row["experiment"] == "margin"
        assert row["expand_ratio"] == answer["parameters"]["expand_ratio"] == (0.2 if row["arm"] != "as it was" else 0.18)
    frame = load(LocalStore(service.data_dir / "journal")).frame.set_index("request_id")
    assert {frame.loc[row["request_id"], "service_version"] for row in rows} == {"under test"}


def test_who_states_the_setting_gets_it_and_is_no_part_of_the_experiment(service: Any) -> None:
    answer = service.generate(min_resolution="128", expand_ratio="0.3", headers={"X-Department": "trial"}).json()
    row = service.record(answer["request_id"]).request
    assert row["expand_ratio"] == 0.3
    assert row.get("experiment") is None
    assert row.get("randomized") is None
