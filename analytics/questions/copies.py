"""Fields that are only another name of what is asked about: they would always come first and explain nothing."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd
from scipy import stats as scipy_stats

from analytics.questions.coding import JUDGED, Coded, role_of
from analytics.questions.rows import Rows, Truth
from analytics.questions.rows import column as column_of
from analytics.questions.stats import Floats

FAILURE = ("status", "http_status", "error_type", "error_message", "failed_stage", "orphan", "response_bytes", "failed_spans")
"""Ways to say that and how a request failed: whoever asks about one does not learn from another."""
COPY = 0.95
"""Share of the variance of the ranks that a copy explains. Of an absolute value the signed one explains all, whatever the signs."""
ENOUGH = 50
"""Rows below which a copy cannot be told from a cause."""
SAMPLE = 20_000


def other_names(rows: Rows, filtered: Collection[str]) -> dict[str, str]:
    """The fields to leave out of a contrast about the columns `filtered`, each with the reason."""
    found = dict.fromkeys((name for name in filtered if name in rows.frame), "asked about")
    if set(filtered) & set(FAILURE):
        found |= {name: "says that the request failed" for name in FAILURE if name in rows.frame and name not in found}
    for name in map(str, rows.frame.columns):
        column = rows.schema.get(name)
        if name in found or column is None or role_of(name, column) not in ("run", "outcome"):
            continue
        copied = next((asked for asked in filtered if asked in rows.frame and _is_copy(rows, name, asked)), None)
        if copied is not None:
            found[name] = f"another name of {copied}"
    return found


def explains(coded: Coded, filtered: Collection[str]) -> bool:
    """Whether a field can explain what is asked about: what was given always, how the run went only what is judged after it."""
    if coded.role == "run":
        return bool(filtered) and set(filtered) <= set(JUDGED)
    return coded.role != "outcome"


def measured(rows: Rows, filtered: Collection[str], inside: Truth) -> Truth:
    """The rows that can be compared: those with every outcome that all rows asked about have.

    A request without a measured drift is not one with a low drift.
    """
    comparable = np.ones(rows.n, bool)
    for name in filtered:
        column = rows.schema.get(name)
        if name not in rows.frame or column is None or column.kind != "outcome" or not column.numeric:
            continue
        known = np.isfinite(rows.numbers(name))
        if known[inside].all():
            comparable &= known
    return comparable


def _is_copy(rows: Rows, name: str, asked: str) -> bool:
    column, other = rows.schema.get(name), rows.schema.get(asked)
    if column is None or other is None or column.dtype == "list" or other.dtype in ("list", "time"):
        return False
    if other.numeric != column.numeric:
        return False
    if not column.numeric:
        return other.kind == "outcome" and _decides(column_of(rows.frame, name), column_of(rows.frame, asked))
    x, y = rows.numbers(name), rows.numbers(asked)
    both = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    both = both[:: max(1, len(both) // SAMPLE)]
    if len(both) < ENOUGH:
        return False
    return max(explained(x[both], y[both]), explained(y[both], x[both])) >= COPY


def explained(x: Floats, y: Floats) -> float:
    """Share of the variance of the ranks of `y` that any function of `x` explains: the correlation ratio over quantile bins of x,
    corrected for their number (epsilon squared; Kelley 1935). 0 where either is constant."""
    rank = scipy_stats.rankdata(y)
    if rank.min() == rank.max() or x.min() == x.max():
        return 0.0
    edges = np.unique(np.quantile(x, np.linspace(0, 1, min(64, len(x) // 8) + 1)[1:-1]))
    bins = np.searchsorted(edges, x, side="right")
    sizes = np.bincount(bins)
    used = sizes > 0
    means = np.bincount(bins, rank)[used] / sizes[used]
    between = float(sizes[used] @ (means - rank.mean()) ** 2) / float(((rank - rank.mean()) ** 2).sum())
    n, k = len(x), int(used.sum())
    return 1 - (1 - between) * (n - 1) / (n - k) if n > k else 0.0


def _decides(values: pd.Series, asked: pd.Series) -> bool:
    """Whether the value of one category fixes the other, and the other does vary."""
    known = (values.notna() & asked.notna()).to_numpy(bool)
    if known.sum() < ENOUGH:
        return False
    x, y = pd.factorize(values[known].astype(str))[0], pd.factorize(asked[known].astype(str))[0]
    sizes = pd.crosstab(x, y).to_numpy()
    return sizes.shape[1] > 1 and bool(sizes.max(axis=1).sum() >= 0.99 * sizes.sum()) and len(x) > 2 * sizes.shape[0]
