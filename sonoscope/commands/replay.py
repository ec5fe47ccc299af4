"""`sonoscope replay`: the same requests at other settings and as they were, so that the difference is what the settings cause."""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from analytics.filters import FilterError
from analytics.questions.arms import arms
from analytics.requests import joined
from analytics.stores.base import Range
from analytics.stores.configured import RemoteStore
from analytics.stores.local import LocalStore
from sonoscope.client import Client
from sonoscope.commands import trial
from sonoscope.commands.common import err, errors, fail, print_json, service_url, settings
from sonoscope.commands.query import Bounds, parsed
from sonoscope.commands.stores import store_of
from sonoscope.experiments.plan import Notebook, Plan, PlanError, asked_again
from sonoscope.experiments.replayed import changes, plan_of

NO_TARGET = (
    "a replica or a host cannot be chosen: Ray Serve's router gives a request to whichever replica is free, and the service has no "
    "way to ask for one"
)


@dataclass(frozen=True)
class Asked:
    """What is replayed, at which settings, how often, under which name."""

    where: str
    change: tuple[str, ...]
    repeats: int
    limit: int
    experiment: str | None

    @property
    def told(self) -> dict[str, Any]:
        """What a second call must match to go on with the first."""
        return {"--where": self.where, "--set": sorted(self.change), "--repeats": self.repeats, "--limit": self.limit}

    @property
    def name(self) -> str:
        """The given name, else one that the same call gives again."""
        digest = hashlib.sha256(json.dumps(self.told, sort_keys=True).encode()).hexdigest()
        return self.experiment or f"replay-{digest[:8]}"


def replay(
    asked: Asked, bounds: Bounds, *, target: str | None, yes: bool, url: str | None, data_dir: Path | None, as_json: bool
) -> None:
    """Makes the replay and prints what it shows. Ends the command with 1 where there is nothing to replay or nobody says yes."""
    if target is not None:
        fail(NO_TARGET, "Replay against another service with --url, or compare replicas with `sonoscope explain`.")
    configured = settings(data_dir=data_dir)
    store = store_of(configured)
    try:
        notebook = Notebook(trial.folder_of(configured), asked.name)
        with errors(as_json), Client(service_url(url, data_dir), retries=0) as client:
            plan = _plan(asked, bounds, notebook, client, store, data_dir)
            frame = trial.rows_in(store, plan.experiment)
            finished = trial.finished_of(frame, plan)
            with joined(store, Range()) as view:
                lengths = dict(view.rows("SELECT DISTINCT audio_hash, audio_s FROM requests WHERE audio_s > 0").to_pandas().values)
                cost = trial.budget(view, [run for run in plan.runs if run.id not in finished], lengths)
            trial.announce(plan, len(plan.runs) - len(finished), cost)
            tally = None
            if len(finished) < len(plan.runs):
                trial.confirm(yes=yes)
                notebook.keep(plan)
                tally = trial.carry_out(plan, notebook, client, store, finished)
            found = arms(trial.arrived(store, plan), plan.experiment, trial.asked_of(plan))
    except PlanError as error:
        fail(str(error))
    if as_json:
        print_json(trial.as_json(plan, tally, cost, found))
        return
    if not found:
        fail(f"no row of {plan.experiment} has an outcome", "`sonoscope query` shows what came of them.")
    trial.show(found)
    err.print(f"[dim]sonoscope experiments show {plan.experiment}[/dim]")


def _plan(
    asked: Asked, bounds: Bounds, notebook: Notebook, client: Client, store: LocalStore | RemoteStore, data_dir: Path | None
) -> Plan:
    """The plan that is there, or a new one. Raises PlanError."""
    change = changes(asked.change)
    if (kept := notebook.read()) is not None:
        return asked_again(kept, "replay", asked.told)
    range = bounds.range()
    try:
        where = parsed(asked.where, range, None, data_dir)
        with err.status("reading"), joined(store, range, where) as view:
            rows = view.load(where).table.to_pylist()
            used = view.one_row("SELECT count(*) FROM requests WHERE experiment = $name", {"name": asked.name})[0]
    except FilterError as error:
        fail(error.message, str(error).partition("\n")[2])
    except (duckdb.Error, OSError, ValueError) as error:
        fail(f"the telemetry cannot be read: {error}")
    if used:
        raise PlanError(f"{used} requests are called experiment {asked.name} already, and its plan is gone: name another one")
    has = functools.cache(lambda asset_id: client.asset(asset_id) is not None)
    return plan_of(asked.name, asked.told, rows, change, repeats=asked.repeats, limit=asked.limit, has=has)
