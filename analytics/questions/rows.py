"""Rows as they are, for the questions that ask about every request: failed ones, recognitions and drills too.

`analytics.questions.prepare` keeps what an effect of a parameter can be measured on; a contrast or a list of failures must not drop
the very rows that are asked about. Here only copies of a record go.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analytics.questions.notes import note
from analytics.questions.schema import Column, Schema
from analytics.questions.stats import Floats, effective_n

Truth = NDArray[np.bool_]


@dataclass(frozen=True)
class Rows:
    """One row a request. `weights` have mean 1, and a row of weight 1 stands for `each` requests; `kept`: which rows of the given
    frame they are."""

    frame: pd.DataFrame
    schema: Schema
    weights: Floats
    kept: Truth
    warnings: tuple[str, ...] = ()
    each: float = 1.0

    @property
    def n(self) -> int:
        """Rows."""
        return len(self.frame)

    @property
    def effective(self) -> float:
        """How many equally weighted rows would tell as much (Kish)."""
        return effective_n(self.weights)

    def text(self, name: str) -> NDArray[np.object_] | None:
        """A column as texts, None where it is missing or empty; None where the frame lacks it."""
        if name not in self.frame:
            return None
        values = column(self.frame, name)
        words = values.astype(str)
        return only(words.to_numpy(object), (values.notna() & (words != "")).to_numpy(bool))

    def numbers(self, name: str) -> Floats:
        """A column as floats, NaN where it is missing or no number. Raises KeyError."""
        return numbers(column(self.frame, name))

    def failed(self) -> Truth | None:
        """Which requests ended in an error, by `status` (a cancelled one did not fail), else by `error_type`; None without both."""
        for name, test in (("status", lambda word: word == "error"), ("error_type", lambda word: word is not None)):
            words = self.text(name)
            if words is not None and any(word is not None for word in words):
                return np.fromiter((test(word) for word in words), bool, len(words))
        return None

    def take(self, rows: Truth) -> Rows:
        """Only these rows."""
        positions = np.flatnonzero(self.kept)[rows]
        kept = np.zeros(len(self.kept), bool)
        kept[positions] = True
        return Rows(self.frame.loc[rows].reset_index(drop=True), self.schema, self.weights[rows], kept, self.warnings, self.each)


def observe(frame: pd.DataFrame, schema: Schema | None = None) -> Rows:
    """The rows of a frame without copies of the same attempt of a request, and what each weighs; the frame is not changed."""
    warnings: list[str] = []
    kept = np.ones(len(frame), bool)
    key = [name for name in ("request_id", "attempt") if name in frame]
    if key and key[0] == "request_id":
        kept = ~(frame.duplicated(key) & column(frame, "request_id").notna()).to_numpy(bool)
        if copies := int((~kept).sum()):
            warnings.append(note("copies", count=copies))
    there = frame.loc[kept].reset_index(drop=True)
    assert isinstance(there, pd.DataFrame)
    weights = _weights(there, warnings)
    each = float(weights.mean()) if len(weights) else 1.0
    return Rows(there, schema or Schema.of(frame), weights / each, kept, tuple(warnings), each)


def column(frame: pd.DataFrame, name: str) -> pd.Series:
    """One column; of several with that name the first. Raises KeyError where it is not there."""
    found = frame[name]
    return found if isinstance(found, pd.Series) else found.iloc[:, 0]


def only(values: NDArray[np.object_], chosen: Truth) -> NDArray[np.object_]:
    """The values where `chosen`, None elsewhere."""
    made = np.full(len(values), None, object)
    made[chosen] = values[chosen]
    return made


def numbers(values: pd.Series) -> Floats:
    """Floats, NaN where a value is missing, infinite or no number; a time as seconds since 1970."""
    if isinstance(values.dtype, pd.DatetimeTZDtype) or pd.api.types.is_datetime64_dtype(values.dtype):
        return np.where(values.notna(), values.astype("int64") / _per_second(values), np.nan)
    made = pd.to_numeric(values, errors="coerce")
    assert isinstance(made, pd.Series)
    floats = made.to_numpy(dtype=float, na_value=np.nan)
    return np.where(np.isfinite(floats), floats, np.nan)


def moments(values: pd.Series) -> Floats:
    """Seconds since 1970 of a column of times: timestamps, RFC 3339 texts, or ns since 1970; NaN where it is none."""
    if pd.api.types.is_numeric_dtype(values.dtype):
        return numbers(values) / 1e9
    if not pd.api.types.is_datetime64_any_dtype(values.dtype):
        values = pd.to_datetime(values, utc=True, errors="coerce", format="ISO8601")
    return numbers(values)


def is_time(values: pd.Series, known: Column | None) -> bool:
    """True for a column of times, by its type or by the table of names."""
    return pd.api.types.is_datetime64_any_dtype(values.dtype) or (known is not None and known.dtype == "time")


def _per_second(values: pd.Series) -> float:
    return {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}[values.dt.unit]


def _weights(rows: pd.DataFrame, warnings: list[str]) -> Floats:
    """`weight` of the join where it is, else `sampling_weight`, else 1."""
    name = next((name for name in ("weight", "sampling_weight") if name in rows), None)
    if name is None or rows.empty:
        return np.ones(len(rows))
    given = numbers(column(rows, name))
    weights = np.where(np.isfinite(given) & (given > 0), given, 1.0)
    if weights.min() != weights.max():
        warnings.append(note("weighted", name=name, n=len(rows), effective=f"{effective_n(weights):.0f}"))
    return weights
