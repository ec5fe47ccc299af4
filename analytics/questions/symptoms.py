"""What can be wrong with a request: each symptom with the rows that show it, the rows that could have shown it, and nothing else.

A symptom is read from outcomes only, never from where or how the request ran, and never from what a drill planted. A row that
cannot show it (a failed request has no offset, relabelled frames have another one anyway) is not a good one: it is not compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analytics.questions.pace import INPUTS, level, slow_stages
from analytics.questions.rows import Rows, Truth, moments
from analytics.questions.rows import column as column_of
from analytics.questions.stats import Floats
from telemetry.errors import ERROR_TYPES

FEWEST = 3
"""Requests that show a symptom, below which nothing is said of it."""
LATE_MS = 60.0
"""Offset of the sound from which it is late or early. Both the latest that EBU R37 allows and beyond everything that 138 faultless
videos of a real sweep showed (-45 to +22 ms)."""
LENGTH_MS = 80.0
"""Difference of lengths from which one stream is cut: two frames at 25 a second; 195 faultless videos had -21 to +45 ms."""
FROZEN_MS = 200.0
"""Unmoving tail under speech from which it is one: faultless videos had 0."""
RATE = 0.005
"""Frames that run faster or slower by this share were written at another rate than they were drawn for."""
DISTINCT = 400
"""Errors below 500 are the sender's: the same file sent twice is one of them."""

ORDER = ("frames_relabelled", "tail_cut", "picture_longer", "frozen_tail", "failed", "resolution_lowered", "sound_late",
         "sound_early", "logs_missing", "trace_missing", "slow", "cache_missed", "lips_unclear")  # fmt: skip
"""Of two symptoms in the same place the first one names what happened; the other follows from it."""

EXPECTED = {"frames_relabelled": 0.02, "tail_cut": 0.02, "picture_longer": 0.02, "frozen_tail": 0.05, "sound_late": 0.1,
            "sound_early": 0.1, "logs_missing": 0.02, "trace_missing": 0.02, "failed": 0.1, "resolution_lowered": 0.02,
            "cache_missed": 0.6}  # fmt: skip
"""Share of the requests up to which a symptom that is everywhere alike is no news. What is measured against the other requests (a
slow stage, an unclear mouth) has no such share: all of them cannot be worse than usual."""


@dataclass(frozen=True, eq=False)
class Symptom:
    """`bad`: rows that show it; `known`: rows that could have. `detail`: the error type or the stage. `size`: how large it is in
    the rows that show it (ms, or times the usual), None where it is a yes or no. `columns`: what it was read from. `sql`: the same
    two sets of rows in SQL (bad, known), None where they come from a model of what is usual."""

    code: str
    bad: Truth
    known: Truth
    columns: tuple[str, ...]
    detail: str = ""
    size: float | None = None
    sql: tuple[str, str] | None = None

    @property
    def name(self) -> str:
        """`failed:out_of_memory`, `slow:run_inference`, `sound_late`."""
        return f"{self.code}:{self.detail}" if self.detail else self.code


def symptoms(rows: Rows) -> tuple[Symptom, ...]:
    """Every symptom that at least one row shows, in ORDER."""
    found = [one for find in FINDERS for one in find(rows)]
    return tuple(sorted((one for one in found if one.bad.any()), key=lambda one: ORDER.index(one.code)))


def numbers_of(rows: Rows, name: str) -> Floats:
    """A column as floats; NaN throughout where the frame lacks it."""
    return rows.numbers(name) if name in rows.frame else np.full(rows.n, np.nan)


def ended_well(rows: Rows) -> Truth:
    """Rows that made a video."""
    status = rows.text("status")
    return numbers_of(rows, "video_s") > 0 if status is None else np.array([word == "ok" for word in status], bool)


def relabelled(rows: Rows) -> Truth:
    """Rows whose frames run at another rate than was asked for."""
    asked, written = numbers_of(rows, "fps"), numbers_of(rows, "video_fps")
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.abs(written / asked - 1) > RATE


_RELABELLED = f"coalesce(abs(video_fps / fps - 1) > {RATE}, false)"


