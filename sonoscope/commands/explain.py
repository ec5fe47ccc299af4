"""`sonoscope explain`: what differs between the requests that pass a filter and the rest."""

from __future__ import annotations

from pathlib import Path

import duckdb
from rich.table import Table

from analytics.filters import FilterError
from analytics.questions.contrast import Contrast, contrast
from analytics.questions.difference import Difference
from analytics.questions.filtered import columns_of, matching
from analytics.questions.schema import Schema
from analytics.questions.sentences import amount, number
from analytics.requests import Requests
from sonoscope.commands.common import err, fail, out, print_json, settings
from sonoscope.commands.query import Bounds, opened, parsed
from sonoscope.commands.stores import store_of

SHOWN = 12
"""Differences of the table in the terminal; all of them with --json."""


def explain(
    expression: str, bounds: Bounds, *, among: str | None, file: Path | None, data_dir: Path | None, as_json: bool,
    department: str | None = None,
) -> None:  # fmt: skip
    """Prints the contrast of the requests that pass `expression` with the others (that pass `among`), in one department or in all.

    Ends the command with 1 where a filter, a bound or the file is bad.
    """
    range = bounds.range()
    try:
        where = parsed(expression, range, file, data_dir)
        scope = parsed(among, range, file, data_dir) if among else None
        with err.status("reading"), opened(range, file, data_dir, where, department=department) as view:
            found = view.load(scope)
        with err.status(f"comparing {found.table.num_rows} requests"):
            made = contrast(found.frame, matching(found.table, where), _schema(found, file, data_dir),
                            filtered=columns_of(where), truncated=found.truncated)  # fmt: skip
    except FilterError as error:
        fail(error.message, str(error).partition("\n")[2])
    except (duckdb.Error, OSError, ValueError) as error:
        fail(f"the telemetry cannot be read: {error}")
    if as_json:
        print_json({"asked": expression, "among": among, **made.to_dict(), "coverage": found.coverage.as_dict()})
        return
    _show(made)
    err.print(f"[dim]{found.coverage.sentence()}[/dim]", soft_wrap=True)


def _schema(found: Requests, file: Path | None, data_dir: Path | None) -> Schema:
    mapping = None if file else store_of(settings(data_dir=data_dir)).mapping
    return Schema.of(found.frame, mapping)


def _show(made: Contrast) -> None:
    if made.differences:
        _table(made.differences, "What differs")
        out.print()
    out.print(made.sentence(), soft_wrap=True, markup=False)
    if made.outcomes:
        names = ", ".join(one.what for one in made.outcomes[:SHOWN])
        err.print(f"[dim]outcomes that differ as well: {names}[/dim]", soft_wrap=True)
    for words in made.warnings:
        err.print(f"[yellow]{words}[/yellow]", soft_wrap=True)


def _table(differences: tuple[Difference, ...], title: str) -> None:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
    for name in ("", "asked about", "others", "rate with it", "without it", "q", "", "example"):
        table.add_column(name, justify="right" if name not in ("", "example") else "left")
    for one in differences[:SHOWN]:
        shares = (amount(value, "share") for value in (one.share_in, one.share_out, one.rate_with, one.rate_without))
        note = f"with {one.explained_by}" if one.explained_by else f"same as {', '.join(one.same_as)}" if one.same_as else ""
        q = "< 0.001" if one.q is not None and one.q < 0.001 else number(one.q)
        table.add_row(
            one.what, *shares, q, note, one.examples[0] if one.examples else "", style="dim" if one.explained_by else None
        )
    out.print(table)
