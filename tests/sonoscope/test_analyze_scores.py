"""People's scores are an outcome like any other, and the meter is told how it does against them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
from typer.testing import CliRunner

from sonoscope.cli import app


def judged(folder: Path, n: int = 400) -> Path:
    """Videos with 5 steps drift by 120 ms more, and people call most of those bad."""
    random = np.random.default_rng(5)
    steps = random.choice([5, 25], n)
    drift = np.abs(random.normal(30, 15, n) + np.where(steps == 5, 120, 0))
    bad = random.random(n) < np.where(drift > 100, 0.85, 0.1)
    rows = {
        "request_id": [f"r{k}" for k in range(n)], "operation": "generate", "status": "ok", "inference_steps": steps, "fps": 25.0,
        "dynamic_scale": random.choice([1.0, 1.2], n), "audio_s": random.uniform(3, 9, n), "audio_drift_ms": drift,
        "sync_reason": "measured", "latency_s": 2.0, "user_score": np.where(bad, -1, 1),
        "portrait_hash": [f"p{k % 40}" for k in range(n)],
        "audio_hash": [f"a{k % 30}" for k in range(n)], "started_at": pd.Timestamp("2026-11-25", tz="UTC"),
    }  # fmt: skip
    pd.DataFrame(rows).to_parquet(folder / "rows.parquet")
    return folder / "rows.parquet"


def test_the_setting_that_goes_with_bad_scores_is_found_and_the_meter_agrees_with_people(tmp_path: Path) -> None:
    file = str(judged(tmp_path))
    done = CliRunner().invoke(app, ["analyze", "--outcome", "user_score", "--input", file, "--json"])
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    steps = next(one for one in answer["effects"] if one["parameter"] == "inference_steps")
    assert steps["verdict"] == "associated"
    assert steps["adjusted"]["estimate"] > 1.0, "more steps, a better score"
    assert answer["agreement"]["verdict"] == "associated"
    assert answer["agreement"]["estimate"] > 0.75
    shown = CliRunner().invoke(app, ["analyze", "--input", file]).output
    assert "Of a video that people call bad" in shown


def test_without_scores_the_meter_is_not_judged_unless_asked(tmp_path: Path) -> None:
    rows = pd.read_parquet(judged(tmp_path)).drop(columns="user_score")
    rows.to_parquet(tmp_path / "none.parquet")
    done = CliRunner().invoke(app, ["analyze", "--input", str(tmp_path / "none.parquet"), "--json"])
    assert json.loads(done.stdout)["agreement"] is None
