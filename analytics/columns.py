"""The columns of a request row: the table of names, what the join adds, and what a user's own service calls its own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from telemetry import fields
from telemetry.tables import RESOURCE

DType = fields.DType | Literal["any"]
Scope = Literal["span", "resource", "intrinsic", "derived"]


@dataclass(frozen=True)
class Column:
    """A name that filters and questions may use.

    `column`: the column of the request row. `dtype` any: a user's own field of unknown type, kept in the row's `extra`.
    `scope`: where TraceQL finds it; derived = only the join knows it, so a trace store cannot filter by it.
    """

    name: str
    column: str
    dtype: DType
    unit: str = ""
    scope: Scope = "span"
    meaning: str = ""


def _derived(name: str, dtype: DType, meaning: str, unit: str = "") -> Column:
    return Column(name, name, dtype, unit, "derived", meaning)


DERIVED: tuple[Column, ...] = (
    _derived("has_trace", "bool", "its record span was found"),
    _derived("has_logs", "bool", "its terminal event was found"),
    _derived("orphan", "bool", "nobody wrote its end: completed by the reader as replica_lost"),
    _derived("duplicates", "int", "records of the same request beyond the first"),
    _derived("is_retry", "bool", "a later attempt of its job"),
    _derived("weight", "float", "how many requests the row stands for"),
)
"""What the join adds to every row."""

DETAILS: tuple[Column, ...] = (
    *(_derived(f"{stage}_start_ms", "float", f"acceptance to the start of {stage}", "ms") for stage in fields.STAGES),
    _derived("head_ms", "float", "acceptance to the start of the first stage", "ms"),
    _derived("tail_ms", "float", "end of the last stage to the end of the record span", "ms"),
    _derived("span_count", "int", "spans of the trace"),
    _derived("failed_spans", "int", "spans of the trace with status error"),
    _derived("event_count", "int", "events of the request"),
    _derived("accept_ms", "float", "acceptance to the event request_received", "ms"),
)
"""What the join adds from child spans and events, where it is asked for."""

_INTRINSIC = (
    Column("name", "name", "str", scope="intrinsic", meaning="name of the record span"),
    Column("duration", "latency_s", "float", "s", "intrinsic", "length of the record span"),
)


def vocabulary(own: Iterable[Column | str] = ()) -> dict[str, Column]:
    """Every column by its name. `own`: a user's columns; a bare name is a field of unknown type."""
    known = {field.name: Column(field.name, field.name, field.dtype, field.unit, "span", field.meaning) for field in fields.FIELDS}
    known |= {column.name: column for column in (*DERIVED, *DETAILS, *_INTRINSIC)}
    for name, column in RESOURCE.items():
        known[name] = Column(name, column, "int" if column == "process_pid" else "str", scope="resource")
    for column in own:
        made = Column(column, column, "any") if isinstance(column, str) else column
        known.setdefault(made.name, made)
    return known
