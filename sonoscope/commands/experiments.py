"""`sonoscope experiments`: what was tried, what it shows, and two of them against each other."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
from rich.table import Table

from analytics.gate import GateError, gate
from analytics.questions.arms import FIRST, Comparison, rows_of
from analytics.questions.experiment import Effect
from analytics.questions.schema import FAILURE
from analytics.questions.trials import Trial, effects, trials, versus
from sonoscope.commands import trial
from sonoscope.commands.common import fail, out, print_json, settings
from sonoscope.commands.stores import store_of
from sonoscope.commands.sweep import judge
from sonoscope.experiments.plan import Notebook, Plan, PlanError
from telemetry import fields


def listed(data_dir: Path | None, *, as_json: bool) -> None:
    """Prints every experiment among the rows, the newest first."""
    configured = settings(data_dir=data_dir)
    found = trials(trial.rows_in(store_of(configured)))
    plans = {one.name: _plan(trial.folder_of(configured), one.name) for one in found}
    planned = {name: len(plan.runs) if plan else None for name, plan in plans.items()}
    if as_json:
        print_json([_plain(one, planned[one.name]) for one in found])
        return
    if not found:
        out.print("No experiment is among the requests. `sonoscope sweep` and `sonoscope replay` make them.")
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("experiment", "kind", "requests", "of", "failed", "blocks", "what varied", "randomised", "ended"):
        table.add_column(name, justify="right" if name in ("requests", "of", "failed", "blocks") else "left")
    for one in found:
        ended = f"{one.ended_at:%Y-%m-%d %H:%M}" if one.ended_at is not None else "-"
        numbers = (str(one.requests), str(planned[one.name] or "-"), str(one.failed), str(one.blocks))
        kind = "replay" if one.replay else "sweep"
        table.add_row(one.name, kind, *numbers, ", ".join(one.factors) or "-", "yes" if one.randomized else "no", ended)
    out.print(table)


def show(name: str, data_dir: Path | None, *, outcomes: list[str], fail_if: str | None, as_json: bool) -> None:
    """Prints what an experiment shows. Ends the command with 1 where there is none of that name, or its gate is breached."""
    _check(outcomes)
    frame = _rows(data_dir, name)
    try:
        condition = gate(fail_if) if fail_if else None
    except GateError as error:
        fail(str(error))
    plan = _plan(trial.folder_of(settings(data_dir=data_dir)), name)
    found = effects(frame, name, outcomes or trial.asked_of(plan))
    reading = condition.read(rows_of(frame, name)) if condition else None
    if as_json:
        told = next(one for one in trials(frame) if one.name == name)
        gated = reading and vars(reading) | {"sentence": reading.sentence()}
        print_json(_plain(told, None) | {"effects": [trial.answer(one) for one in found], "gate": gated})
    else:
        _show(found)
    judge(reading, as_json=as_json)


def compare(first: str, second: str, data_dir: Path | None, *, outcomes: list[str], as_json: bool) -> None:
    """Prints the second experiment against the first, where input and settings are the same."""
    _check(outcomes)
    frame = _rows(data_dir, first, second)
    found = versus(frame, first, second, outcomes or FIRST)
    if as_json:
        print_json({"first": first, "second": second, "effects": [trial.answer(one) for one in found]})
        return
    _show(found)


def _show(found: list[Comparison | Effect] | list[Effect]) -> None:
    if not found:
        out.print("Nothing varied in it, or no request has an outcome: nothing can be said.")
        return
    trial.show(found)


def _check(outcomes: list[str]) -> None:
    for name in outcomes:
        field = fields.BY_NAME.get(name)
        if name != FAILURE and (field is None or field.kind != "outcome" or field.dtype not in ("int", "float")):
            fail(
                f"--outcome {name}: neither a number that a request leaves nor status",
                "Such as audio_drift_ms.",
            )


def _rows(data_dir: Path | None, *names: str) -> pd.DataFrame:
    store = store_of(settings(data_dir=data_dir))
    known = [one.name for one in trials(trial.rows_in(store))]
    for name in names:
        if name not in known:
            fail(f"there is no experiment {name}", f"There are: {', '.join(known) or 'none'}.")
    return trial.rows_in(store, *names)


def _plan(folder: Path, name: str) -> Plan | None:
    """Its plan; None where it has none (rows from elsewhere)."""
    try:
        return Notebook(folder, name).read()
    except PlanError:
        return None


def _plain(one: Trial, planned: int | None) -> dict[str, Any]:
    times = {name: value and value.isoformat() for name, value in (("started_at", one.started_at), ("ended_at", one.ended_at))}
    return asdict(one) | times | ({} if planned is None else {"planned": planned})
