"""When is it too much? One small class a condition; each reads one number from the rows of one group.

Rows are a frame in the order of their end: `at` (s since 1970), `matched`, `request_id`, and the columns that the condition names.
A reading of None means: too few rows to say, and nothing changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from analytics.questions.stats import Floats, difference_interval, median_interval, share_interval


@dataclass(frozen=True)
class Reading:
    """The number, the rows behind it (ids, the newest last), and for a run the value that all of them share."""

    value: float | None
    rows: int
    ids: tuple[str, ...] = ()
    cause: str | None = None
    sure: bool = True
    """False where the number may be chance; then it fires nothing new."""


class _Base(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of a request row that the condition needs."""
        return ()

    def empty(self) -> float | None:
        """The value of a group without rows; None: nothing is known of it."""
        return None


class _Above(_Base):
    above: float = Field(allow_inf_nan=False, description="fires beyond this")

    def fires(self, value: float) -> bool:
        """Beyond the limit."""
        return value > self.above

    def limit(self) -> float:
        """The value at or below which all is well."""
        return self.above


class Count(_Above):
    """How many match."""

    kind: Literal["count"]

    def empty(self) -> float | None:
        """None of them matched."""
        return 0.0

    def read(self, rows: pd.DataFrame, now: float, window: float) -> Iterator[Reading]:
        """One reading."""
        bad = _bad(_inside(rows, now, window))
        yield Reading(float(len(bad)), len(bad), tuple(bad["request_id"]))


class Rate(_Above):
    """How many a minute match."""

    kind: Literal["rate"]

    def empty(self) -> float | None:
        """None of them matched."""
        return 0.0

    def read(self, rows: pd.DataFrame, now: float, window: float) -> Iterator[Reading]:
        """One reading."""
        bad = _bad(_inside(rows, now, window))
        yield Reading(len(bad) * 60 / window, len(bad), tuple(bad["request_id"]))


class Share(_Above):
    """Which share of at least `fewest` rows matches."""

    kind: Literal["share"]
    fewest: int = Field(default=10, ge=1)

    def read(self, rows: pd.DataFrame, now: float, window: float) -> Iterator[Reading]:
        """One reading."""
        there = _inside(rows, now, window)
        bad = _bad(there)
        value = len(bad) / len(there) if len(there) >= self.fewest else None
        yield Reading(value, len(there), tuple(bad["request_id"]))


class Quantile(_Above):
    """A quantile of a column over the rows that match."""

    kind: Literal["quantile"]
    of: str
    q: float = Field(default=0.95, gt=0, lt=1)
    fewest: int = Field(default=10, ge=1)

    @property
    def columns(self) -> tuple[str, ...]:
        """The column."""
        return (self.of,)

    def read(self, rows: pd.DataFrame, now: float, window: float) -> Iterator[Reading]:
        """One reading; the ids are those beyond the limit."""
        there = _with(_bad(_inside(rows, now, window)), self.of)
        value = float(np.quantile(_numbers(there, self.of), self.q)) if len(there) >= self.fewest else None
        yield Reading(value, len(there), tuple(there["request_id"][_numbers(there, self.of) > self.above]))


class Change(_Above):
    """This window against the one before it: the share that matches (difference), or the median of a column (relative). It is sure
    where the 95 % interval of the difference lies above 0."""

    kind: Literal["change"]
    of: str | None = None
    fewest: int = Field(default=10, ge=5)

    @property
    def columns(self) -> tuple[str, ...]:
        """The column, where one is named."""
        return () if self.of is None else (self.of,)

    def read(self, rows: pd.DataFrame, now: float, window: float) -> Iterator[Reading]:
        """One reading."""
        new, old = _inside(rows, now, window), _inside(rows, now - window, window)
        if self.of is not None:
            new, old = (_with(_bad(part), self.of) for part in (new, old))
        if min(len(new), len(old)) < self.fewest:
            yield Reading(None, len(new))
            return
        after, before = (self._summary(part) for part in (new, old))
        change, (low, _) = difference_interval(before, after)
        scale = 1.0 if self.of is None else abs(before[0]) or np.nan
        ids = _bad(new) if self.of is None else _taken(new, _numbers(new, self.of) > before[1][1])
        value = change / scale
        yield Reading(float(value) if np.isfinite(value) else None, len(new), tuple(ids["request_id"]), sure=bool(low > 0))

    def _summary(self, rows: pd.DataFrame) -> tuple[float, tuple[float, float]]:
        if self.of is None:
            return share_interval(len(_bad(rows)), len(rows))
        return median_interval(_numbers(rows, self.of))


class Repeated(_Base):
    """The same error N times in a row: the newest rows all match and have the same value of `same`."""

    kind: Literal["repeated"]
    times: int = Field(default=3, ge=2)
    same: str = "error_type"

    @property
    def columns(self) -> tuple[str, ...]:
        """The column that must be the same."""
        return (self.same,)

    def limit(self) -> float:
        """A row that does not match ends the run: only then is all well."""
        return 0.0

    def read(self, rows: pd.DataFrame, now: float, window: float) -> Iterator[Reading]:
        """One reading for each value among the rows that match; a run that has ended reads 0."""
        there = _inside(rows, now, window)
        bad = _bad(there)
        if there.empty:
            return
        last = there.iloc[-1]
        for cause in bad[self.same].dropna().astype(str).unique():
            same = (there["matched"] & (there[self.same].astype(str) == cause)).to_numpy()
            run = len(same) - 1 - int(np.flatnonzero(~same).max(initial=-1))
            still = bool(last["matched"]) and str(last[self.same]) == cause
            yield Reading(float(run if still else 0), len(there), tuple(there["request_id"].iloc[len(there) - run :]), cause)

    def fires(self, value: float) -> bool:
        """At `times`."""
        return value >= self.times


Condition = Annotated[Count | Rate | Share | Quantile | Change | Repeated, Field(discriminator="kind")]


def fires(condition: Condition, reading: Reading) -> bool:
    """Whether a reading is too much."""
    return reading.value is not None and reading.sure and condition.fires(reading.value)


def _inside(rows: pd.DataFrame, now: float, window: float) -> pd.DataFrame:
    at = rows["at"].to_numpy(float)
    return _taken(rows, (at > now - window) & (at <= now))


def _bad(rows: pd.DataFrame) -> pd.DataFrame:
    return _taken(rows, rows["matched"].to_numpy(bool))


def _with(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    return _taken(rows, rows[name].notna().to_numpy(bool))


def _numbers(rows: pd.DataFrame, name: str) -> Floats:
    return rows[name].to_numpy(float)


def _taken(rows: pd.DataFrame, chosen: NDArray[np.bool_]) -> pd.DataFrame:
    found = rows.loc[chosen]
    assert isinstance(found, pd.DataFrame)
    return found
