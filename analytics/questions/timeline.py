"""An outcome in the order of time, adjusted for what was asked and the length of the input: what a change is looked for in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from analytics.questions.rows import Rows, moments
from analytics.questions.rows import column as column_of
from analytics.questions.schema import FAILURE
from analytics.questions.stats import Floats

ADJUSTED = ("audio_s",)
"""Beside the parameters. Never the version, host or input: they are what may have come with the change."""
BINS = 8
"""Pieces of a parameter's range whose means are removed: enough for a bend, few enough for a thousand rows."""


@dataclass(frozen=True)
class Timeline:
    """The rows that have the outcome, in the order of time. `values`: adjusted, (n, k), one column a category or one number.

    `scores`: what is searched: ranks of the values, mean 0. `names`: of the columns where they are shares.
    """

    rows: Rows
    at: Floats
    values: Floats
    scores: Floats
    names: tuple[str, ...]
    adjusted_for: tuple[str, ...]


def timeline(rows: Rows, outcome: str) -> Timeline | None:
    """The rows with the outcome and a time; None where there are none. Failures are the share of `error` in `status`."""
    if "started_at" not in rows.frame:
        return None
    at = moments(column_of(rows.frame, "started_at"))
    column = rows.schema.get(outcome)
    numeric = outcome != FAILURE and (
        pd.api.types.is_numeric_dtype(rows.frame[outcome].dtype) or (column is not None and column.numeric)
    )
    words = None if numeric else rows.text(outcome)
    known = np.isfinite(at)
    known &= np.isfinite(rows.numbers(outcome)) if words is None else np.array([word is not None for word in words], bool)
    rows, at = rows.take(known), at[known]
    order = np.argsort(at, kind="stable")
    rows = Rows(
        rows.frame.iloc[order].reset_index(drop=True), rows.schema, rows.weights[order], rows.kept, rows.warnings, rows.each
    )
    if words is None:
        raw, names = rows.numbers(outcome)[:, None], ()
    else:
        raw, names = _shares(words[known][order], failures=outcome == FAILURE)
    if not len(raw) or raw.shape[1] == 0:
        return None
    design, adjusted_for = _design(rows)
    scores = raw if names else (scipy_stats.rankdata(raw[:, 0])[:, None] - 0.5) / len(raw)
    return Timeline(rows, at[order], _residuals(raw, design) + raw.mean(axis=0), _residuals(scores, design), names, adjusted_for)


def _shares(words: NDArray[np.object_], *, failures: bool) -> tuple[Floats, tuple[str, ...]]:
    """One column of 0 and 1 for each of the most frequent answers; for failures the one of `error`."""
    names = ["error"] if failures else [str(name) for name in pd.Series(words).value_counts().index[:12]]
    made = np.column_stack([(words == name).astype(float) for name in names]) if len(words) else np.zeros((0, 0))
    return made, tuple(names)


def _design(rows: Rows) -> tuple[Floats, tuple[str, ...]]:
    """Indicator columns of what was asked: values where there are few, quantile bins of a number else."""
    blocks: list[Floats] = [np.ones((rows.n, 1))]
    used: list[str] = []
    for name in [*(column.name for column in rows.schema.parameters if column.name != "seed"), *ADJUSTED]:
        column = rows.schema.get(name)
        if column is None or name not in rows.frame:
            continue
        codes = _binned(rows, name, numeric=column.numeric)
        levels = np.unique(codes)
        if 1 < len(levels) <= 4 * BINS and rows.n >= 10 * len(levels):
            blocks.append((codes[:, None] == levels[None, 1:]).astype(float))
            used.append(name)
    return np.hstack(blocks), tuple(used)


def _binned(rows: Rows, name: str, *, numeric: bool) -> NDArray[np.int64]:
    if not numeric:
        return pd.factorize(rows.text(name), use_na_sentinel=False)[0].astype(np.int64)
    values = rows.numbers(name)
    known = values[np.isfinite(values)]
    if not len(known):
        return np.zeros(rows.n, np.int64)
    edges = np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1]))
    return np.where(np.isfinite(values), np.searchsorted(edges, values, side="right"), -1).astype(np.int64)


def _residuals(values: Floats, design: Floats) -> Floats:
    return values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
