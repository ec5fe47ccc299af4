"""The drill: of staged incidents with a known cause, how often is the true cause ranked first?

    python -m bench.drill [--incidents N] [--seed S] [--json] [--kind KIND] [--misses]

Incidents of every kind (bench/drill_incidents.py) by turns, each with at most 30 struck requests, are given to
`analytics.questions.diagnosis.diagnose` as bare rows: nothing says which of them are bad, nor what was planted. An answer is right
where its first cause names the symptom and the place, no field too few and none too many; of two faults at once the first two
causes must be the two. With no fault the right answer is that nothing was found.

`bad requests`: the fewest struck requests after which the true cause was first and stayed so (3, 5, 8, 12, 20, 30 were tried).
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from analytics.questions.cause import Cause
from analytics.questions.diagnosis import diagnose
from bench.drill_incidents import KINDS, Incident, Truth, incident
from bench.ratios import keep

PREFIXES = (3, 5, 8, 12, 20)


@dataclass(frozen=True)
class Scored:
    """One incident: the rank of its true cause (None: not among the causes), how many struck requests it took, and the answer."""

    kind: str
    seed: int
    rank: int | None
    struck: int
    needed: int | None
    seconds: float
    found: int
    answer: str
    truth: str

    @property
    def first(self) -> bool:
        """The true cause is first; where there is none, nothing was found."""
        return self.rank == 1

    @property
    def in_three(self) -> bool:
        """It is among the first three."""
        return self.rank is not None and self.rank <= 3


def rank(truths: tuple[Truth, ...], causes: tuple[Cause, ...], length: pd.Timedelta) -> int | None:
    """The place of the true cause, from 1; of several the last one's, less those of the others before it."""
    if not truths:
        return None if causes else 1
    places = [next((k for k, cause in enumerate(causes) if truth.named_by(cause, length)), None) for truth in truths]
    known = [place for place in places if place is not None]
    return None if len(known) < len(places) or len(set(known)) < len(known) else max(known) + 2 - len(known)


def score(staged: Incident, seed: int, *, prefixes: bool = True) -> Scored:
    """Diagnoses an incident and compares the answer with the truth, which only this function sees."""
    length = staged.frame["started_at"].max() - staged.frame["started_at"].min()
    started = time.perf_counter()
    told = diagnose(staged.frame)
    seconds = time.perf_counter() - started
    place = rank(staged.truths, told.causes, length)
    needed = None
    if place == 1 and staged.struck.any():
        needed = int(staged.struck.sum())
        for bad in reversed(PREFIXES if prefixes else ()):
            part = staged.until(bad)
            if bad < needed and rank(staged.truths, diagnose(part.frame).causes, length) != 1:
                break
            needed = min(needed, bad)
    said = " | ".join(f"[{cause.score:.0f}] {cause.sentence()}" for cause in told.causes[:3]) or told.sentence()
    return Scored(staged.kind, seed, place, int(staged.struck.sum()), needed, seconds, len(told.causes), said, str(staged.truths))


def run(incidents: int, seed: int, kinds: tuple[str, ...] = KINDS, *, prefixes: bool = True) -> Iterator[Scored]:
    """The kinds by turns."""
    for k in range(incidents):
        kind = kinds[k % len(kinds)]
        yield score(incident(kind, seed * 100_003 + k), seed * 100_003 + k, prefixes=prefixes)


@dataclass
class Report:
    """What is printed."""

    scored: list[Scored] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """The numbers over all incidents, and by kind."""
        return {**_summary(self.scored), "kinds": [{"kind": kind, **_summary(part)} for kind, part in self._kinds()]}

    def _kinds(self) -> Iterator[tuple[str, list[Scored]]]:
        for kind in dict.fromkeys(one.kind for one in self.scored):
            yield kind, [one for one in self.scored if one.kind == kind]

    def table(self) -> str:
        """For a person."""
        lines = [f"{'kind':36} {'first':>9} {'in three':>9} {'bad needed':>11} {'seconds':>8}"]
        for kind, part in (*self._kinds(), ("all", self.scored)):
            one = _summary(part)
            needed = "-" if one["median_bad_requests"] is None else f"{one['median_bad_requests']:g}"
            counts = [f"{one[name]}/{one['incidents']}" for name in ("first", "in_three")]
            lines.append(f"{kind:36} {counts[0]:>9} {counts[1]:>9} {needed:>11} {one['median_seconds']:>8.2f}")
        none = [one for one in self.scored if one.kind == "none"]
        return "\n".join([*lines, f"false alarms: {sum(not one.first for one in none)} of {len(none)} without a fault"])


def _summary(part: list[Scored]) -> dict[str, Any]:
    needed = [one.needed for one in part if one.needed is not None]
    return {
        "incidents": len(part), "first": sum(one.first for one in part), "in_three": sum(one.in_three for one in part),
        "false_alarms": sum(one.kind == "none" and not one.first for one in part),
        "median_bad_requests": statistics.median(needed) if needed else None,
        "median_seconds": round(statistics.median(one.seconds for one in part), 3),
        "max_seconds": round(max(one.seconds for one in part), 3),
    }  # fmt: skip


def main() -> None:
    """Runs the drill and prints its table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--incidents", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", choices=KINDS, help="only this kind")
    parser.add_argument("--json", action="store_true", dest="as_json")
    parser.add_argument("--misses", action="store_true", help="also print what was answered where the true cause was not first")
    parser.add_argument("--log", type=Path, help="append each incident's score to this file, one JSON document a line")
    parser.add_argument("--quick", action="store_true", help="do not look for the fewest bad requests")
    asked = parser.parse_args()
    report = Report()
    for one in run(asked.incidents, asked.seed, (asked.kind,) if asked.kind else KINDS, prefixes=not asked.quick):
        report.scored.append(one)
        if asked.log:
            with asked.log.open("a") as log:
                log.write(json.dumps(asdict(one)) + "\n")
        if asked.misses and not one.first:
            print(f"--- {one.kind} (seed {one.seed}, {one.struck} struck): {one.truth}\n    {one.answer}", flush=True)
    print(json.dumps(report.as_dict(), indent=2) if asked.as_json else report.table())
    keep("true cause ranked first", sum(one.first for one in report.scored) / len(report.scored), "staged incidents", at_least=0.95)


if __name__ == "__main__":
    main()
