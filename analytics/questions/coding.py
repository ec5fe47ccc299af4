"""Columns of any type as small integers: what a contrast counts.

A code is a value of a category or a quantile bin of a number; 0 is "missing or too rare" and is never an explanation. Which rows
are asked about plays no part here, so the bins cannot be fitted to the answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analytics.questions.rows import Rows, is_time, moments, numbers, only
from analytics.questions.rows import column as column_of
from analytics.questions.schema import Column
from analytics.questions.stats import Floats
from telemetry import fields

Kind = Literal["categorical", "numeric", "time"]
Role = Literal["parameter", "identity", "input", "time", "run", "outcome"]

GIVEN = (
    "audio_s", "roi_width", "roi_height", "requested_duration_s", "queue_wait_ms", "cache_hit", "encoder", "advice", "clock_skew",
)  # fmt: skip
"""Outcomes by their kind, but known before or beside the work: they can explain what came of it."""
NEVER = ("fault", "sampling_weight", "weight", "duplicates", "has_trace", "has_logs", "ended_at", "extra", "user_comment")
"""Starts of names that explain nothing: what a drill planted, what the record is about rather than the request, and free text."""
RUN = ("_ms", "device_s", "memory_mb", "head_ms", "tail_ms", "span_count", "event_count", "width", "height", "video_s", "video_fps",
       "video_frames", "video_format")  # fmt: skip
"""Ends of names that say how the run went. It precedes what is judged afterwards, so it can explain that, but not its own time."""
JUDGED = (
    "audio_offset_ms", "audio_drift_ms", "sync_confidence", "sync_reason", "lip_match", "duration_drift_ms", "frozen_tail_ms",
    "user_score",
)  # fmt: skip
"""What is judged on the finished file."""
WITH_THE_WORK = ("replica", "host", "device", "model_version", "host_name", "process_pid", "service_version")
"""Identity that is first known when the work starts: where it is missing the request had failed before, which explains nothing."""

QUANTILES = (
    *(0.001, 0.003, 0.01, 0.02, 0.05), *(round(0.1 + 0.05 * k, 2) for k in range(17)), *(0.95, 0.98, 0.99, 0.997, 0.999),
)  # fmt: skip
"""Edges of the bins of a number: finer towards both ends, where a rare cause lies."""
LEVELS = 64
"""Values of a category that are looked at, the most frequent ones."""
GLANCE = 20
RARE = 3
"""A value in fewer rows explains nothing."""


@dataclass(frozen=True, eq=False)
class Coded:
    """One field. `codes`: 0 or the place of the value in `levels` + 1. `tests`: how many questions its best answer was picked from.

    `levels`: values of a category, (lowest, highest) of each bin of a number. `values`: the number itself, None for a category.
    """

    field: str
    kind: Kind
    role: Role
    codes: NDArray[np.int16]
    levels: tuple[Any, ...]
    tests: int
    values: Floats | None = None
    unit: str = ""


def code(rows: Rows) -> tuple[list[Coded], dict[str, str]]:
    """Every field that varies, and why the others are left out."""
    coded: list[Coded] = []
    left_out: dict[str, str] = {}
    for name, values, column in _columns(rows):
        if name.startswith(NEVER):
            left_out[name] = "not about the request"
            continue
        made = list(_coded(name, values, column))
        coded += made
        if not made:
            left_out[name] = "no data" if values.isna().all() else "never varied, or another value in every request"
    return coded, left_out


def role_of(name: str, column: Column | None) -> Role:
    """What a field can be in an explanation. A user's own undeclared field counts as identity, a declared outcome as judged."""
    if name in GIVEN:
        return "input"
    known = column is None or column.name in fields.BY_NAME
    if known and name not in JUDGED and name.endswith(RUN) and (column is None or column.kind == "outcome"):
        return "run"
    if column is None:
        return "outcome" if name in ("orphan", "failed_spans") else "identity"
    return "time" if column.dtype == "time" else column.kind


def _columns(rows: Rows) -> Iterator[tuple[str, pd.Series, Column | None]]:
    for name in map(str, rows.frame.columns):
        yield name, column_of(rows.frame, name), rows.schema.get(name)
    extra = rows.text("extra")
    if extra is not None and any(text is not None for text in extra):
        own = pd.DataFrame([{} if text is None else json.loads(text) for text in extra])
        for name in map(str, own.columns.difference(rows.frame.columns)):
            yield name, column_of(own, name), None


def _coded(name: str, values: pd.Series, column: Column | None) -> Iterator[Coded]:
    role = role_of(name, column)
    if is_time(values, column):
        yield from _times(name, values)
        return
    if (column is not None and column.dtype == "list") or _holds(values, (list, np.ndarray)):
        yield from _items(name, values, role)
        return
    if _is_number(values, column):
        made = numbers(values)
        if role == "parameter" and np.isnan(made).any():
            yield from _category(name, pd.Series(only(np.full(len(made), "not set", object), np.isnan(made))), role)
        yield from _number(name, made, role, "numeric", column.unit if column else "")
        return
    if role in ("parameter", "identity") and name not in WITH_THE_WORK and values.isna().any():
        values = values.astype(object).where(values.notna(), "missing")
    yield from _category(name, values, role)


