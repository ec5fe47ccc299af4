"""Staged incidents: a known fault (or none) in invented traffic, cut off at the request at which somebody complains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from analytics.questions.cause import Cause
from bench.drill_traffic import drawn_like, fail, measured, measured_misses, stands_for, traffic, work
from telemetry import fields

MOST_BAD = 30
"""Struck requests at which the window ends: somebody has complained by then."""
LEAST_BAD = 12
REQUESTS = 1_500
ALL = 0.85
"""Share of the requests until the complaint that may have the place: where all have it, no rows can tell, and "everywhere alike" is
right. (Before this was asked, 3 of 40 incidents were such: an old version, before the new one went out.)"""


@dataclass(frozen=True)
class Truth:
    """What a right answer names: one of `symptoms`, and each of `where` (field, value; None = a region of that field).

    `user`: a department that must be named as the origin, for a setting. `since`: the change in time is itself the place.
    """

    symptoms: tuple[str, ...]
    where: tuple[tuple[str, str | None], ...] = ()
    user: str | None = None
    since: pd.Timestamp | None = None

    def named_by(self, cause: Cause, length: pd.Timedelta) -> bool:
        """True where the cause is this one: no field too few, none too many; of fields that name the same requests one will do."""
        if not {cause.symptom, *cause.also} & set(self.symptoms):
            return False
        if self.since is not None and (
            cause.since is None or abs((pd.Timestamp(cause.since) - self.since).total_seconds()) > 0.1 * length.total_seconds()
        ):
            return False
        if self.user is not None and not self._user_named(cause):
            return False
        return self._placed(cause)

    def _placed(self, cause: Cause) -> bool:
        asked = {f"{name} = {value}" if value is not None else name for name, value in self.where}
        regions = {name for name, value in self.where if value is None}
        told = {place.field if place.field in regions else place.what for place in cause.where}
        same = {words.split(" ")[0] if words.split(" ")[0] in regions else words for words in cause.same_as}
        return told == asked or (len(asked) == 1 and bool(asked & same))

    def _user_named(self, cause: Cause) -> bool:
        said = [place.what for place in cause.origin.where] if cause.origin else []
        return f"department = {self.user}" in [*said, *(place.what for place in cause.where)]


@dataclass(frozen=True)
class Incident:
    """The rows until the complaint, which of them were struck, and every truth (none: nothing is wrong)."""

    kind: str
    frame: pd.DataFrame
    struck: np.ndarray
    truths: tuple[Truth, ...]

    def until(self, bad: int) -> Incident:
        """The same incident, cut off at the `bad`-th struck request."""
        places = np.flatnonzero(self.struck)
        end = places[bad - 1] + 1 if len(places) >= bad else len(self.frame)
        return Incident(self.kind, self.frame.iloc[:end], self.struck[:end], self.truths)


@dataclass
class Stage:
    """Where a fault is put: the rows so far, and chance."""

    frame: pd.DataFrame
    random: np.random.Generator
    struck: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))

    def one_of(self, name: str, least: float = 0.03, most: float = 0.6) -> str:
        """A value of a field that neither nearly nobody nor nearly everybody has."""
        shares = self.frame[name].value_counts(normalize=True)
        fit = [str(value) for value, share in shares.items() if least <= share <= most]
        if not fit:
            raise Unfit(name)
        return str(self.random.choice(fit))

    def where(self, *names: str) -> tuple[str, str, np.ndarray]:
        """A random one of these fields, a value, and its rows."""
        name = str(self.random.choice(names))
        value = self.one_of(name)
        return name, value, (self.frame[name] == value).to_numpy(bool)

    def some(self, rows: np.ndarray, least: float = 0.6, *, name: str = "") -> np.ndarray:
        """Most or all of these rows; half the time only from some moment on, but a version is bad from its first request on."""
        if name != "model_version" and self.random.random() < 0.5:
            places = np.flatnonzero(rows)
            rows = rows & (np.arange(len(rows)) >= places[int(self.random.uniform(0.1, 0.6) * len(places))])
        return rows & (self.random.random(len(rows)) < self.random.uniform(least, 1.0))


class Unfit(Exception):
    """This traffic has no place for this fault: draw another."""


Fault = Callable[[Stage], tuple[np.ndarray, Truth]]
ANYWHERE = ("host", "replica", "department", "model_version", "encoder")


def incident(kind: str, seed: int) -> Incident:
    """The staged incident of a kind (KINDS or `none`) and a seed."""
    for attempt in range(50):
        random = np.random.default_rng((seed, attempt, sorted(FAULTS).index(kind) if kind in FAULTS else 99))
        try:
            made = _staged(kind, random)
        except Unfit:
            continue
        if kind == "none" or made.struck.sum() >= LEAST_BAD:
            return made
    raise RuntimeError(f"no traffic for {kind} with seed {seed}")


def _staged(kind: str, random: np.random.Generator) -> Incident:
    frame = work(traffic(REQUESTS, random), random)
    stage = Stage(frame, random)
    faults = [FAULTS[kind]] if kind in FAULTS else []
    if kind == "two at once":
        chosen = random.choice([name for name in FAULTS if name not in ALONE], 2, replace=False)
        faults = [FAULTS[name] for name in chosen]
    struck, truths = [], []
    for fault in faults:
        rows, truth = fault(stage)
        struck.append(rows)
        truths.append(truth)
    frame = _finished(stage.frame)
    if not faults:
        n = int(random.integers(100, REQUESTS))
        return Incident(kind, frame.iloc[:n], np.zeros(n, bool), ())
    ends = [np.flatnonzero(rows)[min(MOST_BAD, rows.sum()) - 1] for rows in struck if rows.any()]
    if len(ends) < len(faults):
        raise Unfit(kind)
    # Of two, each has its share of the bad requests that somebody had to suffer.
    end = max(ends) if len(faults) == 1 else _half(struck)
    inside = np.logical_or.reduce(struck)[: end + 1]
    if any(truth.since is not None and truth.since > frame["started_at"].iloc[int(0.95 * end)] for truth in truths):
        raise Unfit(kind)
    made = frame.iloc[: end + 1].reset_index(drop=True)
    places = [(name, value) for truth in truths for name, value in truth.where if value is not None]
    if any((made[name].dropna() == value).mean() > ALL for name, value in places):
        raise Unfit("nearly every request until the complaint")
    return Incident(kind, made, inside, tuple(truths))


def _half(struck: list[np.ndarray]) -> int:
    """Where both have struck 30 together, and each at least a third of them."""
    both = np.cumsum(np.logical_or.reduce(struck))
    end = int(np.searchsorted(both, MOST_BAD))
    if end >= len(both) or any(rows[: end + 1].sum() < MOST_BAD // 3 for rows in struck):
        raise Unfit("two at once")
    return end


def _finished(frame: pd.DataFrame) -> pd.DataFrame:
    """With the columns that follow from others, as a record has them."""
    made = frame.copy()
    for stage in fields.STAGES:
        made[f"{stage}_ms"] = made[f"{stage}_busy_ms"]
    made["audio_drift_ms"] = made["audio_offset_ms"].abs()
    names = [one.name for one in fields.PARAMETERS if one.name in made]
    made["advice"] = [fields.advise(row._asdict()) for row in made[names].itertuples(index=False)]
    made["latency_s"] = made[[f"{stage}_ms" for stage in fields.STAGES]].sum(axis=1) / 1000 + made["queue_wait_ms"] / 1000
    return made.assign(orphan=made["error_type"] == "replica_lost", duplicates=0, is_retry=False, weight=1.0)


def _well(stage: Stage) -> np.ndarray:
    return (stage.frame["status"] == "ok").to_numpy(bool)


def _relabelled(stage: Stage) -> tuple[np.ndarray, Truth]:
    name, value, rows = stage.where("host")
    f, random = stage.frame, stage.random
    rows = stage.some(rows & (f["fps"] != 24.0).to_numpy(bool) & _well(stage))
    f.loc[rows, "video_fps"] = 24.0
    f.loc[rows, "video_s"] = f["video_frames"] / 24.0
    f.loc[rows, "duration_drift_ms"] = (f["video_s"] - f["audio_s"]) * 1000
    # The middle of the picture runs late by half of what the whole does: measured -151 where the lengths differ by 283 ms.
    f.loc[rows, "audio_offset_ms"] = f["audio_offset_ms"] - f["duration_drift_ms"] / 2
    unsure = rows & (random.random(len(f)) < 0.25)  # 7 of 26 real ones were not answered
    f.loc[unsure, "audio_offset_ms"] = np.nan
    f.loc[unsure, "sync_reason"] = "not_sure"
    return rows, Truth(("frames_relabelled",), ((name, value),))


def _late(stage: Stage) -> tuple[np.ndarray, Truth]:
    name, value, rows = stage.where("model_version") if stage.random.random() < 0.7 else stage.where(*ANYWHERE)
    rows = stage.some(rows & _well(stage), name=name)
    late = stage.random.choice([80.0, 120.0, 120.0, 120.0, 250.0])
    # Real ones that were muxed 120 ms late were read as 115 ms with a spread of 14.
    stage.frame.loc[rows, "audio_offset_ms"] += late - 5
    return rows, Truth(("sound_late",), ((name, value),))


def _cut(stage: Stage) -> tuple[np.ndarray, Truth]:
    name, value, rows = stage.where(*ANYWHERE)
    rows = stage.some(rows & _well(stage), name=name)
    seconds = stage.random.uniform(0.3, 1.2)
    stage.frame.loc[rows, "duration_drift_ms"] -= seconds * 1000
    stage.frame.loc[rows, "video_s"] -= seconds
    return rows, Truth(("tail_cut",), ((name, value),))


def _frozen(stage: Stage) -> tuple[np.ndarray, Truth]:
    name, value, rows = stage.where(*ANYWHERE)
    rows = stage.some(rows & _well(stage), name=name)
    n = len(stage.frame)
    # Of 2.5 s that stand still a real one was read as 1.5 to 1.9: silence at the end and the last refined frames are not counted.
    read = np.maximum(stage.random.uniform(0.8, 2.5) * stage.random.uniform(0.3, 0.8, n) * 1000, 0.0)
    stage.frame.loc[rows, "frozen_tail_ms"] = read[rows]
    return rows, Truth(("frozen_tail",), ((name, value),))


def _short_deadline(stage: Stage) -> tuple[np.ndarray, Truth]:
    f = stage.frame
    limit = float(np.quantile(f["audio_s"].dropna().to_numpy(float), stage.random.uniform(0.6, 0.9)))
    # Not a sharp edge: the encoder's pace varies as it was measured to.
    drawn = stage.random.choice(measured().residuals["encode_video"].to_numpy(float), len(f))
    rows = _well(stage) & (f["audio_s"].to_numpy(float) * np.exp(0.3 * drawn) > limit)
    where: tuple[tuple[str, str | None], ...] = (("audio_s", None),)
    if stage.random.random() < 0.5:
        name, value, there = stage.where("host")
        rows, where = rows & there, (*where, (name, value))
    stage.frame = fail(f, rows, np.full(len(f), "encoder_timeout", object))
    return rows, Truth(("failed:encoder_timeout",), where)


def _memory(stage: Stage) -> tuple[np.ndarray, Truth]:
    f = stage.frame
    limit = int(stage.random.choice([640, 768, 1024]))
    rows = (
        _well(stage) & (f["min_resolution"] >= limit).to_numpy(bool) & (stage.random.random(len(f)) < stage.random.uniform(0.6, 1))
    )
    stage.frame = fail(f, rows, np.full(len(f), "out_of_memory", object))
    return rows, Truth(("failed:out_of_memory",), (("min_resolution", None),))


def _slow(stage: Stage) -> tuple[np.ndarray, Truth]:
    name, value, rows = stage.where("replica")
    rows = stage.some(rows & _well(stage), 0.8)
    stage.frame.loc[rows, "run_inference_busy_ms"] *= stage.random.uniform(1.6, 4)
    return rows, Truth(("slow:run_inference",), ((name, value),))


def _template(stage: Stage) -> tuple[np.ndarray, Truth]:
    """From some moment on a department's template asks for half the motion; the outcomes are those of real requests with it."""
    _, value, rows = stage.where("department")
    f, random = stage.frame, stage.random
    places = np.flatnonzero(rows)
    start = places[int(random.uniform(0.2, 0.5) * len(places))]
    rows = rows & (np.arange(len(f)) >= start) & (random.random(len(f)) < 0.9) & _well(stage)
    drawn = drawn_like(np.full(len(f), 0.5), stands_for(f["audio_hash"]), random)
    f.loc[rows, "dynamic_scale"] = 0.5
    for column in ("audio_offset_ms", "sync_confidence", "sync_reason", "lip_match"):
        f.loc[rows, column] = drawn[column]
    return rows, Truth(("lips_unclear",), (("dynamic_scale", None),), user=value)


