"""`sonoscope analyze`: which parameters go with an outcome, by how much, from where on, and which settings to use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb
import pandas as pd
from rich.table import Table

from analytics.filters.sql import quoted
from analytics.questions.agreement import Agreement, agreement
from analytics.questions.effects import Effect
from analytics.questions.report import OutcomeReport, columns_needed
from analytics.questions.report import analyze as ask
from analytics.questions.sentences import LANGUAGES, Language, amount, number
from analytics.questions.wording import sentences, to_json
from analytics.requests import Joined
from analytics.stores.mapping import Mapping
from sonoscope.commands.common import err, fail, out, print_json, settings
from sonoscope.commands.query import Bounds, opened
from sonoscope.commands.stores import store_of
from telemetry import fields

JUDGED = ("audio_drift_ms", "user_score")
"""A question about one of these is told how the two agree."""


@dataclass(frozen=True)
class Question:
    """What is asked, under which limit of the cost, and in which language the answer is."""

    outcome: str
    budget: float | None
    language: str


def analyze(asked: Question, bounds: Bounds, *, file: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """Prints the report about one outcome. Ends the command with 1 where the outcome, a bound or the file is bad."""
    if asked.language not in LANGUAGES:
        fail(f"--language {asked.language}: {', '.join(LANGUAGES)} are known")
    language: Language = "zh" if asked.language == "zh" else "en"
    range = bounds.range()
    try:
        mapping = None if file else store_of(settings(data_dir=data_dir)).mapping
        with err.status("reading"), opened(range, file, data_dir, None) as view:
            frame, truncated = _rows(view, asked.outcome, file, mapping), view.truncated
            judged = _judged(view, asked.outcome)
    except (duckdb.Error, OSError, ValueError) as error:
        fail(f"the telemetry cannot be read: {error}")
    try:
        with err.status(f"analysing {len(frame)} requests"):
            report = ask(frame, [asked.outcome], mapping=mapping, budget=asked.budget, truncated=truncated)
    except ValueError as error:
        fail(str(error), "Name one with --outcome.")
    (one,) = report.outcomes
    if as_json:
        print_json(to_json(report, one, language) | {"agreement": judged and judged.to_dict()})
        return
    _show(one, language)
    if judged is not None:
        out.print(judged.sentence(language), soft_wrap=True, markup=False)
    for words in (*report.warnings, *one.warnings):
        err.print(f"[yellow]{words}[/yellow]", soft_wrap=True)
    err.print(f"[dim]{report.n} requests, {report.tested} questions asked; associations, not causes[/dim]", soft_wrap=True)


def _rows(view: Joined, outcome: str, file: Path | None, mapping: Mapping | None) -> pd.DataFrame:
    """Only the columns that the analysis reads. Of a file only those that it has: what the join would add says nothing there."""
    source = "given" if file else "requests"
    present = [*view.rows(f"SELECT * FROM {source} LIMIT 0").column_names]
    names = columns_needed(present, [outcome], mapping)
    if not names:
        return pd.DataFrame()
    return view.rows(f"SELECT {', '.join(map(quoted, names))} FROM requests").to_pandas()


def _judged(view: Joined, outcome: str) -> Agreement | None:
    """The meter against people's scores, where the question is about one of the two and somebody judged."""
    if outcome not in JUDGED:
        return None
    query = f"SELECT {', '.join(JUDGED)} FROM requests WHERE user_score IS NOT NULL AND coalesce(synthetic, false) = false"
    scored = view.rows(query).to_pandas()
    return agreement(scored) if len(scored) or outcome == "user_score" else None


def _show(one: OutcomeReport, language: Language) -> None:
    table = Table(title=f"{one.column.name}, n = {one.n}", title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
    for name in ("parameter", "from", "to", "unadjusted", "adjusted", "95 %", "q", ""):
        table.add_column(name, justify="left" if name in ("parameter", "") else "right")
    for effect in sorted(one.effects, key=lambda effect: effect.q if effect.q is not None else 2.0):
        table.add_row(*_cells(effect), style=None if effect.verdict == "associated" else "dim")
    out.print(table)
    if one.tradeoff:
        _front(one)
    out.print()
    cost = one.tradeoff.cost if one.tradeoff else ""
    unit = fields.BY_NAME[cost].unit if cost in fields.BY_NAME else ""
    for sentence in sentences(one, unit, language):
        out.print(sentence, soft_wrap=True, markup=False)


def _cells(one: Effect) -> list[str]:
    low, high = one.interval or (None, None)
    ends = f"{amount(low, one.unit, signed=True)} … {amount(high, one.unit, signed=True)}" if one.interval else "-"
    q = "-" if one.q is None else "< 0.001" if one.q < 0.001 else number(one.q)
    note = one.verdict.replace("_", " ") + (f", turned by {one.simpson_by or 'the others'}" if one.simpson else "")
    changes = (amount(value, one.unit, signed=True) for value in (one.raw, one.estimate))
    return [one.parameter, one.low, one.high, *changes, ends, q, note]


def _front(one: OutcomeReport) -> None:
    """Settings that are more likely than not on the front, by cost."""
    found = one.tradeoff
    if found is None:
        return
    title = f"Nothing beats these on both {found.cost} and {found.quality}"
    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
    for name in (*found.parameters, found.cost, found.quality, "n", "sure"):
        table.add_column(name, justify="right")
    for setting in found.settings:
        if setting.on_front > 0.5:
            numbers = (number(setting.cost), number(setting.quality), str(setting.n), amount(setting.on_front, "share"))
            table.add_row(*setting.settings.values(), *numbers)
    if table.row_count:
        out.print()
        out.print(table)
