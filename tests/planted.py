"""Request rows whose truth is known, for tests and benchmarks of the analysis. Every row says `synthetic`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Truth:
    """What is planted.

    Drift (ms) is `step` higher below `step_at` steps, falls by `per_pixel` with the resolution, and rises by `together` for every
    unit of dynamic_scale and second of length beyond their middle; a slow device, which gets the large pictures, adds
    `slow_device`. Failures follow from memory, which follows from resolution and length.
    """

    step: float = 60.0
    step_at: int = 20
    per_pixel: float = -0.04
    together: float = 1.5
    slow_device: float = 45.0
    noise: float = 12.0
    heavy_tails: bool = True


def planted(n: int, seed: int = 0, truth: Truth | None = None) -> pd.DataFrame:
    """About 0.7 n rows, for the others' traces were sampled away: more of those with little drift (`sampling_weight` undoes it).

    expand_ratio and keep_resolution do nothing and fps never varies. Drift is missing more often where it is large; some rows stand
    twice and some values are missing. Inputs repeat, and each has a drift of its own.
    """
    truth, rng = truth or Truth(), np.random.default_rng(seed)
    rows = _asked(n, rng)
    drift = _drift(rows, truth, rng)
    memory = 300 + rows["min_resolution"] ** 2 / 1000 + 20 * rows["audio_s"] + rng.normal(0, 60, n)
    failed = rng.random(n) < 1 / (1 + np.exp(-(memory - 1900) / 120))
    steps, pixels = rows["inference_steps"], rows["min_resolution"] ** 2
    busy = 0.5 + steps * rows["audio_s"] * pixels / 512**2 / 40
    rows["device_s"] = busy * np.where(rows["device"] == "cpu", 1.6, 1.0) * rng.lognormal(0, 0.15, n)
    rows["latency_s"] = rows["device_s"] + rng.exponential(1.5, n)
    rows["lip_match"] = np.clip(0.8 - 0.002 * drift + rng.normal(0, 0.05, n), 0, 1)
    rows["peak_memory_mb"] = memory
    rows["status"] = np.where(failed, "error", "ok")
    rows["error_type"] = np.where(failed, "out_of_memory", None)
    lost = failed | (rng.random(n) < np.where(drift > 100, 0.25, 0.05))
    rows["audio_drift_ms"] = np.where(lost, np.nan, np.abs(drift))
    rows.loc[failed, ["device_s", "lip_match", "peak_memory_mb"]] = np.nan
    return _sampled(rows, drift, rng)


def _asked(n: int, rng: np.random.Generator) -> pd.DataFrame:
    inputs = rng.integers(0, max(n // 8, 30), n)
    slow = rng.random(n) < 0.5
    small, large = np.array([256, 384, 512, 640]), np.array([512, 640, 768, 1024])
    length = rng.uniform(3, 30, n)
    values: dict[str, Any] = {
        "request_id": [f"planted-{seed:07}" for seed in range(n)], "operation": "generate", "synthetic": True,
        "inference_steps": rng.integers(8, 45, n), "dynamic_scale": rng.uniform(0.5, 2.0, n).round(2),
        "min_resolution": np.where(slow, rng.choice(large, n), rng.choice(small, n)), "expand_ratio": rng.uniform(0, 0.5, n),
        "duration_s": length, "audio_s": length, "fps": 25.0, "keep_resolution": rng.random(n) < 0.3,
        "device": np.where(slow, "cpu", "cuda:0"), "model_version": rng.choice(["1.0", "1.1"], n),
        "replica": rng.choice(["r1", "r2", "r3"], n), "audio_hash": [f"a{k}" for k in inputs], "portrait_hash": "p",
        "started_at": pd.Timestamp("2026-11-01", tz="UTC") + pd.to_timedelta(np.arange(n), unit="s"),
    }  # fmt: skip
    return pd.DataFrame(values)


def _drift(rows: pd.DataFrame, truth: Truth, rng: np.random.Generator) -> np.ndarray:
    n = len(rows)
    noise = rng.standard_t(3, n) if truth.heavy_tails else rng.normal(size=n)
    own = rng.normal(0, truth.noise / 3, 10**6)[rows["audio_hash"].str[1:].astype(int)]
    together = truth.together * (rows["dynamic_scale"] - 1.25) * (rows["duration_s"] - 16)
    drift = (
        60 + truth.step * (rows["inference_steps"] < truth.step_at) + truth.per_pixel * (rows["min_resolution"] - 512) + together
    )
    return np.asarray(drift + truth.slow_device * (rows["device"] == "cpu") + own + truth.noise * noise, float)


def _sampled(rows: pd.DataFrame, drift: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    kept = np.where(drift > 120, 0.95, 0.6)
    rows["sampling_weight"] = 1 / kept
    rows.loc[rng.random(len(rows)) < 0.01, "expand_ratio"] = np.nan
    rows = rows[rng.random(len(rows)) < kept]
    twice = rows[rng.random(len(rows)) < 0.02]
    return pd.concat([rows, twice], ignore_index=True)
