"""How long each stage works at which setting, how busy the replicas are, how many a load needs, and what a video second costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analytics.questions.phrases import phrase
from analytics.questions.queueing import Queue, queue_of, replicas_for
from analytics.questions.result import Finding
from analytics.questions.rows import Rows, Truth, column, moments, observe
from analytics.questions.schema import Schema
from analytics.questions.sentences import Language, amount, interval, number
from analytics.questions.stats import Floats, bootstrap_mean, weighted_quantile
from telemetry import fields

STAGE = "run_inference"
"""Its replicas hold the device."""
SETTINGS = ("model_name", "device", "inference_steps", "min_resolution", "fps")
"""What the time of a stage depends on; the length of the input is divided out as seconds of work a video second."""
FEWEST = 20
QUANTILE = 0.95


@dataclass(frozen=True, kw_only=True)
class StageTime(Finding):
    """`estimate`: mean seconds of a stage at one setting (`setting`: column to value, empty = all requests).

    `cv2`: squared coefficient of variation. `a_video_second`: mean seconds of work for a second of video, None without `video_s`.
    """

    stage: str
    setting: dict[str, Any]
    cv2: float | None = None
    median: float | None = None
    p95: float | None = None
    a_video_second: float | None = None


@dataclass(frozen=True, kw_only=True)
class Capacity(Finding):
    """`estimate`: replicas needed for `load` requests a minute, so that `quantile` of them end the stage within `target_s`; None
    where no number is enough. `interval`: the same at the bounds of the mean service time.

    `observed`: `rate` (requests a minute at work), `replicas` seen, `utilisation` and `waiting` (share that waits, by Erlang C).
    `ca2`: squared coefficient of variation between arrivals as observed.
    """

    stage: str
    load: float
    target_s: float
    quantile: float
    service_s: float | None = None
    service_interval: tuple[float, float] | None = None
    utilisation: float | None = None
    alone_s: float | None = None
    ca2: float = 1.0
    observed: dict[str, float] | None = None

    def sentence(self, language: Language = "en") -> str:
        """How many replicas, and on what the number rests."""
        if self.service_s is None:
            return phrase("capacity_none", language, stage=self.stage, n=self.n)
        shown = {"target": amount(self.target_s, "s"), "quantile": amount(self.quantile, "share"), "n": self.n}
        if self.estimate is None:
            return phrase("replicas_never", language, alone=amount(self.alone_s, "s"), **shown)
        return phrase(
            "replicas", language, load=number(self.load), replicas=int(self.estimate), service=amount(self.service_s, "s"),
            interval=interval(self.service_interval, "s", language), utilisation=amount(self.utilisation, "share"), **shown,
        )  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """How requests arrived: `ca2` between arrivals, `requests` (weighted) in `span_s` seconds, at how many `replicas`."""

    ca2: float = 1.0
    requests: float = 0.0
    span_s: float = 0.0
    replicas: int = 0


def service_times(frame: pd.DataFrame, by: Sequence[str] = SETTINGS, schema: Schema | None = None) -> tuple[StageTime, ...]:
    """The time of each stage over all requests and at each setting with at least FEWEST of them, in the order of the work.

    Time without waiting where it was recorded (`<stage>_busy_ms`), else wall time.
    """
    rows = observe(frame, schema)
    found: list[StageTime] = []
    groups = list(_settings(rows, by))
    for stage in fields.STAGES:
        seconds = stage_seconds(rows, stage)
        known = np.isfinite(seconds)
        chosen = [(setting, places & known) for setting, places in groups]
        found += [_stage_time(rows, stage, seconds, places, setting) for setting, places in chosen
                  if places.sum() >= (FEWEST if setting else 1)]  # fmt: skip
    return tuple(found)


def cost(frame: pd.DataFrame, by: Sequence[str] = SETTINGS, schema: Schema | None = None) -> tuple[StageTime, ...]:
    """Seconds of the device for each second of video that was made, over all requests and at each setting (stage `device`).

    Failed requests used the device as well: their seconds count, so that the cost is that of the videos that exist.
    """
    rows = observe(frame, schema)
    if not {"device_s", "video_s"} <= set(rows.frame.columns):
        return ()
    used, made = np.nan_to_num(rows.numbers("device_s")), np.nan_to_num(rows.numbers("video_s"))
    return tuple(_cost(rows, used, made, setting, chosen) for setting, chosen in _settings(rows, by)
                 if chosen.sum() >= FEWEST and made[chosen].sum() > 0)  # fmt: skip


def capacity(
    frame: pd.DataFrame, load: float, target_s: float, *, quantile: float = QUANTILE, stage: str = STAGE,
    schema: Schema | None = None, truncated: bool = False, seen: Seen | None = None,
) -> Capacity:  # fmt: skip
    """The replicas of a stage that `load` requests a minute need, each replica working on one request at a time.

    `seen`: how requests arrived, where the frame is a sample that cannot tell. Raises ValueError where the load, the target or the
    quantile is not positive, or the quantile is not below 1.
    """
    if load <= 0 or target_s <= 0 or not 0 < quantile < 1:
        raise ValueError(f"load {load}, target {target_s} s and quantile {quantile}: above 0, and the quantile below 1")
    rows = observe(frame, schema)
    seconds = stage_seconds(rows, stage)
    known = np.isfinite(seconds) & (seconds > 0)
    base = {
        "stage": stage,
        "load": load,
        "target_s": target_s,
        "quantile": quantile,
        "warnings": rows.warnings,
        "truncated": truncated,
    }
    if known.sum() < FEWEST:
        return Capacity(n=int(known.sum()), verdict="too_few" if known.any() else "no_data", **base)
    rows, services = rows.take(known), seconds[known]
    seen = seen or _seen(rows, services)
    ca2 = seen.ca2
    queue = queue_of(services, rows.weights, load / 60, ca2)
    mean, bounds = bootstrap_mean(services, rows.weights)
    needed, low, high = (replicas_for(Queue(queue.rate, s, queue.cs2, ca2), target_s, quantile, services * s / mean, rows.weights)
                         for s in (mean, *bounds))  # fmt: skip
    return Capacity(
        n=rows.n, verdict="associated", unit="replicas", estimate=needed, ca2=ca2, service_s=mean, service_interval=bounds,
        interval=None if low is None or high is None else (float(low), float(high)),
        utilisation=queue.utilisation(needed) if needed else None, alone_s=weighted_quantile(services, quantile, rows.weights),
        observed=_observed(rows, services, seen), **base,
    )  # fmt: skip


def stage_seconds(rows: Rows, stage: str) -> Floats:
    """The time of a stage without waiting where it was recorded, else its wall time; NaN where it did not run."""
    names = [name for name in (f"{stage}_busy_ms", f"{stage}_ms") if name in rows.frame]
    found = np.full(rows.n, np.nan)
    for name in names:
        found = np.where(np.isfinite(found), found, rows.numbers(name) / 1000)
    return found


def _settings(rows: Rows, by: Sequence[str]) -> Iterator[tuple[dict[str, Any], Truth]]:
    """All rows, then those of each combination of the columns that vary."""
    yield {}, np.ones(rows.n, bool)
    keys = {name: column(rows.frame, name) for name in by if name in rows.frame and column(rows.frame, name).nunique() > 1}
    if not keys:
        return
    for values, places in pd.DataFrame(keys).groupby(list(keys), dropna=False, sort=True).indices.items():
        chosen = np.zeros(rows.n, bool)
        chosen[places] = True
        yield dict(zip(keys, values if isinstance(values, tuple) else (values,), strict=True)), chosen


def _stage_time(rows: Rows, stage: str, seconds: Floats, chosen: Truth, setting: dict[str, Any]) -> StageTime:
    x, w = seconds[chosen], rows.weights[chosen]
    mean, bounds = bootstrap_mean(x, w)
    cv2 = float(w @ (x - mean) ** 2 / w.sum() / (mean * mean)) if mean > 0 else None
    video = rows.numbers("video_s")[chosen] if "video_s" in rows.frame else np.full(len(x), np.nan)
    both = np.isfinite(video) & (video > 0)
    per = float(w[both] @ x[both] / (w[both] @ video[both])) if both.any() else None
    middle, late = (weighted_quantile(x, q, w) for q in (0.5, 0.95))
    return StageTime(n=len(x), verdict="associated", unit="s", estimate=mean, interval=bounds, stage=stage, setting=setting,
                     cv2=cv2, median=middle, p95=late, a_video_second=per)  # fmt: skip


def _cost(rows: Rows, used: Floats, made: Floats, setting: dict[str, Any], chosen: Truth) -> StageTime:
    """A ratio of sums; its interval from the residuals (the usual linearisation of a ratio; Cochran, Sampling Techniques, 6.4)."""
    w, x, y = rows.weights[chosen], used[chosen], made[chosen]
    ratio = float(w @ x / (w @ y))
    _, (low, high) = bootstrap_mean((x - ratio * y) / float(w @ y / w.sum()), w)
    return StageTime(n=int(chosen.sum()), verdict="associated", unit="s", estimate=ratio, interval=(ratio + low, ratio + high),
                     stage="device", setting=setting, a_video_second=ratio)  # fmt: skip


def _seen(rows: Rows, services: Floats) -> Seen:
    """How the requests of a whole frame arrived, at how many replicas."""
    if "started_at" not in rows.frame:
        return Seen()
    at = moments(column(rows.frame, "started_at"))
    known = np.isfinite(at)
    names = rows.text("replica")
    replicas = 0 if names is None else len({name for name in names if name is not None})
    span = float((at + services)[known].max() - at[known].min()) if known.any() else 0.0
    return Seen(_arrivals(np.sort(at[known])), float(rows.weights[known].sum()) * rows.each, span, replicas)


def _arrivals(at: Floats) -> float:
    """Squared coefficient of variation between arrivals inside an hour (across hours the rate itself changes); 1 where too few."""
    ratios: list[tuple[int, float]] = []
    for hour in np.unique(at // 3600):
        gaps = np.diff(at[at // 3600 == hour])
        if len(gaps) >= FEWEST and gaps.mean() > 0:
            ratios.append((len(gaps), float(gaps.var() / gaps.mean() ** 2)))
    return float(np.average([one for _, one in ratios], weights=[n for n, _ in ratios])) if ratios else 1.0


def _observed(rows: Rows, services: Floats, seen: Seen) -> dict[str, float] | None:
    """How busy the replicas were: seconds of work over seconds of all replicas between the first start and the last end."""
    if not seen.replicas or seen.span_s <= 0:
        return None
    queue = queue_of(services, rows.weights, seen.requests / seen.span_s)
    busy, waiting = queue.utilisation(seen.replicas), queue.waiting(seen.replicas)
    return {"rate": queue.rate * 60, "replicas": float(seen.replicas), "utilisation": busy, "waiting": waiting}
