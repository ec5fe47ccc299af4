"""The traffic of a staged incident: request rows of an invented service whose noise, effects and times were measured in a real one.

What a service does by itself is drawn from the 240 real requests of `tests/fixtures/sweep.parquet`: each invented request takes the
meter's error, confidence and match of a faultless real one with the same strength of motion and the same recording (each invented
recording stands for one of the four real ones, each portrait for one of the four real ones), and its stages' times are a power law
fitted to all of them, times what portrait and recording add, times a real request's own residuals. What they cannot tell is
invented, on the unkind side: departments with templates of their own, hosts that the balancer prefers by department, a rollout host
by host, a few portraits without a face, batches, load that rises and falls, rare failures, logs that have not arrived yet.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analytics.questions.rows import only
from analytics.questions.stats import Floats
from telemetry import fields

SWEEP = Path(__file__).parents[1] / "tests" / "fixtures" / "sweep.parquet"
START = pd.Timestamp("2026-11-24T06:00:00Z")
NAMES = ("film", "games", "news", "ads", "learning", "lab", "legal", "claims")
WORK = ("audio_s", "fps", "min_resolution", "inference_steps")
MOTION = (0.5, 0.8, 1.0, 1.2, 1.6, 2.0)
"""Values of dynamic_scale in the sweep."""


@dataclass(frozen=True)
class Measured:
    """The real requests: faultless ones to draw from, and for each stage the power law (work, then what each portrait and each
    recording adds to the logarithm) and every request's residual."""

    good: pd.DataFrame
    laws: dict[str, Floats]
    residuals: pd.DataFrame
    faces: list[str]
    sounds: list[str]


@cache
def measured() -> Measured:
    """Read once."""
    rows = pd.read_parquet(SWEEP)
    good = rows.loc[(rows["department"] == "press") | (rows["video_fps"] == rows["fps"]) & (rows["department"] == "film")]
    assert isinstance(good, pd.DataFrame)
    faces, sounds = (sorted(rows[name].unique()) for name in ("portrait_hash", "audio_hash"))
    design = _design(rows, _places(rows["portrait_hash"], faces), _places(rows["audio_hash"], sounds))
    laws, residuals = {}, {}
    for stage in fields.STAGES:
        usable = rows["cache_hit"].to_numpy(bool) if stage == "preprocess_image" else np.ones(len(rows), bool)
        time = np.log(rows[f"{stage}_busy_ms"].to_numpy(float))
        laws[stage] = np.linalg.lstsq(design[usable], time[usable], rcond=None)[0]
        residuals[stage] = np.where(usable, time - design @ laws[stage], 0.0)
    return Measured(good.reset_index(drop=True), laws, pd.DataFrame(residuals), faces, sounds)


def _places(names: Iterable[str], known: list[str]) -> NDArray[Any]:
    return np.array([known.index(name) for name in names])


def _design(rows: pd.DataFrame, face: NDArray[Any], sound: NDArray[Any]) -> Floats:
    """The logarithms of the work, then one column for each of the four portraits and recordings."""
    work = [np.log(rows[name].to_numpy(float)) for name in WORK]
    # The four lengths are the four recordings: of the two only the length is fitted, the recordings take up the rest.
    return np.column_stack([*work, *(face == k for k in range(4)), *(0.1 * (sound == k) for k in range(4))])


def stands_for(names: Iterable[str]) -> NDArray[Any]:
    """Which of the four real portraits or recordings an invented one (p12, a7) stands for, by its number."""
    return np.array([int(name[1:]) * 7 % 11 % 4 for name in names])


def traffic(n: int, random: np.random.Generator) -> pd.DataFrame:
    """Who asks for what, when and where: everything that is known before the work."""
    count = int(random.integers(3, len(NAMES) + 1))
    names = random.permutation(NAMES)[:count]
    weight = 1 / np.arange(1, count + 1) ** random.uniform(0.5, 1.2)
    place = random.choice(count, n, p=weight / weight.sum())
    hours = random.uniform(1, 30)
    at = np.sort(random.beta(random.uniform(1, 3), random.uniform(1, 3), n)) * hours * 3600
    frame = _settings(place, names, at, random)
    return pd.concat([frame, _inputs(n, place, names, random), _machines(n, place, at, hours, random)], axis=1)


