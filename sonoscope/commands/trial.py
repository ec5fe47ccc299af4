"""What replay and sweep share: the budget and the yes, the progress, the rows at the end and what they show."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from analytics.columns import vocabulary
from analytics.filters import FilterError, parse
from analytics.questions.arms import FIRST, OUTCOMES, Comparison, rows_of
from analytics.questions.expected import Expected, expected
from analytics.questions.experiment import FEWEST_BLOCKS, Effect
from analytics.questions.filtered import columns_of
from analytics.questions.sentences import amount, number
from analytics.questions.trials import experiment_rows, whole_rows
from analytics.requests import Joined, joined
from analytics.stores.base import Range
from analytics.stores.configured import RemoteStore
from analytics.stores.local import LocalStore
from serve.settings import Settings
from sonoscope.client import Client, Unreachable
from sonoscope.commands.common import err, fail, out
from sonoscope.experiments.plan import Notebook, Plan, Run
from sonoscope.experiments.runner import Runner, Tally
from telemetry.errors import RequestError

ARRIVE_S = 60.0
"""How long rows are waited for that a server must deliver; the local files have them at once."""
MEMORY_NS = 28 * 86_400 * 1_000_000_000
"""Past requests of four weeks say how long new ones will take."""


def folder_of(configured: Settings) -> Path:
    """Where plans are kept."""
    return configured.data_dir / "experiments"


def rows_in(store: LocalStore | RemoteStore, *names: str) -> pd.DataFrame:
    """The rows of these experiments, whole; without names those of every experiment, as far as a list needs them.

    Ends the command where the store cannot be read.
    """
    try:
        with joined(store, Range()) as view:
            return whole_rows(view, *names) if names else experiment_rows(view)
    except (duckdb.Error, OSError, ValueError) as error:
        fail(f"the telemetry cannot be read: {error}")


def finished_of(frame: pd.DataFrame, plan: Plan) -> set[str]:
    """The ids of the runs whose rows are there."""
    mine = rows_of(frame, plan.experiment)
    return set(mine["client_request_id"].dropna()) & {run.id for run in plan.runs} if "client_request_id" in mine else set()


def asked_of(plan: Plan | None) -> tuple[str, ...]:
    """The outcomes that an experiment is about: those by which a replay chose its requests, those of a sweep."""
    where = plan.asked.get("--where") if plan else None
    if not where:
        return (plan.asked["--outcome"],) if plan and "--outcome" in plan.asked else FIRST
    try:
        named = columns_of(parse(where, vocabulary()))
    except FilterError:  # it names a user's own field
        return FIRST
    return tuple(name for name in named if name in OUTCOMES) or FIRST


def budget(view: Joined, runs: Sequence[Run], lengths: dict[str, float | None]) -> Expected:
    """What these runs will take; `lengths`: seconds of speech by asset id."""
    return expected(view, [{**run.settings, "audio_s": lengths.get(run.audio)} for run in runs])


def announce(plan: Plan, pending: int, cost: Expected, *, lines: Sequence[str] = ()) -> None:
    """What is going to be done, before it is done."""
    err.print(f"Experiment [bold]{plan.experiment}[/bold]: {len(plan.runs)} requests in {plan.blocks} blocks, in random order.")
    for line in lines:
        err.print(line, soft_wrap=True)
    for reason, count in plan.left_out.items():
        err.print(f"[dim]left out: {count} {reason}[/dim]", soft_wrap=True)
    if plan.blocks < FEWEST_BLOCKS:
        err.print(f"[yellow]With fewer than {FEWEST_BLOCKS} blocks nothing can be shown; --repeats makes more of them.[/yellow]")
    if pending < len(plan.runs):
        err.print(f"{len(plan.runs) - pending} of them are there already.")
    if pending:
        err.print(cost.sentence(), soft_wrap=True)


def confirm(*, yes: bool) -> None:
    """Asks whether to go on. Ends the command where nobody says yes, or nobody can be asked."""
    if yes:
        return
    if not sys.stdin.isatty():
        fail("nobody is there to say yes", "--yes starts it without asking.")
    if not typer.confirm("Start?", err=True):
        raise typer.Exit(1)


def carry_out(plan: Plan, notebook: Notebook, client: Client, store: LocalStore | RemoteStore, finished: set[str]) -> Tally:
    """Makes what is missing, with a bar. Ends the command with 130 where it is interrupted."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=err, transient=True) as progress:
            task = progress.add_task("", total=len(plan.runs))

            def show(tally: Tally, run: Run | None) -> None:
                progress.update(task, completed=tally.done, description=f"{run.arm:<40.40}" if run else "")

            return Runner(plan, notebook, client, store, finished).perform(show)
    except KeyboardInterrupt:
        err.print("Stopped. The same command goes on where it was.")
        raise typer.Exit(130) from None
    except (RequestError, Unreachable):
        err.print("Not finished: the same command goes on where it was.")
        raise


