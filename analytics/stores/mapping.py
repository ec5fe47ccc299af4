"""Other people's names: a YAML file says which of their span attributes and log fields are which columns.

    record:
      span: render_clip                  # the span that stands for a request
      event: {kind: clip.done}           # log lines with these values end one
    columns:
      request_id: {span: req.id, log: reqId}
      steps: {span: gen.num_steps, log: numSteps, kind: parameter, type: int}
      av_skew_ms: {log: av.skew, kind: outcome, type: float, unit: ms}

A name of our table keeps its own type, unit and kind; another is declared with them. Each column needs `span`, `log`, or both.
"""

from __future__ import annotations

from collections.abc import Mapping as Dict
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, cast, get_args

import pyarrow as pa
import yaml

from analytics.columns import Column
from analytics.filters.sql import literal, quoted
from telemetry import fields
from telemetry.segments import Kind
from telemetry.yaml_text import read_yaml

_TYPES = {"int": "BIGINT", "float": "DOUBLE", "bool": "BOOLEAN", "str": "VARCHAR", "time": "TIMESTAMPTZ_NS"}
_ARROW = {
    "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_(), "str": pa.string(), "time": pa.timestamp("ns", tz="UTC"),
}  # fmt: skip
_KEYS = {"span", "log", "kind", "type", "unit", "meaning"}


@dataclass(frozen=True)
class Mapped:
    """One column: the span attribute and the log field that it comes from ("" = that side lacks it)."""

    column: Column
    kind: fields.Kind
    span: str = ""
    log: str = ""


@dataclass(frozen=True)
class Mapping:
    """What a mapping file says."""

    columns: tuple[Mapped, ...] = ()
    span: str = ""
    event: Dict[str, str] = field(default_factory=dict)

    @property
    def own(self) -> tuple[Column, ...]:
        """Columns that our table of names lacks."""
        return tuple(mapped.column for mapped in self.columns if mapped.column.name not in fields.BY_NAME)

    def view(self, kind: Kind, source: str) -> str:
        """The SELECT that gives the rows of `source` our names. Every text from the file stands in it as a quoted literal."""
        replaced: list[str] = []
        added: list[str] = []
        for mapped in self.columns:
            theirs = mapped.span if kind == "spans" else mapped.log
            sql_type = _TYPES[mapped.column.dtype]
            value = f"TRY_CAST({_extract(theirs)} AS {sql_type})" if theirs else f"NULL::{sql_type}"
            name = quoted(mapped.column.column)
            if mapped.column.name not in fields.BY_NAME:
                added.append(f"{value} AS {name}")
            elif theirs:
                replaced.append(f"coalesce({name}, {value}) AS {name}")
        if kind == "spans" and self.span:
            replaced.append(f"is_record OR name = {literal(self.span)} AS is_record")
        if kind == "events" and self.event:
            ended = " AND ".join(f"{_extract(name)} = {literal(value)}" for name, value in self.event.items())
            replaced.append(f"CASE WHEN {ended} THEN 'business_output' ELSE event_type END AS event_type")
        star = f"* REPLACE ({', '.join(replaced)})" if replaced else "*"
        return f"SELECT {', '.join([star, *added])} FROM {source}"


def arrow_fields(mapping: Mapping) -> list[pa.Field]:
    """The columns that a mapping adds to the spans and to the events, as Arrow has them."""
    return [pa.field(column.name, _ARROW[column.dtype], metadata={"unit": column.unit}) for column in mapping.own]


def read_mapping(path: Path) -> Mapping:
    """The mapping of a file. Raises OSError, and ValueError that names what is wrong in it."""
    try:
        raw = read_yaml(path.read_text("utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: {error}") from error
    if not isinstance(raw, dict) or raw.keys() - {"record", "columns"}:
        raise ValueError(f"{path}: only `record` and `columns` are known")
    record, given = _names(path, "record", raw.get("record")), _names(path, "columns", raw.get("columns"))
    columns = tuple(_mapped(path, name, _names(path, f"column {name}", entry)) for name, entry in given.items())
    event = _names(path, "record.event", record.get("event"))
    where = f"{path}: record.event"
    return Mapping(columns, _text(f"{path}: record", record, "span"), {name: _text(where, event, name) for name in event})


def _names(path: Path, place: str, given: Any) -> dict[str, Any]:
    """What stands there, by name; nothing where nothing does. Raises ValueError."""
    if given is not None and not (isinstance(given, dict) and all(isinstance(name, str) and name for name in given)):
        raise ValueError(f"{path}: {place} must hold names and what they mean")
    return given or {}


def _text(where: str, entry: Dict[str, Any], name: str) -> str:
    """A text, or a number or a date as it is written; "" where none is given. Raises ValueError."""
    given = entry.get(name)
    if given is None:
        return ""
    if not isinstance(given, str | int | float | date):
        raise ValueError(f"{where}: {name} must be a text")
    return str(given)


def _mapped(path: Path, name: str, entry: dict[str, Any]) -> Mapped:
    where = f"{path}: column {name}"
    if unknown := entry.keys() - _KEYS:
        raise ValueError(f"{where}: {', '.join(sorted(unknown))} is not known; {', '.join(sorted(_KEYS))} are")
    if not entry.get("span") and not entry.get("log"):
        raise ValueError(f"{where}: say from which `span` attribute or `log` field it comes")
    known = fields.BY_NAME.get(name)
    theirs = {key: _text(where, entry, key) for key in _KEYS}
    dtype: Any = known.dtype if known else theirs["type"] or "str"
    kind: Any = known.kind if known else theirs["kind"] or "identity"
    if dtype not in _TYPES:
        raise ValueError(f"{where}: type {dtype} is not one of {', '.join(_TYPES)}")
    if kind not in get_args(fields.Kind):
        raise ValueError(f"{where}: kind {kind} is not one of {', '.join(get_args(fields.Kind))}")
    unit, meaning = (known.unit, known.meaning) if known else (theirs["unit"], theirs["meaning"])
    # `derived`: a trace store knows it under their name only, so the filter is decided after the join.
    column = Column(name, name, cast("fields.DType", dtype), unit, "derived", meaning)
    return Mapped(column, cast("fields.Kind", kind), theirs["span"], theirs["log"])


def _extract(name: str) -> str:
    path = '$."' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"json_extract_string(extra, {literal(path)})"