def _relabelled(rows: Rows) -> Iterator[Symptom]:
    asked, written = numbers_of(rows, "fps"), numbers_of(rows, "video_fps")
    bad = relabelled(rows)
    if not bad.any():
        return
    # A request for the very rate that others are relabelled to cannot show it.
    rates, counts = np.unique(written[bad], return_counts=True)
    known = np.isfinite(asked) & np.isfinite(written) & (bad | (np.abs(asked / rates[counts.argmax()] - 1) > RATE))
    drift = numbers_of(rows, "duration_drift_ms")[bad]
    sql = _RELABELLED, f"video_fps IS NOT NULL AND (({_RELABELLED}) OR abs(fps / {rates[counts.argmax()]:.10g} - 1) > {RATE})"
    yield Symptom("frames_relabelled", bad, known, ("fps", "video_fps", "duration_drift_ms"), size=_middle(np.abs(drift)), sql=sql)


def _lengths(rows: Rows) -> Iterator[Symptom]:
    drift, known = numbers_of(rows, "duration_drift_ms"), ended_well(rows) & ~relabelled(rows)
    known &= np.isfinite(drift)
    sides = (("tail_cut", drift < -LENGTH_MS, f"< -{LENGTH_MS}"), ("picture_longer", drift > LENGTH_MS, f"> {LENGTH_MS}"))
    for code, bad, words in sides:
        sql = f"duration_drift_ms {words}", f"status = 'ok' AND duration_drift_ms IS NOT NULL AND NOT ({_RELABELLED})"
        yield Symptom(code, bad & known, known, ("duration_drift_ms",), size=_middle(np.abs(drift[bad & known])), sql=sql)


def _frozen(rows: Rows) -> Iterator[Symptom]:
    tail = numbers_of(rows, "frozen_tail_ms")
    bad = tail > FROZEN_MS
    sql = f"frozen_tail_ms > {FROZEN_MS}", "frozen_tail_ms IS NOT NULL"
    yield Symptom("frozen_tail", bad, np.isfinite(tail), ("frozen_tail_ms",), size=_middle(tail[bad]), sql=sql)


def _offsets(rows: Rows) -> Iterator[Symptom]:
    offset = numbers_of(rows, "audio_offset_ms")
    # A cut or relabelled picture moves the middle of the comparison: it has a symptom of its own.
    known = np.isfinite(offset) & ~relabelled(rows)
    sides = (("sound_late", offset > LATE_MS, f"> {LATE_MS}"), ("sound_early", offset < -LATE_MS, f"< -{LATE_MS}"))
    for code, bad, words in sides:
        sql = f"audio_offset_ms {words}", f"audio_offset_ms IS NOT NULL AND NOT ({_RELABELLED})"
        size = _middle(np.abs(offset[bad & known]))
        yield Symptom(code, bad & known, known, ("audio_offset_ms", "audio_drift_ms"), size=size, sql=sql)


def _failed(rows: Rows) -> Iterator[Symptom]:
    types, well = rows.text("error_type"), ended_well(rows)
    if types is None:
        return
    for name in sorted({word for word in types if word is not None and word != "cancelled"}):
        bad = types == name
        kept = _distinct(rows, bad, name) if _senders(name) else bad
        said = f"error_type = '{name.replace(chr(39), chr(39) * 2)}'"
        # A file that was sent again counts once: SQL has no short word for that.
        sql = (said, f"status = 'ok' OR {said}") if kept.sum() == bad.sum() else None
        # One that may pass by itself was tried again: the number of the attempt follows from the failure.
        yield Symptom("failed", kept, well | kept, ("status", "error_type", "attempt", "is_retry"), detail=name, sql=sql)


def _lowered(rows: Rows) -> Iterator[Symptom]:
    """Made smaller than was asked, for want of memory: no error, and not what was ordered."""
    bad, known = np.isfinite(numbers_of(rows, "lowered_min_resolution")), ended_well(rows)
    sql = "lowered_min_resolution IS NOT NULL", "status = 'ok'"
    yield Symptom("resolution_lowered", bad & known, known, ("lowered_min_resolution", "advice", "attempt", "is_retry"), sql=sql)


