"""Is this stage slow for these settings? The usual time of a stage among like requests, and how this one compares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from analytics.filters.sql import quoted
from analytics.questions.phrases import phrase
from analytics.questions.sentences import Language
from analytics.requests import Joined
from telemetry import fields

LIKE = ("operation", "model_name", "device", "inference_steps", "min_resolution", "fps")
"""Like requests have the same values of these: what the work is and where it ran."""
LENGTH = 0.2
"""And an audio length within this share: the time of a stage is nearly linear in it, so usual times differ by no more."""
ENOUGH = 8
"""Fewer like requests give no quantiles worth a sentence: the 10th and the 90th percentile would be the extremes."""

Verdict = Literal["usual", "slow", "fast", "too few"]


@dataclass(frozen=True)
class Baseline:
    """The time of one stage (ms) and the range in which 8 of 10 like requests lie; None where there are fewer than ENOUGH."""

    stage: str
    ms: float
    n: int
    low_ms: float | None = None
    median_ms: float | None = None
    high_ms: float | None = None

    @property
    def verdict(self) -> Verdict:
        """Slow: above the range and more than 1.2 times the median; what is within 20 % of it is no news."""
        if self.low_ms is None or self.high_ms is None or self.median_ms is None:
            return "too few"
        if self.ms > self.high_ms and self.ms > 1.2 * self.median_ms:
            return "slow"
        return "fast" if self.ms < self.low_ms and self.ms < self.median_ms / 1.2 else "usual"

    @property
    def sentence(self) -> str:
        """Such as `run_inference took 9.2 s, usually 3.0–4.0 s (n = 214)`."""
        return self.said("en")

    def said(self, language: Language) -> str:
        """The sentence in a language."""
        took = _time(self.ms, self.ms)
        if self.low_ms is None or self.high_ms is None:
            return phrase("baseline_few", language, stage=self.stage, took=took, n=self.n)
        low, high = _time(self.low_ms, self.high_ms), _time(self.high_ms, self.high_ms)
        usually = high if low == high else f"{low.split()[0]}–{high}"
        return phrase("baseline", language, stage=self.stage, took=took, usually=usually, n=self.n)


def baselines(view: Joined, row: Mapping[str, Any]) -> list[Baseline]:
    """One for each stage that ran in the request `row`, in the table's order; the request itself is not among its likes.

    Like requests ended well and were made by people, not by tests or drills (unless this one was, too).
    """
    ran = [stage for stage in fields.STAGES if row.get(f"{stage}_ms") is not None]
    if not ran:
        return []
    conditions = ["status = 'ok'", "request_id IS DISTINCT FROM $request_id", "coalesce(synthetic, false) = $synthetic"]
    parameters: dict[str, Any] = {"request_id": row.get("request_id"), "synthetic": bool(row.get("synthetic"))}
    for name in LIKE:
        conditions.append(f"{quoted(name)} IS NOT DISTINCT FROM ${name}")
        parameters[name] = row.get(name)
    if row.get("audio_s") is not None:
        conditions.append("audio_s BETWEEN $shortest AND $longest")
        parameters |= {"shortest": row["audio_s"] * (1 - LENGTH), "longest": row["audio_s"] * (1 + LENGTH)}
    columns = ", ".join(f"count({stage}_ms), quantile_cont({stage}_ms, [0.1, 0.5, 0.9])" for stage in ran)
    found = view.one_row(f"SELECT {columns} FROM requests WHERE {' AND '.join(conditions)}", parameters)
    return [_baseline(stage, row[f"{stage}_ms"], *found[2 * k : 2 * k + 2]) for k, stage in enumerate(ran)]


def _baseline(stage: str, ms: float, n: int, quantiles: list[float] | None) -> Baseline:
    return Baseline(stage, ms, n) if n < ENOUGH or quantiles is None else Baseline(stage, ms, n, *quantiles)


def _time(ms: float, scale: float) -> str:
    """In the unit that suits `scale`, with two digits that matter."""
    if scale >= 1000:
        return f"{ms / 1000:.1f} s" if scale < 100_000 else f"{ms / 1000:.0f} s"
    return f"{ms:.1f} ms" if scale < 10 else f"{ms:.0f} ms"
