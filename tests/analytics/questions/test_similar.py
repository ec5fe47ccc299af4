"""The nearest earlier failures of the same kind, and what they share."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analytics.questions.sentences import lint
from analytics.questions.similar import similar


def traffic(n: int = 300, seed: int = 0) -> pd.DataFrame:
    """One in three requests of host h3 fails in the encoder; another error comes anywhere, now and then."""
    random = np.random.default_rng(seed)
    host = random.choice(["h1", "h2", "h3"], n)
    bad = (host == "h3") & (random.random(n) < 0.33)
    other = ~bad & (random.random(n) < 0.03)
    return pd.DataFrame({
        "request_id": [f"r{k}" for k in range(n)], "operation": "generate", "host": host,
        "started_at": pd.Timestamp("2026-11-01", tz="UTC") + pd.to_timedelta(np.arange(n), unit="min"),
        "department": random.choice(["film", "news"], n), "inference_steps": random.choice([20, 25], n),
        "portrait_hash": random.choice(["p1", "p2", "p3"], n), "status": np.where(bad | other, "error", "ok"),
        "error_type": np.where(bad, "encoder_timeout", np.where(other, "face_not_found", None)),
        "failed_stage": np.where(bad, "encode_video", np.where(other, "preprocess_image", None)),
        "error_message": [f"ffmpeg made no progress for {k} s" if one else "No face." for k, one in enumerate(bad)],
    })  # fmt: skip


def test_the_like_failures_share_their_host_and_nothing_else() -> None:
    frame = traffic()
    bad = frame[frame["error_type"] == "encoder_timeout"]
    found = similar(frame, bad.iloc[-1].to_dict())
    assert found.n == len(bad) - 1
    assert found.template == "ffmpeg made no progress for <number> s"
    assert [(one.field, one.value, one.share) for one in found.common] == [("host", "h3", 1.0)]
    assert found.common[0].rest < 0.4
    assert "host = h3 (100 % / " in found.sentence()


def test_the_nearest_are_alike_in_most_and_earlier() -> None:
    frame = traffic()
    bad = frame[frame["error_type"] == "encoder_timeout"]
    this = bad.iloc[len(bad) // 2].to_dict()
    nearest = similar(frame, this).nearest
    assert all(one["started_at"] < this["started_at"] for one in nearest)
    alike = [len(one["alike"]) for one in nearest]
    assert alike == sorted(alike, reverse=True)
    assert "host" in nearest[0]["alike"]


def test_a_first_failure_and_one_that_nothing_sets_apart_say_so() -> None:
    frame = traffic()
    first = frame[frame["error_type"] == "encoder_timeout"].iloc[0].to_dict()
    assert similar(frame, first).sentence().startswith("No earlier failure reads the same")
    other = frame[frame["error_type"] == "face_not_found"].iloc[-1].to_dict()
    found = similar(frame, other)
    assert found.n > 0
    assert found.common == ()
    with pytest.raises(KeyError, match="nobody"):
        similar(frame, {"request_id": "nobody"})


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_sentence_keeps_the_contract(language: str) -> None:
    frame = traffic()
    for _, row in frame[frame["status"] == "error"].iterrows():
        assert lint(similar(frame, row.to_dict()).sentence(language)) == []  # type: ignore[arg-type]
