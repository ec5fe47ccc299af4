"""A condition on all rows of an experiment, such as `p95(audio_drift_ms) > 80`: what somebody's CI stops at."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from analytics.columns import vocabulary
from analytics.filters import Filter, FilterError, parse
from analytics.questions.filtered import matching
from analytics.questions.rows import column, numbers

_SHAPE = re.compile(r"\s*([a-z]+\d*)\s*\((.*)\)\s*(>=|<=|!=|=|>|<)\s*(\S+)\s*", re.DOTALL)
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le, "=": operator.eq, "!=": operator.ne,
}  # fmt: skip
_KNOWN = "p1 to p99 and mean of a number, share of a filter, count of a filter or of nothing"


class GateError(ValueError):
    """The condition cannot be read; the message says what is understood."""


@dataclass(frozen=True)
class Reading:
    """What a gate found. `value`: None where no row has the outcome; `n`: rows that count; `breached`: the condition holds, or
    there is nothing to judge by."""

    text: str
    value: float | None
    n: int
    breached: bool

    def sentence(self) -> str:
        """Such as `p95(audio_drift_ms) = 92.4 (n = 40): p95(audio_drift_ms) > 80 holds`."""
        measure = self.text[: self.text.rindex(")") + 1].strip()
        if self.value is None:
            return f"{measure} cannot be told: no row has it (n = 0); a gate does not pass on nothing"
        return f"{measure} = {self.value:.4g} (n = {self.n}): {self.text.strip()} {'holds' if self.breached else 'does not hold'}"


@dataclass(frozen=True)
class Gate:
    """A parsed condition. `where` is the filter of a share or a count, `outcome` the number of a quantile or a mean."""

    text: str
    function: str
    outcome: str | None
    where: Filter | None
    compare: str
    limit: float

    def read(self, rows: pd.DataFrame) -> Reading:
        """The value over these rows. Of a share every row counts, also one whose filter cannot be decided (it does not pass)."""
        value, n = self._value(rows)
        breached = value is None or _COMPARE[self.compare](value, self.limit)
        return Reading(self.text, value, n, breached)

    def _value(self, rows: pd.DataFrame) -> tuple[float | None, int]:
        if self.outcome is not None:
            values = numbers(column(rows, self.outcome)) if self.outcome in rows else np.empty(0)
            values = values[np.isfinite(values)]
            if not len(values):
                return None, 0
            number = values.mean() if self.function == "mean" else np.quantile(values, int(self.function[1:]) / 100)
            return float(number), len(values)
        passed = len(rows)
        if self.where is not None and passed:
            passed = int(matching(pa.Table.from_pandas(rows, preserve_index=False), self.where).sum())
        if self.function == "count":
            return float(passed), len(rows)
        return (passed / len(rows), len(rows)) if len(rows) else (None, 0)


def gate(text: str) -> Gate:
    """The condition that a text states. Raises GateError."""
    found = _SHAPE.fullmatch(text)
    if found is None:
        raise GateError(f"{text!r} is not FUNCTION(…) > NUMBER, such as p95(audio_drift_ms) > 80; functions: {_KNOWN}")
    function, inside, compare, number = found.groups()
    try:
        limit = float(number)
    except ValueError:
        raise GateError(f"{number!r} in {text!r} is no number") from None
    if not np.isfinite(limit):
        raise GateError(f"{number!r} in {text!r} is no number that something can be compared with")
    if function == "mean" or re.fullmatch(r"p[1-9]\d?", function):
        return Gate(text, function, _outcome(inside.strip(), text), None, compare, limit)
    if function not in ("share", "count"):
        raise GateError(f"{function} in {text!r} is unknown; functions: {_KNOWN}")
    if not inside.strip():
        if function == "share":
            raise GateError(f"share() in {text!r} needs a filter: share(audio_drift_ms > 100)")
        return Gate(text, function, None, None, compare, limit)
    try:
        return Gate(text, function, None, parse(inside, vocabulary()), compare, limit)
    except FilterError as error:
        raise GateError(f"the filter in {text!r} cannot be read: {error}") from error


def _outcome(name: str, text: str) -> str:
    known = vocabulary()
    if name not in known:
        raise GateError(f"{name!r} in {text!r} is no field")
    if known[name].dtype not in ("int", "float"):
        raise GateError(f"{name} in {text!r} is no number; share({name} = …) counts values")
    return known[name].column
