"""From request rows to observations: one row a request, typed, weighted, clustered by its input, and what is missing counted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analytics.questions.notes import note
from analytics.questions.schema import Column, Schema
from analytics.questions.stats import Floats, effective_n

WORDS = {
    "true": True, "yes": True, "y": True, "t": True, "on": True, "1": True, "1.0": True,
    "false": False, "no": False, "n": False, "f": False, "off": False, "0": False, "0.0": False,
}  # fmt: skip
"""How other people's files write truth."""


@dataclass(frozen=True)
class Options:
    """What is left out: `warm_up` keeps the first request of each replica, `retries` later attempts and replays; beyond `max_rows`
    a random sample is taken (`seed`)."""

    warm_up: bool = True
    retries: bool = True
    max_rows: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class Prepared:
    """The observations.

    `weights` have mean 1; `clusters` are integers, equal for the same input; `missing`: share of nulls by column; `repeats`:
    retries and replays that stay among the rows.
    """

    frame: pd.DataFrame
    schema: Schema
    weights: Floats
    clusters: NDArray[np.int64]
    missing: dict[str, float] = field(default_factory=dict)
    repeats: int = 0
    warnings: tuple[str, ...] = ()
    truncated: bool = False

    @property
    def n(self) -> int:
        """Rows."""
        return len(self.frame)

    def numbers(self, name: str) -> Floats:
        """A column as floats, NaN where it is missing; truth as 1 and 0. Raises KeyError."""
        return np.asarray(series(self.frame, name).to_numpy(dtype=float, na_value=np.nan), float)

    def texts(self, name: str) -> NDArray[np.object_]:
        """A column as texts, None where it is missing. Raises KeyError."""
        values = series(self.frame, name)
        known = values.notna().to_numpy(bool)
        return np.asarray(np.where(known, values.astype(str).to_numpy(object), None), object)

    def take(self, rows: NDArray[np.bool_]) -> Prepared:
        """Only these rows."""
        frame = self.frame.loc[rows].reset_index(drop=True)
        kept = self.weights[rows], self.clusters[rows]
        return Prepared(frame, self.schema, *kept, self.missing, self.repeats, self.warnings, self.truncated)


def series(frame: pd.DataFrame, name: str) -> Any:
    """One column as a Series; pandas types it as anything that indexing may give. Raises KeyError."""
    return frame[name]


def prepare(
    frame: pd.DataFrame, schema: Schema | None = None, options: Options | None = None, *, truncated: bool = False
) -> Prepared:
    """The observations of a frame of request rows; the frame itself is not changed.

    Left out, each with a warning that counts: duplicates of a request id (the first stays), rows without any parameter (such as
    recognitions), rows made by tests and drills where others exist, and what `options` excludes. Retries and replays stay unless
    asked otherwise; they share the cluster of their input.
    """
    options, schema = options or Options(), schema or Schema.of(frame)
    warnings: list[str] = [note("cut")] if truncated else []
    rows = frame.loc[_kept(frame, schema, options, warnings)]
    if options.max_rows is not None and len(rows) > options.max_rows:
        warnings.append(note("sampled", n=options.max_rows, of=len(rows)))
        chosen = np.random.default_rng(options.seed).choice(len(rows), options.max_rows, replace=False)
        rows, truncated = rows.iloc[np.sort(chosen)], True
    rows = rows.reset_index(drop=True)
    typed = pd.DataFrame({column.name: _typed(series(rows, column.name), column, warnings) for column in schema}, index=rows.index)
    missing = {name: float(series(typed, name).isna().mean()) if len(typed) else 0.0 for name in typed.columns}
    weights, clusters = _weights(rows, warnings), cluster_ids(typed, schema.clusters)
    return Prepared(typed, schema, weights, clusters, missing, int(repeated(rows).sum()), tuple(warnings), truncated)


