"""How many requests, of which weight, failed with which error: by value of a field and by piece of time. Counted in DuckDB.

Everything that `failures` asks is a question to these counts, so that it is exact over any number of requests.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from analytics.filters import Filter
from analytics.filters.sql import condition_of, quoted
from analytics.questions.rows import Rows, column, moments
from analytics.questions.stats import Floats
from analytics.requests import Joined

FIELDS = ("failed_stage", "source_prefix", "department", "replica", "host", "model_version", "model_name", "device", "client_hash")
"""Where failures are looked for. The stage is a part of the failure itself: its values are counted, not compared."""
VALUES = 100
"""Values of a field that are asked, the most frequent ones."""
MESSAGES = 5_000
"""Different messages that are read, the most frequent ones."""
UNKNOWN = "unknown"
"""A failure without an error type."""
_SUMS = "count(*) AS n, sum(w)::DOUBLE AS w, sum(w * w)::DOUBLE AS w2"


@dataclass(frozen=True)
class Mass:
    """Rows, and the sums of their weights and of the squares of these."""

    n: float
    w: float
    w2: float

    def __sub__(self, other: Mass) -> Mass:
        return Mass(self.n - other.n, self.w - other.w, self.w2 - other.w2)

    @property
    def effective(self) -> float:
        """How many equally weighted rows would tell as much (Kish)."""
        return self.w * self.w / self.w2 if self.w2 > 0 else 0.0


@dataclass(frozen=True)
class Cells:
    """For each `value` and error `type` (None: did not fail) how many rows `n`, their weight `w` and its square `w2`."""

    value: NDArray[np.object_]
    type: NDArray[np.object_]
    n: Floats
    w: Floats
    w2: Floats

    def mass(self, chosen: NDArray[np.bool_] | None = None) -> Mass:
        """The sums over the chosen cells, or over all."""
        where = np.ones(len(self.n), bool) if chosen is None else chosen
        return Mass(float(self.n[where].sum()), float(self.w[where].sum()), float(self.w2[where].sum()))

    def failed(self, error_type: str | None = None) -> NDArray[np.bool_]:
        """Which cells are failures: all of them, or those of one type."""
        if error_type is not None:
            return self.type == error_type
        return np.array([one is not None for one in self.type], bool)

    def values(self) -> list[Any]:
        """The values, the most frequent first; None is none."""
        counts: dict[Any, float] = {}
        for value, n in zip(self.value, self.n, strict=True):
            if value is not None:
                counts[value] = counts.get(value, 0.0) + n
        return sorted(counts, key=lambda value: -counts[value])


class Ended:
    """The requests as the table `ended` of a DuckDB connection: began (s), type, failed_stage, message, w, and the FIELDS."""

    def __init__(self, view: Joined, columns: frozenset[str], *, known: bool) -> None:
        """`known`: some row says how it ended."""
        self._view, self._columns, self.known = view, columns, known

    def of(self, field: str) -> Cells | None:
        """The cells of a field, seldom values and none together as None; None where the rows lack it."""
        if field not in self._columns:
            return None
        kept = f"IN (SELECT value FROM ended_{field} GROUP BY value ORDER BY sum(n) DESC, value LIMIT {VALUES})"
        query = (
            f"CREATE OR REPLACE TEMP TABLE ended_{field} AS SELECT {quoted(field)} AS value, type, {_SUMS} FROM ended GROUP BY ALL"
        )
        self._view.run(query)
        return self._cells(f"SELECT * FROM ended_{field} WHERE value IS NULL OR value {kept} ORDER BY value, type")

    def all(self) -> Cells:
        """One cell an error type."""
        return self._cells(f"SELECT NULL AS value, type, {_SUMS} FROM ended GROUP BY type ORDER BY type")

    def over_time(self, length_s: int, first_s: float) -> Cells:
        """Cells by piece of time, numbered from `first_s`."""
        return self._cells(
            f"""SELECT floor((began - {first_s}) / {length_s})::BIGINT AS value, type, {_SUMS} FROM ended
                WHERE began IS NOT NULL GROUP BY ALL ORDER BY value, type"""
        )

    def span(self) -> tuple[float | None, float | None]:
        """The first and the last start (s since 1970)."""
        low, high = self._view.one_row("SELECT min(began), max(began) FROM ended")
        return low, high

    def messages(self) -> pd.DataFrame:
        """`message`, `type`, `n`, `w` of the failures, the most frequent first."""
        query = f"""SELECT message, type, {_SUMS} FROM ended WHERE type IS NOT NULL AND message IS NOT NULL
                    GROUP BY ALL ORDER BY n DESC, message LIMIT {MESSAGES}"""
        return self._view.rows(query).to_pandas()

    def _cells(self, query: str) -> Cells:
        found = self._view.rows(query).to_pydict()
        texts = (np.array([*found[name], None], object)[:-1] for name in ("value", "type"))
        return Cells(*texts, *(np.array(found[name], float) for name in ("n", "w", "w2")))


def ended(view: Joined, where: Filter | None = None) -> Ended:
    """The requests of a store that pass a filter."""
    condition, values = condition_of(where)
    return _made(view, frozenset(view.columns()), condition, values)


@contextmanager
def ended_rows(rows: Rows) -> Iterator[Ended]:
    """The requests of a frame whose copies are gone, weighted as they are."""
    texts = {name: rows.text(name) for name in ("status", "error_type", "error_message", *FIELDS)}
    made = pd.DataFrame({name: found for name, found in texts.items() if found is not None}, index=range(rows.n), dtype=object)
    if "started_at" in rows.frame:
        made["started_at"] = pd.to_datetime(moments(column(rows.frame, "started_at")), unit="s", utc=True)
    made["weight"] = rows.weights * rows.each
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("requests", pa.Table.from_pandas(made, preserve_index=False))
        yield _made(Joined(connection, truncated=False), frozenset(made.columns), "true", ())


def _made(view: Joined, columns: frozenset[str], condition: str, values: tuple[Any, ...]) -> Ended:
    def text(name: str) -> str:
        return f"nullif({quoted(name)}::VARCHAR, '')" if name in columns else "NULL::VARCHAR"

    said = [f"count({name}) > 0" if name in columns else "false" for name in ("status", "error_type")]
    by_status, by_type = view.one_row(f"SELECT {', '.join(said)} FROM requests")
    failed = "coalesce(status = 'error', false)" if by_status else f"{text('error_type')} IS NOT NULL"
    weight = next((name for name in ("weight", "sampling_weight") if name in columns), None)
    w = f"CASE WHEN isfinite({weight}::DOUBLE) AND {weight} > 0 THEN {weight}::DOUBLE ELSE 1.0 END" if weight else "1.0"
    listed = [f"{text(name)} AS {quoted(name)}" for name in FIELDS if name in columns]
    at = "epoch_ns(started_at) / 1e9" if "started_at" in columns else "NULL::DOUBLE"
    made = [f"{at} AS began", f"{w} AS w", f"CASE WHEN {failed} THEN {text('error_message')} END AS message",
            f"CASE WHEN {failed} THEN coalesce({text('error_type')}, '{UNKNOWN}') END AS type", *listed]  # fmt: skip
    view.run(f"CREATE OR REPLACE TEMP TABLE ended AS SELECT {', '.join(made)} FROM requests WHERE {condition}", values)
    return Ended(view, columns, known=by_status or by_type)