def _settings(place: np.ndarray, names: np.ndarray, at: Floats, random: np.random.Generator) -> pd.DataFrame:
    """A template a department, from which people depart; more pixels go with more steps."""
    n, count = len(place), len(names)
    steps, pixels = random.choice([10, 20, 25, 30], count), random.choice([256, 384, 512, 640, 768], count)
    motion, rate = random.choice([1.0, 1.0, 1.2, 1.6], count), random.choice([25.0, 25.0, 25.0, 30.0, 24.0], count)
    own = random.random(n) < 0.3
    free = {
        "inference_steps": random.choice([5, 10, 20, 25, 30, 40], n),
        "min_resolution": random.choice([256, 384, 512, 768, 1024], n),
        "dynamic_scale": random.choice([0.8, 1.0, 1.2, 1.6, 2.0], n, p=[0.1, 0.4, 0.3, 0.15, 0.05]),
        "fps": random.choice([24.0, 25.0, 30.0], n, p=[0.15, 0.7, 0.15]),
    }  # fmt: skip
    given = {"inference_steps": steps, "min_resolution": pixels, "dynamic_scale": motion, "fps": rate}
    made = {name: np.where(own, free[name], values[place]) for name, values in given.items()}
    return pd.DataFrame({
        "request_id": [f"drill-{k:06}" for k in range(n)], "trace_id": [f"{k:032x}" for k in random.permutation(n)],
        "job_id": [f"job-{k:06}" for k in range(n)],
        "started_at": START + pd.to_timedelta(at, unit="s"), "operation": "generate", "model_name": "lite", **made,
        "expand_ratio": np.where(random.random(n) < 0.1, 0.25, 0.18), "keep_resolution": random.random(n) < 0.1,
        "seed": random.integers(0, 2**31, n), "department": names[place], "attempt": 1,
    })  # fmt: skip