def _senders(error_type: str) -> bool:
    known = ERROR_TYPES.get(error_type)
    return known is not None and DISTINCT <= known.http_status < 500


def _distinct(rows: Rows, bad: Truth, error_type: str) -> Truth:
    """The first of those that fail with the same input."""
    inputs = {"audio": ["audio_hash"], "image": ["portrait_hash"], "face": ["portrait_hash"]}
    names = [name for name in inputs.get(error_type.partition("_")[0], list(INPUTS)) if name in rows.frame]
    if not names:
        return bad
    sent = rows.frame.loc[bad, names]
    again = (sent.duplicated() & sent.notna().all(axis=1)).to_numpy(bool)
    kept = bad.copy()
    kept[np.flatnonzero(bad)[again]] = False
    return kept


def _coverage(rows: Rows) -> Iterator[Symptom]:
    weighted = "sampling_weight" in rows.frame and (rows.numbers("sampling_weight") > 1).any()
    for name, code in (("has_logs", "logs_missing"), ("has_trace", "trace_missing")):
        words = rows.text(name)
        if words is None or (code == "trace_missing" and weighted):  # sampled traces are meant to be missing
            continue
        there = np.array([str(word).lower() in ("true", "1", "1.0") for word in words], bool)
        if there.any():
            yield Symptom(code, ~there, np.ones(rows.n, bool), (name,), sql=(f"NOT coalesce({name}, false)", "true"))


def _cache(rows: Rows) -> Iterator[Symptom]:
    """A portrait that was prepared before in the same way should come from the cache."""
    keys = [name for name in ("portrait_hash", "min_resolution", "expand_ratio") if name in rows.frame]
    hits = rows.text("cache_hit")
    if hits is None or "portrait_hash" not in keys or "started_at" not in rows.frame:
        return
    hit = np.array([str(word).lower() in ("true", "1", "1.0") for word in hits], bool)
    ran = np.array([word is not None for word in hits], bool) & pd.notna(rows.text("portrait_hash"))
    order = np.argsort(moments(column_of(rows.frame, "started_at")), kind="stable")
    order = order[ran[order]]
    seen = np.zeros(rows.n, bool)
    seen[order] = rows.frame.iloc[order].duplicated(keys).to_numpy(bool)
    known = seen  # one that was only ever hit was prepared before these rows: it would count as good and never as bad
    yield Symptom("cache_missed", known & ~hit, known, ("cache_hit",))


def _slow(rows: Rows) -> Iterator[Symptom]:
    for stage, pace in slow_stages(rows, ended_well(rows)).items():
        yield Symptom("slow", pace.slow, pace.known, (f"{stage}_ms", f"{stage}_busy_ms"), detail=stage, size=pace.times)


UNCLEAR = 1.3
"""Times the usual spread below the usual match of the same recording and portrait from which a mouth counts as unclear: strong
enough for the tenth of the faultless videos that lie there, and for half of those with too little motion (real sweep)."""


def _unclear(rows: Rows) -> Iterator[Symptom]:
    """The mouth hardly follows the speech: the meter is not sure, or the match is low for this recording and portrait."""
    match, reasons = numbers_of(rows, "lip_match"), rows.text("sync_reason")
    known = np.isfinite(match) & ~relabelled(rows)
    if known.sum() < 40:
        return
    usual = np.where(known, match, np.nan)
    for name in INPUTS:
        words = rows.text(name)
        if words is not None:
            usual = usual - level(usual, words)
    spread = 1.4826 * float(np.nanmedian(np.abs(usual - np.nanmedian(usual))))
    low = usual < np.nanmedian(usual) - UNCLEAR * spread if spread > 0 else np.zeros(rows.n, bool)
    unsure = np.zeros(rows.n, bool) if reasons is None else reasons == "not_sure"
    yield Symptom("lips_unclear", known & (low | unsure), known, ("lip_match", "sync_confidence", "sync_reason"))


def _middle(values: Floats) -> float | None:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else None


FINDERS: tuple[Callable[[Rows], Iterator[Symptom]], ...] = (
    _relabelled, _lengths, _frozen, _failed, _lowered, _offsets, _coverage, _slow, _cache, _unclear,
)  # fmt: skip
