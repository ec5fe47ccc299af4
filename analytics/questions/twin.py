"""For one bad request the nearest good one, and where the two part: parameters, stage times against the usual, events, outcomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from analytics.questions.phrases import phrase
from analytics.questions.result import Finding
from analytics.questions.rows import Rows, Truth, observe
from analytics.questions.schema import Column, Schema
from analytics.questions.sentences import Language, amount, listed
from analytics.questions.stats import Floats, weighted_quantile
from telemetry import fields

INPUTS = ("audio_hash", "portrait_hash")
"""The same input has the same values of these; only the first where the second is not recorded."""
LENGTH = "audio_s"
WORK = ("operation", "model_name")
"""A twin did the same kind of work."""
UNLIKE = 1.2
"""Times that differ by less than a fifth are alike; so is what lies inside the usual range of like requests."""
USUAL = (0.1, 0.9)
NEIGHBOURS = 50
"""Good requests, the nearest ones, that say what is usual."""
ENOUGH = 8

Part = Literal["parameter", "outcome", "identity"]


@dataclass(frozen=True)
class Pair:
    """One field in both. `unlike`: they differ (an outcome by more than a fifth). `usual`: where 8 in 10 near good requests lie."""

    field: str
    kind: Part
    bad: Any
    good: Any
    unlike: bool
    usual: tuple[float, float] | None = None
    unit: str = ""


@dataclass(frozen=True, kw_only=True)
class Twin(Finding):
    """`n`: good requests that were looked at; `estimate`: the distance, a mean over parameters and length (0 = alike, 1 = as far
    apart as the middle 80 % of requests; Gower, 1971). `fields`: parameters, then stages in the order of the work, then the rest.

    `parts_at`: the first stage whose time is unlike and unusual. `events`: the first event at which the two records differ.
    """

    bad: str | None = None
    twin: str | None = None
    same_input: bool = False
    fields: tuple[Pair, ...] = ()
    parts_at: Pair | None = None
    events: tuple[str | None, str | None] | None = None

    def sentence(self, language: Language = "en") -> str:
        """Who the twin is and where the two part."""
        if self.twin is None:
            return phrase("twin_none", language, n=self.n)
        likeness = (
            phrase("twin_same", language) if self.same_input else phrase("twin_like", language, distance=amount(self.estimate))
        )
        unlike = [f"{one.field} {one.bad} / {one.good}" for one in self.fields if one.kind == "parameter" and one.unlike]
        part = phrase("twin_no_part", language)
        if self.parts_at:
            times = {name: amount(getattr(self.parts_at, name), "ms") for name in ("bad", "good")}
            part = phrase("twin_part", language, stage=self.parts_at.field.removesuffix("_ms"), **times)
        parameters = listed(unlike, language) or ("none" if language == "en" else "无")
        return phrase("twin", language, twin=self.twin, likeness=likeness, parameters=parameters, part=part, n=self.n)

    def to_dict(self) -> dict[str, Any]:
        """As JSON, with the sentence in both languages."""
        return {**super().to_dict(), "sentence": self.sentence(), "sentence_zh": self.sentence("zh")}


def twin(
    frame: pd.DataFrame,
    request: str | int,
    schema: Schema | None = None,
    *,
    good: ArrayLike | None = None,
    events: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
) -> Twin:
    """The nearest good request to one (`request`: its request_id, or its place in the frame) and where the two part.

    `good`: which rows count as good; without it those that ended well and did not drift more than the median. `events`: the
    events of both by request id, in the order of time, where they are at hand. Raises KeyError where the request is not there.
    """
    everything = observe(frame, schema)
    wanted = np.ones(len(frame), bool) if good is None else np.asarray(good, bool)
    place = _place(everything, frame, request)
    usable = wanted[everything.kept] if good is not None else _good(everything)
    usable &= np.arange(everything.n) != place
    for name in WORK:
        words = everything.text(name)
        if words is not None:
            usable &= words == words[place]
    if not usable.any():
        return Twin(n=0, verdict="no_data", bad=_id(everything, place), warnings=everything.warnings)
    distance = distances(everything, place)
    same = _same_input(everything, place) & usable
    candidates = same if same.any() else usable
    nearest = int(np.flatnonzero(candidates)[np.argmin(distance[candidates])])
    pairs = tuple(
        _pairs(everything, place, nearest, np.flatnonzero(usable)[np.argsort(distance[usable], kind="stable")][:NEIGHBOURS])
    )
    parts_at = next((one for one in pairs if one.field in _STAGE_TIMES and one.unlike), None)
    return Twin(
        n=int(usable.sum()), verdict="associated", estimate=float(distance[nearest]), bad=_id(everything, place),
        twin=_id(everything, nearest), same_input=bool(same.any()), fields=pairs, parts_at=parts_at,
        events=_first_unlike(events, _id(everything, place), _id(everything, nearest)), warnings=everything.warnings,
    )  # fmt: skip


_STAGE_TIMES = tuple(f"{stage}_ms" for stage in fields.STAGES)


def distances(rows: Rows, place: int) -> Floats:
    """Gower's distance of every row to one, over the parameters and the length of the input; the seed is no likeness."""
    parts: list[Floats] = []
    for column in (*rows.schema.parameters, rows.schema.get(LENGTH)):
        if column is None or column.name not in rows.frame or column.name == "seed":
            continue
        if not column.numeric:
            words = rows.text(column.name)
            parts += [] if words is None else [(words != words[place]).astype(float)]
            continue
        values = rows.numbers(column.name)
        if column.name == LENGTH:
            values = np.log(np.maximum(values, 1e-3))
        known = values[np.isfinite(values)]
        spread = float(np.subtract(*np.quantile(known, [0.9, 0.1]))) if len(known) else 0.0
        spread = spread or float(np.ptp(known) if len(known) else 0.0) or 1.0
        apart = np.abs(values - values[place]) / spread
        parts.append(np.where(np.isfinite(apart), apart, (np.isfinite(values) != np.isfinite(values[place])).astype(float)))
    return np.mean(parts, axis=0) if parts else np.zeros(rows.n)


