"""What is wrong among the requests, and where it comes from: the causes, the most certain first, or that nothing was found.

First the symptoms (`symptoms`), each with the requests that show it and those that could have. Then for each the contrast over all
that was given: parameters, identity, input, time, and pairs of them. Symptoms in the same place are one cause, named by the
symptom from which the others follow; two faults at once are told apart by their symptoms. What was planted is never read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import xlogy

from analytics.questions.cause import Cause, Place, place_of
from analytics.questions.cause_words import cause_phrase
from analytics.questions.coding import code, role_of
from analytics.questions.contrast import Compared, compared
from analytics.questions.difference import words
from analytics.questions.grouping import SAME, overlap
from analytics.questions.origin import origin_of, started
from analytics.questions.pace import INPUTS
from analytics.questions.result import ALPHA, Finding
from analytics.questions.rows import Rows, Truth, column, observe
from analytics.questions.scan import Item, Part, item_of, moved
from analytics.questions.schema import Schema
from analytics.questions.sentences import Language
from analytics.questions.stats import difference_interval, share_interval
from analytics.questions.symptoms import EXPECTED, FEWEST, ORDER, Symptom, symptoms
from telemetry import fields

MORE = 1.5
"""A place has the symptom at least so many times as often as the rest."""
GIVEN = ("parameter", "identity", "input", "time")
KEPT = ("weight", "sampling_weight", "request_id", "attempt", "extra")
DRAWN = ("seed",)
"""Another number in every request: it explains nothing, and asking it costs certainty."""
SHOWN = 10
ALONE = 6.6
"""G² (p = 0.01) of a value by itself, below which no partner of it is looked for: half of the time is spent on pairs."""
OF_DEGREE = ("slow", "lips_unclear")
"""Symptoms against the usual: what a setting does to them all the time is its nature, no incident, unless its use began here."""
NATURE = ("audio_s", "roi_width", "roi_height", "cache_hit", "encoder", *INPUTS)
"""Like a setting: what kind of work it is, of what."""
KEEPS = 0.85
"""Share of the bad ones in a place that one more value must have to belong to it."""
LATER = ("portrait_hash", "audio_hash", "audio_s", "roi_width", "roi_height", "cache_hit", "encoder", "queue_wait_ms")
"""Known only when a request has come so far. Where every failed one lacks it, it tells where they stopped, not why."""


@dataclass(frozen=True)
class Shown:
    """A symptom that was asked about: how many requests show it, of how many that could."""

    name: str
    bad: int
    known: int


@dataclass(frozen=True, kw_only=True)
class Diagnosis(Finding):
    """`causes`: the most certain first; empty where nothing was found. `standing`: what settings do to their requests all along,
    which is no incident. `symptoms`: what was asked about."""

    causes: tuple[Cause, ...] = ()
    standing: tuple[Cause, ...] = ()
    symptoms: tuple[Shown, ...] = ()

    def sentence(self, language: Language = "en") -> str:
        """The first cause, or that nothing was found."""
        if self.causes:
            return self.causes[0].sentence(language)
        return cause_phrase("nothing" if self.n else "no_requests", language, n=self.n, asked=len(self.symptoms))

    def to_dict(self) -> dict[str, Any]:
        """As JSON, with the sentences in both languages."""
        causes, standing = ([cause.to_dict() for cause in part] for part in (self.causes, self.standing))
        return {
            **super().to_dict(),
            "causes": causes,
            "standing": standing,
            "sentence": self.sentence(),
            "sentence_zh": self.sentence("zh"),
        }


def diagnose(
    frame: pd.DataFrame,
    schema: Schema | None = None,
    *,
    shows: Collection[str] | None = None,
    truncated: bool = False,
    seed: int = 0,
) -> Diagnosis:
    """The causes of what is wrong among request rows. `shows`: only symptoms with these names (those of one bad file).

    A cause is named where its q times the number of symptoms that were asked about is below ALPHA; a symptom without a place is
    one where surely more requests show it than `EXPECTED`.
    """
    rows = observe(frame, schema)
    base = Diagnosis(n=rows.n, verdict="no_data" if not rows.n else "not_shown", truncated=truncated, warnings=rows.warnings)
    if not rows.n:
        return base
    found = [one for one in symptoms(rows) if shows is None or one.name in shows]
    asked = [one for one in found if one.bad.sum() >= FEWEST]
    leaders: list[Cause] = []
    others: list[Cause] = []
    standing: list[Cause] = []
    for symptom in asked:
        # Each question that has its answer leaves one fewer to pay for, as in Holm's test (1979).
        made = list(_causes(rows, symptom, ALPHA / max(1, len(asked) - len(leaders)), seed))
        standing += [one for one in made if _stands(one)]
        made = [one for one in made if not _stands(one)]
        leaders += made[:1]
        others += made[1:]
    causes = _joined(_ordered(leaders)) + _ordered(others)
    shown = tuple(Shown(one.name, int(one.bad.sum()), int(one.known.sum())) for one in found)
    return replace(base, verdict="associated" if causes else "not_shown", causes=tuple(causes[:SHOWN]),
                   standing=tuple(_ordered(standing)), symptoms=shown)  # fmt: skip


def _ordered(causes: list[Cause]) -> list[Cause]:
    return sorted(causes, key=lambda one: -one.score)


def _stands(cause: Cause) -> bool:
    """Whether a cause is a setting that was used in this way all along, and a matter of degree."""
    new = (cause.since or cause.began) is not None or (cause.origin is not None and cause.origin.since is not None)
    return bool(cause.where) and _settings(place.field for place in cause.where) and not new and cause.symptom.startswith(OF_DEGREE)


def _settings(names: Iterable[str]) -> bool:
    """Whether these are settings, or the kind of work, and nothing else."""
    return set(names) <= {*fields.names("parameter"), "advice", *NATURE}


def given(rows: Rows, without: Collection[str] = ()) -> Rows:
    """The same rows with only what was known before or beside the work."""
    names = [
        name for name in map(str, rows.frame.columns)
        if name not in (*without, *DRAWN) and (name in KEPT or role_of(name, rows.schema.get(name)) in GIVEN)
    ]  # fmt: skip
    frame = rows.frame[names]
    assert isinstance(frame, pd.DataFrame)
    kept = [
        tuple(one for one in part if one.name in names)
        for part in (rows.schema.parameters, rows.schema.outcomes, rows.schema.identity)
    ]
    return replace(rows, frame=frame, schema=Schema(*kept))


def _causes(rows: Rows, symptom: Symptom, level: float, seed: int) -> Iterator[Cause]:
    some, bad = rows.take(symptom.known), symptom.bad[symptom.known]
    never = [name for name in LATER if name in some.frame and some.frame.loc[bad, name].isna().all()]
    some = given(some, (*symptom.columns, *never))
    enough = min(bad.sum(), (~bad).sum()) >= FEWEST
    told = compared(some, bad, (), seed, least=ALONE) if enough else None
    found = [] if told is None else list(_placed(some, bad, symptom, told, level))
    if found:
        yield from found
    elif (whole := _everywhere(some, bad, symptom)) is not None:
        yield whole


def _placed(rows: Rows, bad: Truth, symptom: Symptom, told: Compared, level: float) -> Iterator[Cause]:
    for group in told.ranked.groups:
        item = group.leader
        q = told.qs[item]
        rate, usual = (float(bad[part].mean()) if part.any() else 0.0 for part in (item.mask, ~item.mask))
        # A setting must also have come into use to be no standing matter: of that second proof the first need not be so strict.
        enough = ALPHA if symptom.code in OF_DEGREE and _settings(part.coded.field for part in item.parts) else level
        if q < enough and item.enriched and rate >= MORE * usual:
            item, same = _named(item, group.same, rows, bad)
            more = _within(rows, bad, item, ALPHA if item.field == "started_at" else level)
            if more is not None:
                item = item_of((*item.parts, more), bad, rows.weights, item.tests)
            made = _cause(rows, bad, symptom, item, (*same, *_alike(item, told, rows)), q)
            if q < level or not _stands(made):
                yield made


def _alike(item: Item, told: Compared, rows: Rows) -> Iterator[Item]:
    """Other words for the one value that, with its time, is the place: a host that has a single replica."""
    parts = [part for part in item.parts if part.coded.kind != "time"]
    if len(item.parts) == 2 and len(parts) == 1:
        for other in told.qs:
            if (
                len(other.parts) == 1
                and other.field != parts[0].coded.field
                and overlap(other.mask, parts[0].mask, rows.weights) >= SAME
            ):
                yield other


def _within(rows: Rows, bad: Truth, item: Item, level: float) -> Part | None:
    """Inside a place, one more value that surely separates the bad ones and has nearly all of them; None where there is none.

    So a pair is found that hardly tells more than its better value by itself.
    """
    inside = item.mask
    if len(item.parts) > 1 or min((bad & inside).sum(), (~bad & inside).sum()) < FEWEST:
        return None
    told = compared(rows.take(inside), bad[inside], least=np.inf)
    fields_of = {part.coded.field for part in item.parts}
    for group in told.ranked.groups[:1]:
        found = group.leader
        if (
            told.qs[found] < level
            and found.enriched
            and found.field not in fields_of
            and found.table[0] >= KEEPS * bad[inside].sum()
        ):
            part = found.parts[0]
            whole = next(one for one in code(rows)[0] if one.field == part.coded.field and one.kind == part.coded.kind)
            return moved(part, whole)
    return None


def _named(item: Item, same: list[Item], rows: Rows, bad: Truth) -> tuple[Item, tuple[Item, ...]]:
    """A setting by itself rather than by the advice that it was given."""
    if item.field != "advice":
        return item, tuple(same)
    setting = next((other for other in same if other.parts[0].coded.role == "parameter" and len(other.parts) == 1), None)
    rest = (item, *(other for other in same if other is not setting))
    if setting is None and (part := _advised(item.parts[0], rows)) is not None:
        setting = item_of((part,), bad, rows.weights, item.tests)
    return (item, tuple(same)) if setting is None else (setting, rest)


def _advised(advice: Part, rows: Rows) -> Part | None:
    """The region of the setting that an advice (`dynamic_scale_low`) is about, None where it is not of that kind."""
    name, _, side = str(advice.coded.levels[advice.first - 1]).rpartition("_")
    known = fields.BY_NAME.get(name)
    coded = next((one for one in code(rows)[0] if one.field == name and one.values is not None), None)
    if known is None or known.advised is None or coded is None or coded.values is None or side not in ("low", "high"):
        return None
    values = coded.values[np.isfinite(coded.values)]
    outside = values[values < known.advised[0]] if side == "low" else values[values > known.advised[1]]
    last = len(coded.levels)
    return (
        Part(coded, 1, last, -np.inf, float(outside.max())) if side == "low" else Part(coded, 1, last, float(outside.min()), np.inf)
    )


def _cause(rows: Rows, bad: Truth, symptom: Symptom, item: Item, same: tuple[Item, ...], q: float) -> Cause:
    places = [place_of(part) for part in item.parts]
    since, until = next(((place.low, place.high) for place in places if place.field == "started_at"), (None, None))
    where = tuple(place for place in places if place.field != "started_at")
    began = started(rows, bad, item.mask) if since is None and until is None and where else None
    here, inside = item.mask, item.mask & bad
    counts = int(inside.sum()), int(here.sum()), int((bad & ~here).sum()), int((~here).sum())
    shares = [share_interval(float(counts[k]), float(counts[k + 1])) for k in (2, 0)]
    change, bounds = difference_interval(*shares)
    return Cause(
        n=rows.n, verdict="associated", unit="share", estimate=change, interval=bounds, q=q, symptom=symptom.name,
        size=symptom.size, where=where, same_as=tuple(dict.fromkeys(words(other) for other in same)), since=since, until=until,
        began=began, origin=origin_of(rows, item, where), bad_here=counts[0], here=counts[1],
        bad_elsewhere=counts[2], elsewhere=counts[3], score=item.score, examples=_examples(rows, inside),
    )  # fmt: skip


def _everywhere(rows: Rows, bad: Truth, symptom: Symptom) -> Cause | None:
    """The symptom without a place, where surely more requests show it than is no news."""
    usual = EXPECTED.get(symptom.code)
    n, k = rows.n, int(bad.sum())
    if usual is None or k < FEWEST:
        return None
    share, bounds = share_interval(float(k), float(n))
    if bounds[0] <= usual:
        return None
    told = 2 * float(xlogy(k, k / (n * usual)) + xlogy(n - k, (n - k) / (n * (1 - usual))))
    return Cause(n=n, verdict="associated", unit="share", estimate=share, interval=bounds, symptom=symptom.name, size=symptom.size,
                 bad_here=k, here=n, score=told, examples=_examples(rows, bad))  # fmt: skip


def _examples(rows: Rows, chosen: Truth) -> tuple[str, ...]:
    if "request_id" not in rows.frame:
        return ()
    return tuple(str(id) for id in column(rows.frame, "request_id").iloc[np.flatnonzero(chosen)[:3]])


def _joined(causes: list[Cause]) -> list[Cause]:
    """Symptoms in the same place as one cause, in the order of the surest of them."""
    made: list[Cause] = []
    for cause in causes:
        k = next((k for k, other in enumerate(made) if _same_place(cause, other)), None)
        if k is None:
            made.append(cause)
            continue
        first, second = sorted((made[k], cause), key=lambda one: ORDER.index(one.symptom.partition(":")[0]))
        made[k] = replace(first, also=(*first.also, second.symptom, *second.also), score=max(first.score, second.score))
    return made


def _same_place(one: Cause, other: Cause) -> bool:
    if not one.where or not other.where:
        return False
    names, others = ({" and ".join(place.what for place in cause.where), *cause.same_as} for cause in (one, other))
    return bool(names & others) or [_region(place) for place in one.where] == [_region(place) for place in other.where]


def _region(place: Place) -> tuple[str, Any]:
    """A field with its value, or with the side on which a region is open: bounds differ by what happened to be drawn."""
    return place.field, place.value if place.kind == "categorical" else (place.low is None, place.high is None)