def _is_number(values: pd.Series, column: Column | None) -> bool:
    """An identity's integer is a name, not an amount; a text column that holds only numbers is one (CSV)."""
    if column is not None:
        return column.numeric and not (column.kind == "identity" and column.dtype == "int")
    if pd.api.types.is_bool_dtype(values.dtype) or values.name == "process_pid":
        return False
    if pd.api.types.is_numeric_dtype(values.dtype):
        return True
    known = values.dropna()
    if _holds(values, (bool,)):
        return False
    # A glance first: reading 100,000 words as numbers takes longer than all else about the column.
    return bool(len(known)) and all(bool(np.isfinite(numbers(part)).all()) for part in (known.iloc[:GLANCE], known))


def _holds(values: pd.Series, types: tuple[type, ...]) -> bool:
    first = values.first_valid_index()
    return values.dtype == object and first is not None and isinstance(values.loc[first], types)


def _category(name: str, values: pd.Series, role: Role) -> Iterator[Coded]:
    texts = values if values.dtype != object else values.map(_hashable, na_action="ignore")
    found, levels = pd.factorize(texts)
    counts = np.bincount(found[found >= 0], minlength=len(levels))
    frequent = np.argsort(-counts, kind="stable")[:LEVELS]
    frequent = frequent[counts[frequent] >= RARE]
    if len(frequent) == 0 or counts[frequent[0]] == len(values):
        return
    place = np.zeros(len(levels) + 1, np.int16)
    place[frequent] = np.arange(1, len(frequent) + 1)
    kept = tuple(_scalar(levels[index]) for index in frequent)
    # Every frequent value was a question, also those beyond LEVELS; of two values one says all.
    tests = 1 if len(levels) == 2 else max(1, int((counts >= RARE).sum()))
    yield Coded(name, "categorical", role, place[found], kept, tests)


def _items(name: str, values: pd.Series, role: Role) -> Iterator[Coded]:
    """A list is each of its items: there or not. As JSON or Python writes it in a CSV it is a text."""
    lists = [_as_list(value) for value in values]
    for item in sorted({item for one in lists for item in one}):
        there = np.fromiter((item in one for one in lists), bool, len(lists))
        if RARE <= there.sum() < len(there):
            yield Coded(name, "categorical", role, there.astype(np.int16), (item,), 1)


def _as_list(value: Any) -> list[str]:
    if isinstance(value, str):
        return [word for word in (part.strip(" '\"") for part in value.strip("[]").split(",")) if word]
    return [str(item) for item in value] if isinstance(value, (list, tuple, np.ndarray)) else []


def _times(name: str, values: pd.Series) -> Iterator[Coded]:
    """When, the hour of the day and the day of the week (UTC): an incident has an hour, a batch has a weekday."""
    at = moments(values)
    yield from _number(name, at, "time", "time", "")
    known = np.isfinite(at)
    if name != "started_at" or not known.any():
        return
    span = at[known].max() - at[known].min()
    if span > 2 * 86_400:
        yield from _number("hour", np.where(known, at // 3600 % 24, np.nan), "time", "numeric", "")
    if span > 14 * 86_400:
        days = np.array(["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"], object)[(np.nan_to_num(at) // 86_400 % 7).astype(int)]
        yield from _category("weekday", pd.Series(only(days, known)), "time")


def _number(name: str, values: Floats, role: Role, kind: Kind, unit: str) -> Iterator[Coded]:
    known = np.isfinite(values)
    ordered = np.sort(values[known])
    if len(ordered) < RARE or ordered[0] == ordered[-1]:
        return
    edges = ordered[np.minimum((np.array(QUANTILES) * len(ordered)).astype(int), len(ordered) - 1)]
    # Few values: each is a bin of its own, whatever its share.
    distinct = np.flatnonzero(np.diff(ordered)) + 1
    edges = ordered[distinct] if len(distinct) <= len(QUANTILES) else np.unique(edges[edges > ordered[0]])
    codes = np.where(known, np.searchsorted(edges, values, side="right") + 1, 0).astype(np.int16)
    starts = np.searchsorted(ordered, edges, side="left")
    lows, highs = ordered[np.r_[0, starts]], ordered[np.r_[starts, len(ordered)] - 1]
    levels = tuple(zip(lows.tolist(), highs.tolist(), strict=True))
    # The best of all runs of 28 bins is as extreme under chance as the best of 21 to 65 independent tests (1,500 draws each at 300,
    # 1,500 and 20,000 rows, 3 to 50 % of them asked about).
    yield Coded(name, kind, role, codes, levels, round(2.5 * len(levels)), values, unit)


def _hashable(value: Any) -> Any:
    return value if isinstance(value, (str, bool, int)) else str(value)


def _scalar(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