def _good(rows: Rows) -> Truth:
    failed = rows.failed()
    good = np.ones(rows.n, bool) if failed is None else ~failed
    status = rows.text("status")
    if status is not None:
        good &= status != "cancelled"
    if "audio_drift_ms" in rows.frame:
        drift = rows.numbers("audio_drift_ms")
        if np.isfinite(drift).any():
            good &= drift <= np.nanmedian(drift)
    return good


def _place(rows: Rows, frame: pd.DataFrame, request: str | int) -> int:
    if isinstance(request, str):
        ids = rows.text("request_id")
        found = np.flatnonzero(ids == request) if ids is not None else np.array([], int)
        if not len(found):
            raise KeyError(f"there is no request {request} among the {len(frame)} rows")
        return int(found[0])
    if not 0 <= request < len(frame):
        raise KeyError(f"there is no row {request} among the {len(frame)}")
    if not rows.kept[request]:
        return _place(rows, frame, str(frame["request_id"].iloc[request]))
    return int(rows.kept[:request].sum())


def _same_input(rows: Rows, place: int) -> Truth:
    same = np.zeros(rows.n, bool)
    for name in INPUTS:
        words = rows.text(name)
        if words is None or words[place] is None:
            continue
        same = (words == words[place]) & (same if same.any() else True)
    return same


def _pairs(rows: Rows, bad: int, good: int, near: np.ndarray) -> list[Pair]:
    columns = [column for column in rows.schema if column.dtype not in ("list", "time") and column.name in rows.frame]
    stages = [column for name in _STAGE_TIMES for column in columns if column.name == name]
    order = [*rows.schema.parameters, *stages, *(column for column in columns if column not in stages)]
    made = (_pair(rows, column, bad, good, near) for column in dict.fromkeys(order) if column in columns)
    return [one for one in made if one.bad is not None or one.good is not None]


def _pair(rows: Rows, column: Column, bad: int, good: int, near: np.ndarray) -> Pair:
    if not column.numeric:
        words = rows.text(column.name)
        one, other = (None, None) if words is None else (words[bad], words[good])
        return Pair(column.name, column.kind, one, other, one != other, None, column.unit)
    values = rows.numbers(column.name)
    one, other = (None if not np.isfinite(values[at]) else float(values[at]) for at in (bad, good))
    usual = None
    around = values[near]
    if column.kind == "outcome" and np.isfinite(around).sum() >= ENOUGH:
        kept = np.isfinite(around)
        low, high = (weighted_quantile(around[kept], q, rows.weights[near][kept]) for q in USUAL)
        usual = (low, high)
    shown = [int(value) if value is not None and column.dtype == "int" else value for value in (one, other)]
    return Pair(column.name, column.kind, shown[0], shown[1], _unlike(column, one, other, usual), usual, column.unit)


def _unlike(column: Column, bad: float | None, good: float | None, usual: tuple[float, float] | None) -> bool:
    if bad is None or good is None:
        return bad != good
    if column.kind == "parameter":
        return bad != good
    if usual is not None and usual[0] <= bad <= usual[1]:
        return False
    return max(abs(bad), abs(good)) > UNLIKE * min(abs(bad), abs(good))


def _first_unlike(
    events: Mapping[str, Sequence[Mapping[str, Any]]] | None, bad: str | None, good: str | None
) -> tuple[str | None, str | None] | None:
    """The first event types that differ, None where an end is reached; None where both went the same way or are not at hand."""
    if events is None or bad not in events or good not in events:
        return None
    one, other = ([event.get("event_type") for event in events[id]] for id in (str(bad), str(good)))
    for k in range(max(len(one), len(other))):
        pair = (one[k] if k < len(one) else None, other[k] if k < len(other) else None)
        if pair[0] != pair[1]:
            return pair
    return None


def _id(rows: Rows, place: int) -> str:
    ids = rows.text("request_id")
    return f"row {place}" if ids is None or ids[place] is None else str(ids[place])
