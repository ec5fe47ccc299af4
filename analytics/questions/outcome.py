"""An outcome as it is asked about: its values, its unit, and one model of it against every parameter and confounder."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analytics.questions.adjust import FEW_INPUTS, Model, model
from analytics.questions.design import Design, budget_of, build
from analytics.questions.notes import note
from analytics.questions.prepare import Prepared
from analytics.questions.schema import FAILURE, Column
from analytics.questions.stats import Floats

COUNTED = 10
"""An outcome with at most so many values (a score, a yes or no) has no outliers to draw in."""
LEAST = 40
"""Rows with the outcome, below which nothing is modelled: an estimate with two terms held fixed would have no precision."""
SHARE = "share"
"""The unit of a yes or no: differences are in percentage points."""


@dataclass(frozen=True)
class Outcome:
    """The rows in which the outcome is known, its values there, and its model (None with fewer than LEAST rows)."""

    column: Column
    unit: str
    yes_or_no: bool
    rows: Prepared
    values: Floats
    model: Model | None
    warnings: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The column's name."""
        return self.column.name


def values_of(prepared: Prepared, column: Column) -> Floats:
    """The outcome as numbers, NaN where it is missing; `status` as 1 = failed, 0 = ok. Raises ValueError for other texts."""
    if column.name == FAILURE:
        texts = prepared.texts(FAILURE)
        return np.select([texts == "error", texts == "ok"], [1.0, 0.0], np.nan)
    if column.numeric or column.dtype == "bool":
        return prepared.numbers(column.name)
    raise ValueError(f"{column.name} is neither a number nor a yes or no: ask for a number, or for {FAILURE}")


def observe(prepared: Prepared, column: Column, values: Floats | None = None) -> Outcome:
    """The outcome with its model. `values`: of something derived from the column. Raises ValueError as `values_of` does."""
    found = values_of(prepared, column) if values is None else values
    known = ~np.isnan(found)
    rows, there = prepared.take(known), found[known]
    distinct = np.unique(there)
    yes_or_no = len(distinct) <= 2 and set(distinct) <= {0.0, 1.0} and (column.dtype == "bool" or column.unit == "")
    if values is not None or column.name == FAILURE:
        yes_or_no = True
    unit = SHARE if yes_or_no else column.unit
    if len(there) < LEAST or len(distinct) < 2:
        return Outcome(column, unit, yes_or_no, rows, there, None)
    made, warnings = modelled(rows, there, yes_or_no=yes_or_no, robust=len(distinct) > COUNTED)
    return Outcome(column, unit, yes_or_no, rows, there, made, warnings)


def modelled(rows: Prepared, values: Floats, *, yes_or_no: bool, robust: bool) -> tuple[Model, tuple[str, ...]]:
    """The model of `values` (one a row, none missing) on every parameter and confounder, and its warnings."""
    warnings: list[str] = []
    inputs = np.unique(rows.clusters)
    few = len(inputs) < FEW_INPUTS
    if few:
        warnings.append(note("few_inputs", count=len(inputs)))
    budget = budget_of(rows.weights, values if yes_or_no else None)
    design: Design = build(rows, _columns(rows), values, budget, rows.clusters if few and len(inputs) > 1 else None)
    if design.lost:
        warnings.append(note("not_held", names=", ".join(design.lost)))
    clusters = np.arange(rows.n, dtype=np.int64) if few else rows.clusters
    return model(design, values, rows.weights, clusters, robust=robust), tuple(warnings)


def _columns(prepared: Prepared) -> list[Column]:
    """Confounders first, for they are the least to be given up; then the other parameters."""
    schema = prepared.schema
    return list(dict.fromkeys((*schema.confounders, *schema.parameters)))