def _characters(stage: Stage) -> tuple[np.ndarray, Truth]:
    name, value, rows = stage.where("source_prefix")
    rows = stage.some(rows & _well(stage), 0.5)
    stage.frame = fail(stage.frame, rows, np.full(len(rows), "path_invisible_characters", object))
    # Names are not content: every file of the folder is another one.
    for column in ("portrait_hash", "audio_hash"):
        stage.frame.loc[rows, column] = None
    return rows, Truth(("failed:path_invisible_characters",), ((name, value),))


def _cache(stage: Stage) -> tuple[np.ndarray, Truth]:
    f, random = stage.frame, stage.random
    start = f["started_at"].iloc[int(random.uniform(0.1, 0.5) * len(f))]
    rows = _well(stage) & (f["started_at"] >= start).to_numpy(bool)
    rows &= (f["cache_hit"] == True).to_numpy(bool)  # noqa: E712 - None is neither
    f.loc[rows, "cache_hit"] = False
    f.loc[rows, "preprocess_image_busy_ms"] = random.choice(measured_misses(), len(f))[rows]
    return rows, Truth(("cache_missed",), since=start)


def _logs(stage: Stage) -> tuple[np.ndarray, Truth]:
    rows = stage.random.random(len(stage.frame)) < 0.1
    stage.frame.loc[rows, "has_logs"] = False
    return rows, Truth(("logs_missing",))


FAULTS: dict[str, Fault] = {
    "frames relabelled on a host": _relabelled, "sound late in a version": _late, "tail cut": _cut, "tail frozen": _frozen,
    "encoder's deadline short": _short_deadline, "a slow replica": _slow, "memory at high resolution": _memory,
    "template of a department": _template, "invisible characters in a folder": _characters, "cache stopped hitting": _cache,
    "a tenth of the logs lost": _logs,
}  # fmt: skip
ALONE = ("template of a department", "cache stopped hitting")
"""Kinds that need the whole window, so they are not combined."""
KINDS = (*FAULTS, "two at once", "none")
