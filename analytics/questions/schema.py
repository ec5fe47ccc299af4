"""What can be asked: the parameters, outcomes and identities that a frame of request rows really has.

Names, kinds, types and units come from the one table (`telemetry.fields`) and from a user's own mapping file; the questions name
no parameter of their own. The few names that stand here are roles, each with its reason; `docs/analysis.md` draws them as a graph.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from telemetry import fields

if TYPE_CHECKING:
    import pandas as pd

    from analytics.stores.mapping import Mapping

CONFOUNDERS = ("model_name", "model_version", "device", "host", "department", "audio_s", "min_resolution", "replica")
"""Held fixed when a parameter is studied: known before the work starts and able to move both the settings and the outcome. Other
parameters are held fixed, too (people choose them together). In the order in which they are given up last to first where there are
too few rows for all of them. Never in this list: what the run itself brings about (latency, frames: mediators) and what
selects rows (status, sync_reason: colliders)."""

CLUSTER = ("portrait_hash", "audio_hash")
"""Requests with the same input are not independent: errors are clustered by these."""

ALWAYS = (("dynamic_scale", "duration_s"),)
"""Pairs whose interaction is tested whenever both exist: users report that strong motion hurts towards the end of long clips."""

HIGHER_IS_BETTER = ("lip_match", "sync_confidence", "user_score")
"""Of every other number less is better: times, drifts, bytes, memory."""

COSTS = ("latency_s", "device_s")
"""What a better result is paid with, the first one that is there."""

FAILURE = "status"
"""Asked as an outcome it means: did the request fail? (`error` against `ok`; a cancelled request is neither.)"""


@dataclass(frozen=True)
class Column:
    """One column that a question may use.

    `tunable`: a parameter with a default, so somebody's choice. One that is left open by default is drawn (seed) or given by the
    job (the length): its effect is studied, but nobody is advised to change it.
    """

    name: str
    kind: fields.Kind
    dtype: fields.DType
    unit: str = ""
    meaning: str = ""
    tunable: bool = True

    @property
    def numeric(self) -> bool:
        """True for a number, so that "more of it" has a meaning."""
        return self.dtype in ("int", "float")

    @property
    def higher_is_better(self) -> bool:
        """True where more of this outcome is better."""
        return self.name in HIGHER_IS_BETTER


@dataclass(frozen=True)
class Schema:
    """The columns of a frame by kind, in the order of the table; a user's own come last."""

    parameters: tuple[Column, ...]
    outcomes: tuple[Column, ...]
    identity: tuple[Column, ...]

    @classmethod
    def of(cls, frame: pd.DataFrame, mapping: Mapping | None = None) -> Schema:
        """What of the table, and of the user's own columns that `mapping` declares, the frame has."""
        known = [
            Column(field.name, field.kind, field.dtype, field.unit, field.meaning, field.kind == "parameter" and not field.nullable)
            for field in fields.FIELDS
        ]
        own = [
            Column(one.column.name, one.kind, one.column.dtype, one.column.unit, one.column.meaning)
            for one in (mapping.columns if mapping else ())
            if one.column.name not in fields.BY_NAME and one.column.dtype != "any"
        ]
        there = [column for column in (*known, *own) if column.name in frame.columns]
        parameters, outcomes, identity = (
            tuple(column for column in there if column.kind == kind) for kind in ("parameter", "outcome", "identity")
        )
        return cls(parameters, outcomes, identity)

    def __iter__(self) -> Iterator[Column]:
        return iter((*self.parameters, *self.outcomes, *self.identity))

    def get(self, name: str) -> Column | None:
        """The column of that name, or None where the frame lacks it."""
        return next((column for column in self if column.name == name), None)

    def column(self, name: str) -> Column:
        """The column of that name. Raises KeyError that lists what is there."""
        found = self.get(name)
        if found is None:
            raise KeyError(f"{name} is not among the columns: {', '.join(column.name for column in self)}")
        return found

    @property
    def confounders(self) -> tuple[Column, ...]:
        """The columns of CONFOUNDERS that are there, in its order."""
        return tuple(column for name in CONFOUNDERS if (column := self.get(name)) is not None)

    @property
    def clusters(self) -> tuple[str, ...]:
        """The columns of CLUSTER that are there."""
        return tuple(name for name in CLUSTER if self.get(name) is not None)
