"""`sonoscope query`: the requests that pass a filter, as a table, as rows for other programs, or counted."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import typer
from rich.console import Console
from rich.table import Table

from analytics.columns import vocabulary
from analytics.filters import Filter, FilterError, parse
from analytics.moments import moment
from analytics.requests import Coverage, Joined, from_file, joined
from analytics.stores.base import Range
from sonoscope.commands.common import err, fail, out, print_json, settings
from sonoscope.commands.stores import store_of
from sonoscope.run import read_run
from telemetry.values import rfc3339

SHOWN = 20
"""Rows of the table in the terminal; all of them with another --format or -o."""
COLUMNS = ("started_at", "request_id", "status", "inference_steps", "audio_drift_ms", "latency_s", "error_type")
PIPE_WIDTH = 1000
FORMATS = ("table", "json", "csv", "parquet")


@dataclass(frozen=True)
class Bounds:
    """--since and --until as they were given."""

    since: str | None
    until: str | None

    def range(self) -> Range:
        """In ns since 1970. Ends the command where a bound is neither a span nor a time."""
        try:
            return Range(*(None if text is None else moment(text) for text in (self.since, self.until)))
        except ValueError as error:
            fail(str(error))


@dataclass(frozen=True)
class Shape:
    """What is printed, and where to."""

    count: bool
    group: str | None
    format: str
    out: Path | None
    as_json: bool


def query(expression: str, bounds: Bounds, shape: Shape, *, file: Path | None, data_dir: Path | None) -> None:
    """Prints what the filter finds. Ends the command with 1 where the filter, a bound or the file is bad."""
    if shape.format not in FORMATS:
        fail(f"--format {shape.format}: {', '.join(FORMATS)} are known")
    if shape.group is not None and shape.group not in vocabulary():
        fail(f"--group {shape.group}: no such field")
    range = bounds.range()
    try:
        where = parsed(expression, range, file, data_dir)
        with opened(range, file, data_dir, where) as view:
            _answer(view, where, shape)
    except FilterError as error:
        fail(error.message, str(error).partition("\n")[2])
    except (duckdb.Error, OSError, ValueError) as error:
        fail(f"the telemetry cannot be read: {error}")


def parsed(expression: str, range: Range, file: Path | None, data_dir: Path | None) -> Filter:
    """The filter; a name that is not in the table may be one of the rows' own."""
    declared = () if file else store_of(settings(data_dir=data_dir)).mapping.own
    try:
        return parse(expression, vocabulary(declared))
    except FilterError:
        with opened(range, file, data_dir, None) as view:
            return parse(expression, vocabulary([*declared, *view.own_names()]))


@contextmanager
def opened(
    range: Range, file: Path | None, data_dir: Path | None, where: Filter | None, *, department: str | None = None
) -> Iterator[Joined]:
    """The requests (of one department, or of all) of a file, or of the store that the settings name."""
    if file is not None:
        with from_file(file, range, department=department) as view:
            yield view
        return
    configured = settings(data_dir=data_dir)
    run = read_run(configured.data_dir)
    # Where no service runs, nobody will end what has no end.
    deadline_s = configured.deadline_s if run is not None and run.alive else None
    with joined(store_of(configured), range, where, deadline_s=deadline_s, department=department) as view:
        yield view


def _answer(view: Joined, where: Filter, shape: Shape) -> None:
    if shape.group is not None:
        _groups(view, where, shape)
    elif shape.count:
        matched, coverage = view.count(where)
        if shape.as_json:
            print_json(_numbers(matched, coverage, view.truncated))
        else:
            out.print(f"{matched} of {coverage.requests}")
            _note(coverage, view.truncated)
    else:
        _rows(view, where, shape)


def _numbers(matched: int, coverage: Coverage, truncated: bool) -> dict[str, Any]:
    return {"matched": matched, "total": coverage.requests, "coverage": coverage.as_dict(), "truncated": truncated}


def _groups(view: Joined, where: Filter, shape: Shape) -> None:
    groups = view.group(shape.group or "", where)
    matched, coverage = view.count(where)
    if shape.as_json:
        print_json({**_numbers(matched, coverage, view.truncated), "groups": plain(groups)})
    elif shape.format != "table" or shape.out:
        write(groups, shape)
    else:
        _print_table(groups)
        _note(coverage, view.truncated)


def _rows(view: Joined, where: Filter, shape: Shape) -> None:
    in_terminal = shape.format == "table" and shape.out is None and not shape.as_json
    found = view.load(where, SHOWN if in_terminal else None)
    if shape.as_json:
        numbers = _numbers(found.table.num_rows, found.coverage, found.truncated)
        print_json({**numbers, "rows": plain(found.table)})
    elif in_terminal:
        asked = [
            name for name in vocabulary() if where.columns & {name} and name not in COLUMNS and name in found.table.column_names
        ]
        _print_table(found.table.select([*COLUMNS, *asked]))
        if found.truncated:
            err.print(f"[dim]the newest {SHOWN} of {view.count(where)[0]}; -o FILE or --format takes them all[/dim]")
        _note(found.coverage, view.truncated)
    else:
        write(found.table, shape)


def _note(coverage: Coverage, truncated: bool) -> None:
    err.print(f"[dim]{coverage.sentence()}{'; the answer was cut off' if truncated else ''}[/dim]", soft_wrap=True)


def _print_table(rows: pa.Table) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in rows.column_names:
        table.add_column(name, no_wrap=True, justify="right" if pa.types.is_floating(rows.schema.field(name).type) else "left")
    for row in rows.to_pylist():
        table.add_row(*(_cell(value) for value in row.values()))
    # A terminal shows what fits; a pipe gets every column whole.
    (out if sys.stdout.isatty() else Console(width=PIPE_WIDTH, highlight=False)).print(table)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:.1f}"
    return str(value)


def plain(rows: pa.Table) -> list[dict[str, Any]]:
    """The rows as JSON has them: times as RFC 3339 with nanoseconds, what is missing as null."""
    times = [field.name for field in rows.schema if pa.types.is_timestamp(field.type)]
    for name in times:
        rows = rows.set_column(rows.column_names.index(name), name, rows[name].cast(pa.int64()))
    found = rows.to_pylist()
    for row in found:
        row.update({name: rfc3339(row[name]) for name in times if row[name] is not None})
    return found


def write(rows: pa.Table, shape: Shape) -> None:
    """The rows in the asked format (or the one that the file's ending names), to the file or to standard output."""
    ending = shape.out.suffix[1:] if shape.out and shape.format == "table" else ""
    format = ending if ending in FORMATS else "parquet" if shape.format == "table" else shape.format
    if format == "json":
        import json

        text = json.dumps(plain(rows), ensure_ascii=False, indent=2)
        if shape.out:
            shape.out.write_text(text + "\n", "utf-8")
        else:
            typer.echo(text)
        return
    target: Any = str(shape.out) if shape.out else sys.stdout.buffer
    if format == "csv":
        lists = [field.name for field in rows.schema if pa.types.is_list(field.type)]
        for name in lists:  # as JSON, which DuckDB reads back
            texts = pa.array([None if item is None else str(item) for item in rows[name].to_pylist()], pa.string())
            rows = rows.set_column(rows.column_names.index(name), name, texts)
        pyarrow.csv.write_csv(rows, target)
    else:
        pyarrow.parquet.write_table(rows, target, compression="zstd")
