"""Request rows of an invented service with one known cause of drift, or none: what the contrast is held against.

Traffic is as traffic is: few departments and owners make most of it, they choose settings together, hosts and versions change over
the day, times and drifts have heavy tails. `truth` names the fields that are planted; nothing else moves the drift.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

START_S = 1_795_000_000
HOSTS = ("h1", "h2", "h3", "h4", "h5")
DEPARTMENTS = ("film", "games", "learning", "news", "ads", "lab", "legal")
CAUSES = ("host", "replica", "version", "setting", "region", "long", "pair", "hour", "encoder", "input", "two")


@dataclass(frozen=True)
class Incident:
    """The rows, which of them drift over 100 ms, and the fields of the cause (all of a pair; either of what says the same)."""

    frame: pd.DataFrame
    truth: tuple[str, ...]

    @property
    def inside(self) -> np.ndarray:
        """The rows that drift."""
        return (self.frame["audio_drift_ms"] > 100).to_numpy(bool)


def incident(cause: str | None, n: int = 4000, seed: int = 0, *, strength: float = 0.6, other: float = 0.03) -> Incident:
    """Rows with a cause of CAUSES or none. `strength`: share of the touched rows that drift; `other`: of the rest."""
    random = np.random.default_rng(seed)
    frame = traffic(n, random)
    touched, truth = planted(frame, cause, random)
    bad = random.random(n) < np.where(touched, strength, other)
    drift = np.where(bad, 100 + random.lognormal(3, 1, n), np.minimum(random.lognormal(2.5, 0.8, n), 99))
    return Incident(_outcomes(frame, drift, random), truth)


def planted(frame: pd.DataFrame, cause: str | None, random: np.random.Generator) -> tuple[np.ndarray, tuple[str, ...]]:
    """The rows that the cause touches, and its fields."""
    match cause:
        case None:
            return np.zeros(len(frame), bool), ()
        case "host":
            return (frame["host"] == "h3").to_numpy(bool), ("host",)
        case "replica":
            return (frame["replica"] == "r7").to_numpy(bool), ("replica",)
        case "version":
            return (frame["model_version"] == "2.1").to_numpy(bool), ("model_version",)
        case "setting":
            frame.loc[frame["department"] == "news", "fps"] = random.choice(
                [25.0, 30.0], int((frame["department"] == "news").sum())
            )
            return ((frame["department"] == "news") & (frame["fps"] == 30.0)).to_numpy(bool), ("department", "fps")
        case "region":
            return (frame["dynamic_scale"] > 1.4).to_numpy(bool), ("dynamic_scale",)
        case "long":
            return (frame["audio_s"] > 20).to_numpy(bool), ("audio_s",)
        case "pair":
            return ((frame["dynamic_scale"] > 1.25) & (frame["audio_s"] > 10)).to_numpy(bool), ("dynamic_scale", "audio_s")
        case "hour":
            at = (frame["started_at"].astype("int64") // 10**9).to_numpy()
            span = at.max() - at.min()
            return (at > at.min() + 0.55 * span) & (at < at.min() + 0.63 * span), ("started_at",)
        case "encoder":
            return (frame["encoder"] == "libopenh264").to_numpy(bool), ("encoder",)
        case "input":
            return (frame["audio_hash"] == "a1").to_numpy(bool), ("audio_hash",)
        case "two":
            return ((frame["host"] == "h3") | (frame["dynamic_scale"] > 1.5)).to_numpy(bool), ("host", "dynamic_scale")
    raise ValueError(cause)


def traffic(n: int, random: np.random.Generator) -> pd.DataFrame:
    """Who asks for what, when and where: everything that is known before the work."""
    zipf = 1 / np.arange(1, len(DEPARTMENTS) + 1)
    department = random.choice(DEPARTMENTS, n, p=zipf / zipf.sum())
    place = np.array([DEPARTMENTS.index(one) for one in department])
    at = START_S + np.sort(random.beta(2, 3, n)) * 86_400
    owner = place * 100 + np.minimum(random.zipf(1.6, n), 40)
    inputs = np.minimum(random.zipf(1.5, n), n // 10 + 5)
    length = np.random.default_rng(5).lognormal(2.0, 0.6, n // 10 + 6)[inputs]
    # Departments choose settings together: more steps with more pixels, some with stronger motion.
    steps = np.clip(np.round(random.normal(18 + 3 * (place % 4), 4, n)), 5, 60)
    scale = np.clip(np.round(random.normal(1.0 + 0.05 * place, 0.15, n), 2), 0.5, 2.0)
    resolution = random.choice([384, 512, 640, 768], n, p=[0.2, 0.5, 0.2, 0.1])
    # The balancer prefers hosts by department, and the rollout goes host by host.
    host = np.where(random.random(n) < 0.5, (place + random.integers(0, 2, n)) % 5, random.integers(0, 5, n))
    replica = 2 * host + random.integers(0, 2, n) + 1
    new = (at > START_S + 86_400 * (0.3 + 0.08 * host)) & (random.random(n) < 0.9)
    return pd.DataFrame({
        "request_id": [f"request-{k:06}" for k in range(n)], "trace_id": [f"{k:032x}" for k in random.permutation(n)],
        "started_at": pd.to_datetime((at * 1e9).astype("int64"), utc=True), "operation": "generate", "model_name": "lite",
        "inference_steps": steps.astype("int64"), "dynamic_scale": scale, "min_resolution": resolution,
        "expand_ratio": np.round(random.normal(0.18, 0.02, n), 3), "fps": random.choice([25.0, 30.0], n, p=[0.95, 0.05]),
        "seed": random.integers(0, 2**31, n), "keep_resolution": random.random(n) < 0.1, "department": department,
        "owner_hash": [f"o{k}" for k in owner], "audio_hash": [f"a{k}" for k in inputs],
        "portrait_hash": [f"p{k}" for k in np.minimum(random.zipf(1.7, n), 300)], "audio_s": np.round(length, 2),
        "host": np.array(HOSTS)[host], "replica": [f"r{k}" for k in replica], "device": "cpu",
        "model_version": np.where(new, "2.1", "2.0"), "attempt": 1, "synthetic": False,
        "source_prefix": np.where(random.random(n) < 0.2, [f"batch/{k % 7}" for k in owner], None),
        "queue_wait_ms": random.lognormal(4, 1.5, n), "cache_hit": random.random(n) < 0.4,
        "encoder": random.choice(["libx264", "libopenh264"], n, p=[0.9, 0.1]), "roi_width": random.integers(80, 900, n),
    })  # fmt: skip


def _outcomes(frame: pd.DataFrame, drift: np.ndarray, random: np.random.Generator) -> pd.DataFrame:
    """What came of it: some of it follows the drift, most of it the settings; a few requests fail and have no drift."""
    n = len(frame)
    failed = random.random(n) < 0.02
    sign = np.where(random.random(n) < 0.5, -1, 1)
    work = frame["inference_steps"] * frame["audio_s"] * random.lognormal(0, 0.3, n)
    measured = {
        "audio_drift_ms": drift, "audio_offset_ms": drift * sign, "video_s": frame["audio_s"], "run_inference_ms": work * 20,
        "lip_match": np.clip(0.9 - drift / 300 + random.normal(0, 0.1, n), 0, 1), "sync_confidence": random.beta(8, 2, n),
        "encode_video_ms": frame["audio_s"] * random.lognormal(3, 0.4, n), "peak_memory_mb": random.lognormal(6, 0.2, n),
        "latency_s": work * 0.02 + random.lognormal(0, 1, n), "duration_drift_ms": random.normal(0, 10, n),
    }  # fmt: skip
    made = frame.assign(**{name: np.where(failed, np.nan, values) for name, values in measured.items()})
    made["status"] = np.where(failed, "error", "ok")
    made["error_type"] = np.where(failed, "encoder_timeout", None)
    made["error_message"] = [f"ffmpeg took longer than {k} s" if bad else None for k, bad in enumerate(failed)]
    made["failed_stage"] = np.where(failed, "encode_video", None)
    made["user_score"] = np.where(random.random(n) < 0.05, np.where(drift > 100, -1, 1), np.nan)
    # What a drill knows and the analysis must never look at.
    made["fault_injected"] = np.where(drift > 100, "late_audio", None)
    return made