def arrived(store: LocalStore | RemoteStore, plan: Plan) -> pd.DataFrame:
    """The rows of the experiment, once those of the plan are there (or ARRIVE_S have passed, which is said)."""
    end = time.monotonic() + ARRIVE_S
    while True:
        frame = rows_in(store, plan.experiment)
        missing = len(plan.runs) - len(finished_of(frame, plan))
        if not missing or time.monotonic() > end:
            break
        time.sleep(1.0)
    if missing:
        err.print(f"[yellow]{missing} rows have not arrived in the store yet; `sonoscope experiments show` looks again.[/yellow]")
    return frame


def show(found: Sequence[Comparison | Effect]) -> None:
    """The table and the sentences of what an experiment shows, and what its numbers cannot say."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("outcome", "setting", "instead of", "with it", "without", "change", "95 %", "blocks", "q", ""):
        table.add_column(name, justify="left" if name in ("outcome", "setting", "instead of", "") else "right")
    for one in found:
        effect = one.effect if isinstance(one, Comparison) else one
        table.add_row(*_cells(effect, one), style=None if effect.verdict == "associated" else "dim")
    out.print(table)
    out.print()
    for one in found:
        out.print((one.effect if isinstance(one, Comparison) else one).sentence(), soft_wrap=True, markup=False)
    _warn(found)


def _cells(effect: Effect, one: Comparison | Effect) -> list[str]:
    medians = (one.median, one.reference_median) if isinstance(one, Comparison) else (None, None)
    ends = " … ".join(amount(end, effect.unit, signed=True) for end in effect.interval) if effect.interval else "-"
    level = effect.level if "=" in effect.level else f"{effect.factor}={effect.level}"
    q = "-" if effect.q is None else "< 0.001" if effect.q < 0.001 else number(effect.q)
    change = amount(effect.estimate, effect.unit, signed=True)
    numbers = (*(amount(value, effect.unit) for value in medians), change, ends, str(effect.blocks), q)
    return [effect.outcome, level, effect.reference, *numbers, effect.word]


def _warn(found: Sequence[Comparison | Effect]) -> None:
    """What the numbers cannot say: few inputs behind many blocks, and a fault that did not come back."""
    effects = [one.effect if isinstance(one, Comparison) else one for one in found]
    for words in dict.fromkeys(words for one in effects for words in one.warnings):
        err.print(f"[yellow]{words}[/yellow]", soft_wrap=True)
    compared = [one for one in found if isinstance(one, Comparison)]
    few = [one for one in compared if one.originals < FEWEST_BLOCKS <= one.effect.blocks]
    if few:
        err.print(f"[yellow]Only {few[0].originals} requests stand behind these blocks: it is shown for them.[/yellow]")
    for one in compared:
        if one.before is not None and one.effect.outcome in ("audio_drift_ms", "status"):
            then, now = (amount(value, one.effect.unit) for value in (one.before, one.reference_median))
            err.print(f"[dim]as they were, {one.effect.outcome}: {then} then, {now} now[/dim]", soft_wrap=True)


def as_json(plan: Plan, tally: Tally | None, cost: Expected, found: Sequence[Comparison | Effect]) -> dict[str, Any]:
    """The whole answer of a replay or a sweep."""
    counts = None if tally is None else {"there": tally.there, "ok": tally.ok, "failed": tally.failed}
    return {
        "experiment": plan.experiment, "requests": len(plan.runs), "blocks": plan.blocks, "left_out": plan.left_out,
        "made": counts, "expected_s": cost.seconds, "effects": [answer(one) for one in found],
    }  # fmt: skip


def answer(one: Comparison | Effect) -> dict[str, Any]:
    """One finding for JSON, with its word and its sentence."""
    return one.to_dict() if isinstance(one, Comparison) else one.to_dict() | {"word": one.word, "sentence": one.sentence()}