def _kept(frame: pd.DataFrame, schema: Schema, options: Options, warnings: list[str]) -> NDArray[np.bool_]:
    keep = np.ones(len(frame), bool)

    def drop(bad: NDArray[np.bool_], key: str) -> None:
        if count := int((bad & keep).sum()):
            keep[bad] = False
            warnings.append(note(key, count=count))

    if "request_id" in frame:
        ids = series(frame, "request_id")
        drop((ids.duplicated() & ids.notna()).to_numpy(bool), "copies")
    if asked := [column.name for column in schema.parameters]:
        drop(np.logical_and.reduce([series(frame, name).isna().to_numpy(bool) for name in asked]), "no_parameter")
    if "synthetic" in frame:
        made = truth(series(frame, "synthetic")) == 1.0
        if keep.any() and made[keep].all():
            warnings.append(note("only_drills"))
        else:
            drop(made, "drills")
    if not options.retries:
        drop(repeated(frame), "repeats_out")
    if not options.warm_up and {"replica", "started_at"} <= set(frame.columns):
        order = frame.loc[keep].sort_values("started_at").index
        replicas = series(frame, "replica").loc[order]
        first = order[(~replicas.duplicated() & replicas.notna()).to_numpy(bool)]
        drop(np.asarray(frame.index.isin(first), bool), "first_out")
    return keep


def repeated(frame: pd.DataFrame) -> NDArray[np.bool_]:
    """True for later attempts of a job and for replays of another request."""
    found = np.zeros(len(frame), bool)
    if "is_retry" in frame:
        found |= truth(series(frame, "is_retry")) == 1.0
    if "attempt" in frame:
        found |= numbers(series(frame, "attempt")) > 1
    if "replay_of" in frame:
        found |= series(frame, "replay_of").notna().to_numpy(bool)
    return found


def numbers(values: Any) -> Floats:
    """A Series as floats; NaN where a value is missing, infinite or no number."""
    made: Any = pd.to_numeric(values, errors="coerce")
    found = np.asarray(made.to_numpy(dtype=float, na_value=np.nan), float)
    return np.where(np.isfinite(found), found, np.nan)


def truth(values: Any) -> Floats:
    """A Series as 1.0, 0.0 or NaN: booleans, numbers, and the WORDS of truth in a file."""
    if pd.api.types.is_bool_dtype(values.dtype) or pd.api.types.is_numeric_dtype(values.dtype):
        return numbers(values.astype("Float64"))
    words: Any = values.map(lambda value: WORDS.get(str(value).strip().lower(), np.nan), na_action="ignore")
    return numbers(words.astype("Float64"))


def _typed(values: Any, column: Column, warnings: list[str]) -> Any:
    """The column in its own type: numbers and truth as floats with NaN, texts as they are with None for the empty one."""
    if column.dtype not in ("bool", "int", "float"):
        return values.where(values.notna() & (values != ""), None) if column.dtype == "str" else values
    made = truth(values) if column.dtype == "bool" else numbers(values)
    if lost := int((values.notna().to_numpy(bool) & np.isnan(made)).sum()):
        warnings.append(note("no_such_type", name=column.name, count=lost, dtype=column.dtype))
    return made


def _weights(rows: pd.DataFrame, warnings: list[str]) -> Floats:
    """How many requests each row stands for, scaled to mean 1: `weight` of the join where it is, else `sampling_weight`, else 1."""
    name = next((name for name in ("weight", "sampling_weight") if name in rows), None)
    if name is None or rows.empty:
        return np.ones(len(rows))
    given = numbers(series(rows, name))
    usable = np.isfinite(given) & (given > 0)
    if bad := int((~usable & series(rows, name).notna().to_numpy(bool)).sum()):
        warnings.append(note("bad_weights", count=bad))
    weights = np.where(usable, given, 1.0)
    if weights.min() != weights.max():
        warnings.append(note("weighted", name=name, n=len(rows), effective=f"{effective_n(weights):.0f}"))
    return weights / weights.mean()


def cluster_ids(frame: pd.DataFrame, names: tuple[str, ...]) -> NDArray[np.int64]:
    """An integer for each row, the same for rows whose `names` all agree; rows where one is missing stand alone."""
    alone = np.arange(len(frame), dtype=np.int64)
    if not names:
        return alone
    known = np.logical_and.reduce([series(frame, name).notna().to_numpy(bool) for name in names])
    ids: Any = frame.groupby(list(names), sort=False, dropna=False).ngroup()
    return np.where(known, ids.to_numpy(dtype=np.int64), len(frame) + alone)
