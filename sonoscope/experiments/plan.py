"""The plan of an experiment: which requests, in which blocks and order; kept as a small file, so that it can be gone on with."""

from __future__ import annotations

import json
import random
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,63}", re.ASCII)


class PlanError(ValueError):
    """The plan cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class Run:
    """One request of an experiment. `id` is sent as X-Request-ID and stands in its row as `client_request_id`.

    `portrait`, `audio`: asset ids. `settings`: parameters. `labels`: what the request says of itself beside them.
    """

    id: str
    block: str
    arm: str
    portrait: str
    audio: str
    settings: dict[str, Any]
    labels: dict[str, Any]
    department: str | None = None

    @property
    def order(self) -> dict[str, Any]:
        """Parameters and labels as they are sent."""
        return self.settings | self.labels | {"block": self.block, "arm": self.arm}


@dataclass(frozen=True)
class Plan:
    """The runs of an experiment in their order. `asked`: what the command was told, which a second call must match."""

    experiment: str
    kind: str
    asked: dict[str, Any]
    runs: tuple[Run, ...]
    left_out: dict[str, int]

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return len({run.block for run in self.runs})


def named(name: str) -> str:
    """The name where it may be the name of an experiment and of its file. Raises PlanError."""
    if not _NAME.fullmatch(name):
        raise PlanError(f"--experiment {name!r}: a name has Latin letters, digits, . _ - and at most 64 of them")
    return name


def in_random_order(blocks: Iterable[Sequence[Run]], rng: random.Random | None = None) -> tuple[Run, ...]:
    """The blocks in random order, each one's runs together and in random order: what changes with time is the same for all arms."""
    rng = rng or random.SystemRandom()
    shuffled = [rng.sample(block, len(block)) for block in blocks]
    rng.shuffle(shuffled)
    return tuple(run for block in shuffled for run in block)


def run_ids(experiment: str) -> Iterable[str]:
    """Ids that no other plan has, not even one of the same name that was deleted."""
    token = secrets.token_hex(4)
    number = 0
    while True:
        yield f"{experiment}/{token}/{number:05d}"
        number += 1


class Notebook:
    """The files of one experiment: the plan, and which run was sent as which request."""

    def __init__(self, folder: Path, experiment: str) -> None:
        self._plan = folder / f"{named(experiment)}.json"
        self._sent = folder / f"{experiment}.sent.jsonl"

    def read(self) -> Plan | None:
        """The plan, None where there is none. Raises PlanError where the file is not ours."""
        try:
            kept = json.loads(self._plan.read_text("utf-8"))
            return Plan(**kept | {"runs": tuple(Run(**run) for run in kept["runs"])})
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError) as error:
            raise PlanError(f"{self._plan} cannot be read: {error}; delete it or choose another --experiment") from error

    def keep(self, plan: Plan) -> None:
        """Writes the plan, whole or not at all."""
        self._plan.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = self._plan.with_name(f".{self._plan.name}.{secrets.token_hex(4)}.part")
        part.write_text(json.dumps(asdict(plan), ensure_ascii=False), "utf-8")
        part.replace(self._plan)

    def note(self, run_id: str, request_id: str | None) -> None:
        """Before a run is sent (None), and when the service has taken it: what a killed process sent can then be asked for."""
        with self._sent.open("a", encoding="utf-8") as file:
            file.write(json.dumps([run_id, request_id]) + "\n")

    def sent(self) -> dict[str, str | None]:
        """The request of each run that was sent; None where the answer was not heard. A torn last line is left out."""
        found: dict[str, str | None] = {}
        if self._sent.exists():
            for line in self._sent.read_text("utf-8").splitlines():
                try:
                    run_id, request_id = json.loads(line)
                except ValueError:
                    continue
                found[run_id] = request_id or found.get(run_id)
        return found


def asked_again(kept: Plan, kind: str, asked: dict[str, Any]) -> Plan:
    """The plan that is there, to be gone on with. Raises PlanError where this call asks for something else."""
    told = {"kind": kind} | asked
    before = {"kind": kept.kind} | kept.asked
    if unlike := sorted(name for name in told.keys() | before.keys() if told.get(name) != before.get(name)):
        name = unlike[0]
        raise PlanError(
            f"the experiment {kept.experiment} is there already, with {name} = {before.get(name)!r} and not {told.get(name)!r}; "
            "ask for the same to go on with it, or name another one with --experiment"
        )
    return kept
