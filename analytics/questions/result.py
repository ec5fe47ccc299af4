"""What every answer of the analysis has: how many rows, how much in which unit, between which bounds, adjusted for what."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal

import numpy as np

Verdict = Literal["associated", "not_shown", "too_few", "never_varied", "no_data"]
Interval = tuple[float, float]

ALPHA = 0.05
"""A finding is called associated where its q is below: of all that is called so, 1 in 20 is expected to be false."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One answer. `estimate` and `interval` (95 %) are in `unit`, None where the verdict is too_few, never_varied or no_data.

    `q`: the smallest false discovery rate at which this is a finding, over everything that was asked. `adjusted_for`: columns that
    were held fixed. `truncated`: the rows were not all there are (a store cut the answer, or a cap drew a sample).
    """

    n: int
    verdict: Verdict
    unit: str = ""
    estimate: float | None = None
    interval: Interval | None = None
    q: float | None = None
    adjusted_for: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    truncated: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Every field by its name, ready for JSON: tuples as lists, numbers that are not finite as null."""
        return {field.name: plain(getattr(self, field.name)) for field in fields(self)}


def plain(value: Any) -> Any:
    """`value` as JSON has it: dataclasses, mappings and sequences through and through, NumPy scalars as Python's, NaN as None."""
    if isinstance(value, Finding):
        return value.to_dict()
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def verdict_of(q: float | None) -> Verdict:
    """`associated` or `not_shown`; `too_few` where no test could be made."""
    if q is None:
        return "too_few"
    return "associated" if q < ALPHA else "not_shown"
