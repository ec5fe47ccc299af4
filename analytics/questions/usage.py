"""Who asked for what: by department, date and owner, with the settings that were chosen and what came of it; for export."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analytics.questions.phrases import phrase
from analytics.questions.result import Finding
from analytics.questions.rows import Rows, Truth, column, moments, observe
from analytics.questions.schema import Column, Schema
from analytics.questions.sentences import Language, amount
from analytics.questions.stats import weighted_median

BY = ("department", "date", "owner_hash")
RESULTS = ("latency_s", "audio_drift_ms", "duration_drift_ms", "lip_match", "user_score")
"""Outcomes whose median stands in the report."""
SUMS = ("video_s", "device_s")


@dataclass(frozen=True, kw_only=True)
class Used(Finding):
    """One group. `estimate`: its share of all requests (unit `share`); `requests` and sums count what sampled rows stand for.

    `settings`: the median of each number that was asked, the most frequent value else. `results`: medians of outcomes.
    """

    who: dict[str, Any]
    requests: float
    failed: float
    cancelled: float
    video_s: float
    device_s: float
    settings: dict[str, Any]
    results: dict[str, float]

    def sentence(self, language: Language = "en") -> str:
        """How much it was and what it took."""
        unknown, everybody = ("unknown", "all") if language == "en" else ("未知", "全部")
        who = ", ".join(f"{name} {unknown if value is None else value}" for name, value in self.who.items()) or everybody
        return phrase("usage", language, who=who, n=self.n, share=amount(self.estimate, "share"), failed=f"{self.failed:.10g}",
                      video=amount(self.video_s, "s"), device=amount(self.device_s, "s"))  # fmt: skip


def usage(
    frame: pd.DataFrame, by: Sequence[str] = BY, schema: Schema | None = None, *, truncated: bool = False
) -> tuple[Used, ...]:
    """What each group asked for, in the order of the groups. `by`: columns, or `date` (UTC, of the acceptance).

    A missing value is a group of its own. A column that the frame lacks is no group; empty where there are no rows.
    """
    rows = observe(frame, schema)
    if not rows.n:
        return ()
    keys = {name: key for name in by if (key := _key(rows, name)) is not None}
    if not keys:
        return (_used(rows, {}, np.ones(rows.n, bool), truncated),)
    grouped = pd.DataFrame(keys).groupby(list(keys), dropna=False, sort=True).indices
    found: list[Used] = []
    for values, places in grouped.items():
        chosen = np.zeros(rows.n, bool)
        chosen[places] = True
        who = dict(zip(keys, values if isinstance(values, tuple) else (values,), strict=True))
        found.append(
            _used(rows, {name: value if isinstance(value, str) else None for name, value in who.items()}, chosen, truncated)
        )
    return tuple(found)


def table(used: Sequence[Used]) -> pd.DataFrame:
    """One row a group: who, counts, `settings` as columns of their own names, `results` as `<name>_median`."""
    return pd.DataFrame(
        [
            {**one.who, "requests": one.requests, "share": one.estimate, "failed": one.failed, "cancelled": one.cancelled,
             "video_s": one.video_s, "device_s": one.device_s, **one.settings,
             **{f"{name}_median": value for name, value in one.results.items()}}
            for one in used
        ]
    )  # fmt: skip


def export(used: Sequence[Used], path: Path) -> None:
    """Writes the table as CSV or Parquet, by the ending. Raises ValueError for another ending, OSError where it cannot write."""
    if path.suffix == ".csv":
        table(used).to_csv(path, index=False)
    elif path.suffix == ".parquet":
        table(used).to_parquet(path, index=False)
    else:
        raise ValueError(f"{path.name}: the ending must be .csv or .parquet")


def _key(rows: Rows, name: str) -> Any:
    if name == "date" and "started_at" in rows.frame:
        at = moments(column(rows.frame, "started_at"))
        return np.array([datetime.fromtimestamp(one, UTC).strftime("%Y-%m-%d") if np.isfinite(one) else None for one in at], object)
    return rows.text(name)


def _used(rows: Rows, who: dict[str, Any], chosen: Truth, truncated: bool) -> Used:
    w = rows.weights * rows.each
    failed, status = rows.failed(), rows.text("status")
    video, device = (float(w[chosen] @ np.nan_to_num(rows.numbers(name)[chosen])) if name in rows.frame else 0.0 for name in SUMS)
    asked = [one for one in rows.schema.parameters if one.tunable and one.name in rows.frame]
    settings = {one.name: value for one in asked if (value := _typical(rows, one, chosen)) is not None}
    results = {
        name: weighted_median(values[known], rows.weights[known])
        for name in RESULTS
        if name in rows.frame and (known := chosen & np.isfinite(values := rows.numbers(name))).any()
    }
    return Used(
        n=int(chosen.sum()), verdict="associated", unit="share", estimate=float(w[chosen].sum() / w.sum()), truncated=truncated,
        warnings=rows.warnings, who=who, requests=float(w[chosen].sum()), settings=settings, results=results,
        video_s=video, device_s=device,
        failed=0.0 if failed is None else float(w[chosen & failed].sum()),
        cancelled=0.0 if status is None else float(w[chosen & (status == "cancelled")].sum()),
    )  # fmt: skip


def _typical(rows: Rows, asked: Column, chosen: Truth) -> Any:
    if asked.numeric:
        values = rows.numbers(asked.name)
        known = chosen & np.isfinite(values)
        return weighted_median(values[known], rows.weights[known]) if known.any() else None
    words = rows.text(asked.name)
    if words is None:
        return None
    counts: dict[str, float] = {}
    for word, weight in zip(words[chosen], rows.weights[chosen], strict=True):
        if word is not None:
            counts[word] = counts.get(word, 0.0) + weight
    return max(counts, key=lambda word: counts[word], default=None)
