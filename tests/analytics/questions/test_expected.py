"""The time of requests that were not made yet, from those that were."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from analytics.questions.expected import expected
from analytics.requests import from_file


def past(folder: Path, n: int = 20) -> Path:
    rows = [
        {"request_id": f"r{k}", "status": "ok", "operation": "generate", "model_name": "lite", "inference_steps": 25,
         "min_resolution": 256, "fps": 25.0, "audio_s": 4.0, "latency_s": 3.0 + k / 10, "queue_wait_ms": 1000.0, "device_s": 1.0}
        for k in range(n)
    ]  # fmt: skip
    pd.DataFrame(rows).to_parquet(folder / "rows.parquet")
    return folder / "rows.parquet"


ORDER = {"model_name": "lite", "inference_steps": 25, "min_resolution": 256, "fps": 25.0, "audio_s": 4.1}


def test_like_requests_say_how_long_it_takes_without_their_waiting(tmp_path: Path) -> None:
    with from_file(past(tmp_path)) as view:
        found = expected(view, [ORDER] * 10)
    assert found.seconds == pytest.approx(10 * 2.95)
    assert found.low_s < found.seconds < found.high_s
    assert (found.device_s, found.like, found.rough, found.unknown) == (10.0, 10, 0, 0)
    assert found.sentence().startswith("10 requests, about 30 s one after the other")


def test_other_settings_are_told_roughly_and_another_model_not_at_all(tmp_path: Path) -> None:
    with from_file(past(tmp_path)) as view:
        found = expected(view, [ORDER, ORDER | {"inference_steps": 5, "audio_s": 8.0}, ORDER | {"model_name": "sonic"}])
    assert (found.like, found.rough, found.unknown) == (1, 1, 1)
    assert found.seconds == pytest.approx(2.95 * 3)
    assert "1 unknown and not counted" in found.sentence()


def test_without_past_requests_it_says_that_nothing_can_be_told(tmp_path: Path) -> None:
    with from_file(past(tmp_path, n=3)) as view:
        found = expected(view, [ORDER, ORDER | {"audio_s": None}])
    assert found.unknown == 2
    assert "cannot be told" in found.sentence()