def _inputs(n: int, place: np.ndarray, names: np.ndarray, random: np.random.Generator) -> pd.DataFrame:
    """Recordings and portraits that some use again and again, owners with habits, batches from folders."""
    owner = place * 100 + np.minimum(random.zipf(1.7, n), 30)
    sound, face = (np.minimum(random.zipf(random.uniform(1.3, 2), n), n // 3 + 3) for _ in range(2))
    # A speech is mostly recorded for one video; some are used again and again.
    sound = np.where(random.random(n) < random.uniform(0.3, 0.8), n + np.arange(n), sound)
    lengths = np.clip(random.lognormal(1.9, 0.6, 2 * n), 1.5, 60)
    folders = np.array([f"{names[one // 100]}/batch-{one % 3}" for one in owner], object)
    return pd.DataFrame({
        "owner_hash": [f"o{one}" for one in owner], "client_hash": [f"c{one // 2}" for one in owner],
        "audio_hash": [f"a{one}" for one in sound], "portrait_hash": [f"p{one}" for one in face],
        "audio_s": np.round(lengths[sound], 3),
        "source_prefix": only(folders, random.random(n) < 0.35), "roi_width": random.integers(180, 700, n // 3 + 4)[face],
    })  # fmt: skip


def _machines(n: int, place: np.ndarray, at: Floats, hours: float, random: np.random.Generator) -> pd.DataFrame:
    """Hosts that the balancer prefers by department, replicas on them, and a version that goes out host by host."""
    hosts, each = int(random.integers(3, 7)), int(random.integers(1, 4))
    prefers = random.random(n) < random.uniform(0.2, 0.7)
    host = np.where(prefers, (place + random.integers(0, 2, n)) % hosts, random.integers(0, hosts, n))
    rollout = (random.uniform(0.1, 0.7) + 0.25 * random.random(hosts)[host]) * hours * 3600
    return pd.DataFrame({
        "host": [f"gpu-{one}" for one in host], "replica": [f"r{one}" for one in host * each + random.integers(0, each, n)],
        "device": "cpu", "model_version": np.where((at > rollout) & (random.random(n) < 0.95), "2.1.0", "2.0.0"),
        "service_version": "0.1.0", "encoder": np.where(random.random(n) < 0.12, "libopenh264", "libx264"),
    })  # fmt: skip


def work(frame: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """What comes of it by itself: measured noise and times, load, and the failures that are always there."""
    n = len(frame)
    drawn = drawn_like(frame["dynamic_scale"].to_numpy(float), stands_for(frame["audio_hash"]), random)
    made: dict[str, Any] = {
        "status": "ok", "http_status": 200, "error_type": None, "error_message": None, "failed_stage": None,
        "audio_offset_ms": drawn["audio_offset_ms"].to_numpy(float), "sync_confidence": drawn["sync_confidence"].to_numpy(float),
        "sync_reason": drawn["sync_reason"].to_numpy(object), "lip_match": drawn["lip_match"].to_numpy(float),
        "frozen_tail_ms": 0.0,
    }  # fmt: skip
    rate, length = frame["fps"].to_numpy(float), frame["audio_s"].to_numpy(float)
    made["video_frames"] = np.ceil(length * rate - 1e-6)
    made |= {"video_fps": rate, "video_s": made["video_frames"] / rate, "has_trace": True}
    made["duration_drift_ms"] = (made["video_s"] - length) * 1000
    made |= _times(frame, random)
    known = frame.assign(**made)
    # The newest requests' logs are on their way, and now and then one is lost.
    arrived = np.arange(n) < n - random.integers(0, 3)
    known["has_logs"] = arrived & (random.random(n) > 0.002)
    return _failures(known, random)


def drawn_like(motion: Floats, sound: NDArray[Any], random: np.random.Generator) -> pd.DataFrame:
    """A faultless real request for each invented one, with the nearest strength of motion and the recording it stands for."""
    real = measured()
    good, sounds = real.good["dynamic_scale"].to_numpy(float), _places(real.good["audio_hash"], real.sounds)
    level = np.array(MOTION)[np.abs(motion[:, None] - np.array(MOTION)[None, :]).argmin(axis=1)]
    donor = np.zeros(len(motion), int)
    for one in MOTION:
        for k in range(4):
            wanted, fit = (level == one) & (sound == k), np.flatnonzero((good == one) & (sounds == k))
            donor[wanted] = random.choice(fit if len(fit) else np.flatnonzero(good == one), int(wanted.sum()))
    return real.good.iloc[donor].reset_index(drop=True)


def _times(frame: pd.DataFrame, random: np.random.Generator) -> dict[str, Any]:
    real, n = measured(), len(frame)
    design = _design(frame, stands_for(frame["portrait_hash"]), stands_for(frame["audio_hash"]))
    drawn = real.residuals.iloc[random.integers(0, len(real.residuals), n)].reset_index(drop=True)
    # Load: a slow wave and a wandering, up to twice the time.
    phase = np.linspace(0, random.uniform(2, 9), n) + random.uniform(0, 6)
    load = random.uniform(0, 0.35) * (1 + np.sin(phase)) + random.uniform(0, 0.02) * np.cumsum(random.normal(size=n))
    load = np.clip(load, 0, 1)
    made: dict[str, Any] = {}
    for stage in fields.STAGES:
        made[f"{stage}_busy_ms"] = np.exp(design @ real.laws[stage] + drawn[stage] + load)
    # The cache is one for all: the first of a portrait at a size misses, later ones seldom (it is bounded).
    first = ~frame.duplicated(["portrait_hash", "min_resolution", "expand_ratio"]).to_numpy(bool)
    hit = ~first & (random.random(n) > 0.03) | first & (random.random(n) < 0.3)
    missed = measured_misses()
    made["preprocess_image_busy_ms"] = np.where(hit, made["preprocess_image_busy_ms"], random.choice(missed, n) * np.exp(load))
    made["cache_hit"] = hit.astype(object)
    made["queue_wait_ms"] = random.choice(measured().good["queue_wait_ms"].to_numpy(float), n) * np.exp(3 * load)
    return made


@cache
def measured_misses() -> Floats:
    """Times of the real requests whose portrait was not in the cache (ms)."""
    good = measured().good
    return good["preprocess_image_busy_ms"].to_numpy(float)[~good["cache_hit"].to_numpy(bool)]


def _failures(frame: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """Portraits without a face, however often they are sent; rare errors of every kind."""
    faceless = random.choice(frame["portrait_hash"].unique(), max(1, len(frame["portrait_hash"].unique()) // 50))
    most = frame["portrait_hash"].value_counts()
    faceless = [one for one in faceless if most[one] < 0.05 * len(frame)]
    failing = pd.Series(None, index=frame.index, dtype=object)
    for name, share in (("internal", 0.004), ("deadline_exceeded", 0.004), ("encoder_timeout", 0.002), ("replica_lost", 0.002),
                        ("audio_silent", 0.003), ("out_of_memory", 0.002)):  # fmt: skip
        failing[random.random(len(frame)) < share * random.uniform(0.5, 2)] = name
    failing[frame["portrait_hash"].isin(faceless)] = "face_not_found"
    return fail(frame, failing.notna().to_numpy(bool), failing.to_numpy(object))


STAGE_OF = {"face_not_found": "preprocess_image", "audio_silent": "load_audio", "path_invisible_characters": "admission",
            "out_of_memory": "run_inference", "encoder_timeout": "encode_video"}  # fmt: skip
OUTCOMES = ("audio_offset_ms", "audio_drift_ms", "sync_confidence", "lip_match", "duration_drift_ms", "frozen_tail_ms", "video_s",
            "video_fps", "video_frames", "sync_reason")  # fmt: skip


def fail(frame: pd.DataFrame, which: np.ndarray, types: Any) -> pd.DataFrame:
    """The frame with these rows failed: no outcome of a file, no time of a stage that did not run."""
    made = frame.copy()
    types = np.where(which, types, None)
    made.loc[which, "status"] = "error"
    made.loc[which, "error_type"] = types[which]
    made.loc[which, "http_status"] = 500
    made.loc[which, "error_message"] = [f"{name} happened" for name in types[which]]
    made.loc[which, "failed_stage"] = [STAGE_OF.get(name, "run_inference") for name in types[which]]
    for name in OUTCOMES:
        if name in made:
            made.loc[which, name] = None if made[name].dtype == object else np.nan
    early = which & made["failed_stage"].isin(["admission", "load_audio", "preprocess_image"]).to_numpy(bool)
    for name in ("host", "replica", "device", "model_version"):
        made.loc[early, name] = None
    made.loc[which, "encoder"] = None
    late = [f"{stage}_busy_ms" for stage in ("run_inference", "encode_video", "measure_sync")]
    made.loc[which, late] = np.nan
    refused = which & (made["failed_stage"] == "admission").to_numpy(bool)
    made.loc[refused, ["audio_s", "preprocess_image_busy_ms"]] = np.nan
    made.loc[refused, "cache_hit"] = None
    return made
