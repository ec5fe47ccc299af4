"""`sonoscope sweep`: every setting of a grid for every portrait and recording, in random order, and what the settings cause."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import typer

from analytics.gate import Gate, GateError, Reading, gate
from analytics.questions.arms import rows_of
from analytics.questions.expected import Expected
from analytics.questions.rows import column, numbers
from analytics.questions.schema import HIGHER_IS_BETTER
from analytics.questions.trials import effects
from analytics.requests import joined
from analytics.stores.base import Range
from analytics.stores.configured import RemoteStore
from analytics.stores.local import LocalStore
from sonoscope.client import Client
from sonoscope.commands import trial
from sonoscope.commands.common import err, errors, fail, out, print_json, service_url, settings
from sonoscope.commands.stores import store_of
from sonoscope.experiments.adaptive import ArmFailed, Search, search
from sonoscope.experiments.plan import Notebook, Plan, PlanError, Run, asked_again
from sonoscope.experiments.replayed import changes
from sonoscope.experiments.runner import Runner, Tally
from sonoscope.experiments.sniff import kind_of
from sonoscope.experiments.swept import grid_of, plan_of
from telemetry import fields


@dataclass(frozen=True)
class Asked:
    """What is swept: files, levels, what is the same in all of them, how often, and by how many adaptive trials."""

    files: tuple[Path, ...]
    grid: tuple[str, ...]
    fixed: tuple[str, ...]
    repeats: int
    adaptive: int | None
    outcome: str
    experiment: str | None
    fail_if: str | None

    @property
    def told(self) -> dict[str, Any]:
        """What a second call must match to go on with the first: files count by their content."""
        inputs = sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in self.files)
        told = {"files": inputs, "--grid": sorted(self.grid), "--set": sorted(self.fixed), "--repeats": self.repeats}
        return told | ({"--adaptive": self.adaptive, "--outcome": self.outcome} if self.adaptive else {})

    @property
    def name(self) -> str:
        """The given name, else one that the same call gives again."""
        digest = hashlib.sha256(json.dumps(self.told, sort_keys=True).encode()).hexdigest()
        return self.experiment or f"sweep-{digest[:8]}"


def sweep(asked: Asked, *, yes: bool, url: str | None, data_dir: Path | None, as_json: bool) -> None:
    """Makes the sweep and prints what it shows. Ends the command with 1 where the gate is breached or something is wrong."""
    configured = settings(data_dir=data_dir)
    store = store_of(configured)
    try:
        condition = gate(asked.fail_if) if asked.fail_if else None
        grid = grid_of(asked.grid)
        _check_outcome(asked.outcome)
        notebook = Notebook(trial.folder_of(configured), asked.name)
        with errors(as_json), Client(service_url(url, data_dir), retries=0) as client:
            plan, lengths = _plan(asked, grid, notebook, client, store)
            frame = trial.rows_in(store, plan.experiment)
            finished = trial.finished_of(frame, plan)
            pending = [run for run in plan.runs if run.id not in finished]
            with joined(store, Range()) as view:
                cost = trial.budget(view, pending, lengths)
            trial.announce(plan, len(pending), cost, lines=_lines(asked))
            if pending:
                trial.confirm(yes=yes)
                notebook.keep(plan)
            tally, found = _made(asked, grid, plan, notebook, client, store, finished, frame)
            frame = trial.arrived(store, plan) if found is None else trial.rows_in(store, plan.experiment)
    except (PlanError, GateError) as error:
        fail(str(error))
    _answer(asked, plan, tally, found, cost, frame, condition, as_json=as_json)


def _check_outcome(name: str) -> None:
    field = fields.BY_NAME.get(name)
    if field is None or field.kind != "outcome" or field.dtype not in ("int", "float"):
        known = ", ".join(one.name for one in fields.OUTCOMES if one.dtype in ("int", "float"))
        raise PlanError(f"--outcome {name}: no number that a request leaves; these are: {known}")


def _lines(asked: Asked) -> list[str]:
    if not asked.adaptive:
        return []
    return [f"At most {asked.adaptive} combinations are tried, chosen by {asked.outcome}; the times are those of all of them."]


def _plan(
    asked: Asked, grid: dict[str, tuple[Any, ...]], notebook: Notebook, client: Client, store: LocalStore | RemoteStore
) -> tuple[Plan, dict[str, float | None]]:
    """The plan that is there, or a new one with its files uploaded; and seconds of speech by asset. Raises PlanError."""
    kinds = {path: kind_of(path) for path in asked.files}
    ids = {path: client.upload(path).asset_id for path in asked.files}
    portraits, audios = ([ids[path] for path in asked.files if kinds[path] == kind] for kind in ("portrait", "audio"))
    if not portraits or not audios:
        raise PlanError(f"{'no picture' if not portraits else 'no sound'} is among the files: name at least one of each")
    lengths = {ids[path]: _seconds(path) for path in asked.files if kinds[path] == "audio"}
    kind = "adaptive sweep" if asked.adaptive else "sweep"
    if (kept := notebook.read()) is not None:
        return asked_again(kept, kind, asked.told), lengths
    if len(rows_of(trial.rows_in(store, asked.name), asked.name)):
        raise PlanError(f"there are requests called experiment {asked.name} already, and its plan is gone: name another one")
    pairs = [(portrait, audio) for portrait in dict.fromkeys(portraits) for audio in dict.fromkeys(audios)]
    fixed = changes(asked.fixed) if asked.fixed else {}
    made = plan_of(asked.name, asked.told, pairs, grid, fixed, repeats=asked.repeats, randomized=not asked.adaptive)
    return made, lengths


def _seconds(path: Path) -> float | None:
    """The length of a recording; None where nothing here can read it (the service will)."""
    try:
        from deployments.media.probe import probe
        from telemetry.errors import RequestError
    except ModuleNotFoundError:
        return None
    try:
        return probe(path).audio_s or None
    except RequestError:
        return None


def _made(
    asked: Asked, grid: dict[str, tuple[Any, ...]], plan: Plan, notebook: Notebook, client: Client,
    store: LocalStore | RemoteStore, finished: set[str], frame: pd.DataFrame,
) -> tuple[Tally, Search | None]:  # fmt: skip
    if not asked.adaptive:
        return trial.carry_out(plan, notebook, client, store, finished), None
    tally = Tally(len(plan.runs), there=len(finished))
    runner = Runner(plan, notebook, client, store, finished)
    known = rows_of(frame, plan.experiment)

    def measure(run: Run) -> float | None:
        if run.id in finished:
            return _kept(known, run, asked.outcome)
        request_id = runner.make(run, tally)
        result = client.job(request_id).result if request_id else None
        if result is None:
            raise ArmFailed
        return result.outcomes.get(asked.outcome)

    with err.status("searching") as status:

        def told(run: Run) -> float | None:
            status.update(f"{tally.done} requests made; {run.arm}")
            return measure(run)

        higher = asked.outcome in HIGHER_IS_BETTER
        return tally, search(plan, grid, asked.adaptive, higher=higher, measure=told)


def _kept(known: pd.DataFrame, run: Run, outcome: str) -> float | None:
    """The outcome of a run whose row is there. Raises ArmFailed."""
    row = known.loc[(column(known, "client_request_id") == run.id).to_numpy(bool, na_value=False)]
    assert isinstance(row, pd.DataFrame)
    if "error" in column(row, "status").tolist():
        raise ArmFailed
    value = float(numbers(column(row, outcome))[0])
    return None if math.isnan(value) else value


def _answer(
    asked: Asked, plan: Plan, tally: Tally, found: Search | None, cost: Expected, frame: pd.DataFrame, condition: Gate | None,
    *, as_json: bool,
) -> None:  # fmt: skip
    shown = effects(frame, plan.experiment, (asked.outcome,))
    reading = condition.read(rows_of(frame, plan.experiment)) if condition else None
    if as_json:
        print_json(
            trial.as_json(plan, tally, cost, shown)
            | {"search": found and vars(found), "gate": reading and vars(reading) | {"sentence": reading.sentence()}}
        )
    else:
        trial.show(shown)
        if found is not None:
            _show_search(asked, found)
        err.print(f"[dim]sonoscope experiments show {plan.experiment}[/dim]")
    judge(reading, as_json=as_json)


def judge(reading: Reading | None, *, as_json: bool) -> None:
    """Prints what a gate found. Ends the command with 1 where it is breached."""
    if reading is None:
        return
    (err if as_json else out).print(reading.sentence(), style="red" if reading.breached else "green", soft_wrap=True, markup=False)
    if reading.breached:
        raise typer.Exit(1)


def _show_search(asked: Asked, found: Search) -> None:
    best_first = sorted(found.means.items(), key=lambda one: one[1], reverse=asked.outcome in HIGHER_IS_BETTER)
    for arm, mean in best_first[:5]:
        out.print(f"{mean:10.4g} {fields.BY_NAME[asked.outcome].unit:<4} {arm}", markup=False)
    out.print(
        f"{asked.outcome}, mean over the blocks; {len(found.pruned)} combinations were given up early, {len(found.failed)} failed "
        f"or had no value; {found.stopped}. The best of several flatters itself: replay it to be sure.",
        soft_wrap=True, markup=False,
    )  # fmt: skip
