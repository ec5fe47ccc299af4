"""Which requests a stage was slow in, given what it had to do and how busy everything was.

The time of a stage is nearly a product (length × pixels × steps), so its logarithm is modelled linearly; what all stages share at
a time is load, not a slow stage, and is taken off. What is left is compared with its own usual spread.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analytics.questions.rows import Rows, Truth, moments
from analytics.questions.rows import column as column_of
from analytics.questions.stats import Floats
from telemetry import fields

WORK = ("audio_s", "fps", "min_resolution", "inference_steps")
"""What the work of a stage is proportional to a power of."""
INPUTS = ("portrait_hash", "audio_hash")
"""What the pictures and sounds themselves add to a stage's time."""
PULL = 5
"""Requests whose weight the median of all has in that of a group: a group of five is believed half."""
ENOUGH = 15
"""Requests below which no usual time is known."""
EACH = 5
"""And so many for each thing that the work is made of."""
SIGMAS = 1.0
"""Of the usual spread (by the median of absolute residuals) from which a request counts as slow: a sixth of them does by chance.
What counts is where these are more frequent than elsewhere. The residuals of 240 real requests had a spread of 0.28 to 0.55; at
1.5 a replica that was 1.6 times slower was not found among 191 requests, at 1.0 it was."""
LEAST = float(np.log(1.25))
"""A quarter more than usual, at least."""
WINDOW = 31
"""Requests, in the order of time, whose shared pace is the load."""


@dataclass(frozen=True, eq=False)
class Pace:
    """`slow`: rows in which the stage was slow, of those with a `known` time; `times`: how many times the usual, in the median."""

    slow: Truth
    known: Truth
    times: float | None


def slow_stages(rows: Rows, usable: Truth) -> dict[str, Pace]:
    """The pace of each stage that enough usable rows have a time of."""
    left = {stage: kept for stage in fields.STAGES if (kept := _residual(rows, stage, usable)) is not None}
    if not left:
        return {}
    load = _load(rows, np.column_stack(list(left.values())))
    return {stage: _pace(values - load) for stage, values in left.items()}


def _residual(rows: Rows, stage: str, usable: Truth) -> Floats | None:
    """The logarithm of the time less what the work explains (NaN where unknown), from a fit that outliers hardly move."""
    time = _time(rows, stage)
    known = usable & np.isfinite(time) & (time > 0)
    work = [np.log(values) for name in WORK if name in rows.frame and _positive(values := rows.numbers(name), known)]
    hits = rows.text("cache_hit") if stage == "preprocess_image" else None
    if hits is not None:  # what was prepared anew takes as long as a picture takes: no slower than usual, another work
        known &= np.array([str(word).lower() in ("true", "1", "1.0") for word in hits], bool)
    for one in work:
        known &= np.isfinite(one)
    if known.sum() < ENOUGH:
        return None
    varied = [one for one in work if np.ptp(one[known]) > 0]
    if known.sum() < EACH * (1 + len(varied)):
        return None
    design = np.column_stack([np.ones(rows.n), *varied])
    made = np.full(rows.n, np.nan)
    made[known] = _robust(design[known], np.log(time[known]))
    for name in INPUTS:
        words = rows.text(name)
        if words is not None:
            made = made - level(made, words)
    return made


def level(values: Floats, words: np.ndarray) -> Floats:
    """The median of each group less that of all (0 without a group), drawn towards 0 where the group is small."""
    made = pd.Series(values)
    groups = made.groupby(pd.Series(words))
    middle, counts = (np.asarray(groups.transform(name), float) for name in ("median", "count"))
    return np.nan_to_num((middle - float(made.median())) * counts / (counts + PULL))


def _time(rows: Rows, stage: str) -> Floats:
    """Without waiting where that is recorded: a stage that waits for a slow one is not slow."""
    for name in (f"{stage}_busy_ms", f"{stage}_ms"):
        if name in rows.frame and np.isfinite(values := rows.numbers(name)).any():
            return values
    return np.full(rows.n, np.nan)


def _positive(values: Floats, known: Truth) -> bool:
    there = values[known & np.isfinite(values)]
    return len(there) >= ENOUGH and bool((there > 0).all())


def _robust(design: Floats, values: Floats) -> Floats:
    """Residuals of a regression with Tukey's weights (Beaton and Tukey, 1974), centred at their median."""
    weights = np.ones(len(values))
    left = values - np.median(values)
    for _ in range(8):
        scaled = design * weights[:, None]
        coefficients = np.linalg.lstsq(scaled.T @ design, scaled.T @ values, rcond=None)[0]
        left = values - design @ coefficients
        left = left - np.median(left)
        spread = 1.4826 * float(np.median(np.abs(left))) or 1e-9
        weights = np.clip(1 - (left / (4.685 * spread)) ** 2, 0, 1) ** 2
    return left


def _load(rows: Rows, left: Floats) -> Floats:
    """What the stages have in common around a time: the running median of their median."""
    if "started_at" not in rows.frame:
        return np.zeros(rows.n)
    shared = pd.DataFrame(left).median(axis=1)
    order = np.argsort(moments(column_of(rows.frame, "started_at")), kind="stable")
    smooth = shared.iloc[order].rolling(WINDOW, center=True, min_periods=5).median().to_numpy(float)
    made = np.empty(rows.n)
    made[order] = np.nan_to_num(smooth)
    return made


def _pace(left: Floats) -> Pace:
    known = np.isfinite(left)
    middle = float(np.median(left[known]))
    spread = 1.4826 * float(np.median(np.abs(left[known] - middle)))
    slow = known & (left - middle > max(LEAST, SIGMAS * spread))
    return Pace(slow, known, float(np.exp(np.median(left[slow] - middle))) if slow.any() else None)
