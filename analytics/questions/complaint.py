"""One bad file among the requests of its time: what it shows, how many are like it, what they share, its nearest good twin.

A file that the service made is a row among the others; of any other only what was measured on it is known, and the requests that
show the same are looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isnan
from typing import Any

import numpy as np
import pandas as pd

from analytics.questions.cause import Cause, Place
from analytics.questions.complaint_words import told
from analytics.questions.diagnosis import OF_DEGREE, Diagnosis, diagnose
from analytics.questions.result import Finding
from analytics.questions.rows import Rows, column, observe
from analytics.questions.schema import Schema
from analytics.questions.sentences import Language
from analytics.questions.symptoms import FROZEN_MS, LATE_MS, LENGTH_MS, ORDER, RATE, Symptom, ended_well, symptoms
from analytics.questions.twin import Twin, twin
from telemetry import fields

REPEATS = 3


@dataclass(frozen=True)
class Query:
    """`sql` over the view `requests` of the window, and what it gave."""

    says: str
    sql: str
    result: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Complaint(Finding):
    """`facts`: what is known of the file. `shows`: names of its symptoms, the first one names what happened. `like`: requests that
    show the first, of `known` that could have. `causes`: of its symptoms, the most certain first; `standing`: what its settings do
    all along. `twin`: None for a file that the service did not make. `confirm`: arguments of `sonoscope replay`."""

    facts: Mapping[str, Any]
    request_id: str | None = None
    shows: tuple[str, ...] = ()
    like: int = 0
    known: int = 0
    causes: tuple[Cause, ...] = ()
    standing: tuple[Cause, ...] = ()
    twin: Twin | None = None
    confirm: tuple[str, ...] = ()
    queries: tuple[Query, ...] = ()

    def sentences(self, language: Language = "en") -> list[str]:
        """The answer, one fact a line; how to confirm it comes last."""
        return told(self, language)

    def to_dict(self) -> dict[str, Any]:
        """As JSON, with the sentences in both languages."""
        causes, standing = ([one.to_dict() for one in part] for part in (self.causes, self.standing))
        return {**super().to_dict(), "causes": causes, "standing": standing, "sentences": self.sentences(),
                "sentences_zh": self.sentences("zh")}  # fmt: skip


def complaint(
    frame: pd.DataFrame,
    facts: Mapping[str, Any],
    request_id: str | None = None,
    schema: Schema | None = None,
    *,
    truncated: bool = False,
) -> Complaint:
    """What can be said of a file with these outcomes among request rows. `request_id`: which of the rows it is, None for none.

    `facts`: outcomes by the names of the table, and of a file by itself also `offset_start_ms`, `offset_end_ms`, `audio_start_s`.
    """
    rows = observe(frame, schema)
    facts = {name: value for name, value in facts.items() if value is not None and not (isinstance(value, float) and isnan(value))}
    every = symptoms(rows) if rows.n else ()
    place = _place(rows, request_id)
    shows = _shows(facts, [] if place is None else [one.name for one in every if one.bad[place]])
    found = Diagnosis(n=rows.n, verdict="no_data")
    if shows and rows.n:
        found = diagnose(frame, schema, shows=shows, truncated=truncated)
    made = Complaint(
        n=rows.n, verdict=found.verdict, facts=facts, request_id=request_id, shows=shows, causes=found.causes,
        standing=found.standing, truncated=truncated, warnings=found.warnings,
    )  # fmt: skip
    if not shows:
        return made
    first = next((one for one in every if one.name == shows[0]), None)
    if first is not None:
        made = replace(made, like=int(first.bad.sum()), known=int(first.known.sum()))
    made = replace(made, confirm=_confirm(rows, made, first), queries=_queries(made, every))
    return made if place is None else replace(made, twin=_twin(rows, every, str(request_id)))


def _place(rows: Rows, request_id: str | None) -> int | None:
    ids = rows.text("request_id") if request_id is not None and rows.n else None
    found = [] if ids is None else np.flatnonzero(ids == request_id)
    return int(found[0]) if len(found) else None


def _shows(facts: Mapping[str, Any], among: list[str]) -> tuple[str, ...]:
    """The symptoms of the file, in ORDER; those of degree (a stage slower than usual) only where it shows no other."""
    found = sorted({*among, *_shown_by(facts)}, key=lambda name: ORDER.index(name.partition(":")[0]))
    hard = [name for name in found if not name.startswith((*OF_DEGREE, "cache_missed"))]
    return tuple(hard or found)


def _shown_by(facts: Mapping[str, Any]) -> tuple[str, ...]:
    """What the outcomes of one file show by themselves: nothing that needs others to say what is usual."""
    offset, drift, tail = (facts.get(name) for name in ("audio_offset_ms", "duration_drift_ms", "frozen_tail_ms"))
    other_rate = _other_rate(facts)
    tests = {
        "frames_relabelled": other_rate,
        "tail_cut": not other_rate and drift is not None and drift < -LENGTH_MS,
        "picture_longer": not other_rate and drift is not None and drift > LENGTH_MS,
        "frozen_tail": tail is not None and tail > FROZEN_MS,
        f"failed:{facts.get('error_type')}": bool(facts.get("error_type")),
        "resolution_lowered": pd.notna(facts.get("lowered_min_resolution")),
        "sound_late": not other_rate and offset is not None and offset > LATE_MS,
        "sound_early": not other_rate and offset is not None and offset < -LATE_MS,
        "lips_unclear": facts.get("sync_reason") == "not_sure",
    }
    return tuple(name for name, shown in tests.items() if shown)


def _other_rate(facts: Mapping[str, Any]) -> bool:
    """Frames at another rate than was asked for; of a file by itself: longer than its sound, and the offset grows with it."""
    asked, written = facts.get("fps"), facts.get("video_fps")
    if asked and written:
        return abs(written / asked - 1) > RATE
    start, end, drift = (facts.get(name) for name in ("offset_start_ms", "offset_end_ms", "duration_drift_ms"))
    return None not in (start, end, drift) and abs(drift) > LENGTH_MS and abs(end - start) > LENGTH_MS  # pyright: ignore


def _twin(rows: Rows, every: tuple[Symptom, ...], request_id: str) -> Twin:
    bad = np.logical_or.reduce([one.bad for one in every]) if every else np.zeros(rows.n, bool)
    return twin(rows.frame, request_id, rows.schema, good=ended_well(rows) & ~bad)


def _confirm(rows: Rows, made: Complaint, first: Symptom | None) -> tuple[str, ...]:
    """Arguments of a replay that would show it: another value of the setting, or a new seed where no setting is suspected."""
    cause = next(iter((*made.causes, *made.standing)), None)
    where = None if cause is None else cause.expression
    if where is None:
        if made.request_id is None:
            return ()
        where = f'request_id = "{made.request_id}"'
    settings = set(fields.names("parameter"))
    place = None if cause is None else next((one for one in cause.where if one.field in settings), None)
    change = None if place is None or first is None else _another(rows, first, place)
    return ("--where", where, "--set", change or "seed=1", "--repeats", str(REPEATS))


def _another(rows: Rows, first: Symptom, place: Place) -> str | None:
    """The value that most good requests outside of a place have, as `name=value`."""
    values = column(rows.frame, place.field).loc[first.known & ~first.bad]
    good = pd.Series(values).dropna()
    if place.kind == "categorical":
        outside = good.loc[good.astype(str) != str(place.value)]
    else:
        low, high = (-np.inf if place.low is None else place.low), (np.inf if place.high is None else place.high)
        outside = good.loc[(good < low) | (good > high)]
    if not len(outside):
        return None
    value = pd.Series(outside).mode().iloc[0]
    return f"{place.field}={value}" if isinstance(value, str) else f"{place.field}={value:.10g}"


def _queries(made: Complaint, every: tuple[Symptom, ...]) -> tuple[Query, ...]:
    """How many requests there are, how many are like this one, and for each cause the four counts of its sentence."""
    by_name = {one.name: one for one in every}
    found = [Query("requests", "SELECT count(*) FROM requests", (made.n,))]
    first = by_name.get(made.shows[0])
    if first is not None and first.sql is not None:
        bad, known = first.sql
        counts = f"count(*) FILTER (WHERE {bad}), count(*)"
        found.append(Query(first.name, f"SELECT {counts} FROM requests WHERE {known}", (made.like, made.known)))
    for cause in made.causes:
        symptom = by_name[cause.symptom]
        if symptom.sql is None:
            continue
        bad, known = symptom.sql
        there = f"({cause.sql})"
        tests = (f"({bad}) AND {there}", there, f"({bad}) AND NOT {there}", f"NOT {there}")
        counts = ", ".join(f"count(*) FILTER (WHERE {test})" for test in tests)
        given = (cause.bad_here, cause.here, cause.bad_elsewhere, cause.elsewhere)
        found.append(Query(cause.place(), f"SELECT {counts} FROM requests WHERE {known}", given))
    return tuple(found)
