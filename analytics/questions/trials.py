"""The experiments among request rows: what was tried in each, and two of them against each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import pandas as pd

from analytics.filters import Filter
from analytics.questions.arms import FIRST, OUTCOMES, Comparison, arms, families, rows_of
from analytics.questions.experiment import AS_IT_WAS, Effect, experiment, experiments, factors
from analytics.questions.prepare import truth
from analytics.questions.rows import column
from analytics.questions.schema import Schema
from analytics.requests import Joined
from telemetry import fields

DRAWN = ("seed", "duration_s")
"""Parameters that are not what a trial is about: two runs that differ in these only were asked the same."""

COLUMNS = (
    "request_id", "attempt", "weight", "experiment", "block", "arm", "replay_of", "randomized", "error_type", "started_at",
    "ended_at", "portrait_hash", "audio_hash", "audio_offset_ms", *OUTCOMES, *fields.names("parameter"),
)  # fmt: skip
"""What the questions here read of a row, and what stands under a video."""


@dataclass(frozen=True)
class Trial:
    """One experiment: how many requests in how many blocks, which arms (by their number of requests) and which parameters varied.

    `randomized`: every row says that it was drawn at random. Times are UTC.
    """

    name: str
    requests: int
    failed: int
    blocks: int
    arms: dict[str, int]
    factors: tuple[str, ...]
    randomized: bool
    replay: bool
    started_at: datetime | None
    ended_at: datetime | None


def experiment_rows(view: Joined, where: Filter | None = None) -> pd.DataFrame:
    """The COLUMNS of every request that passes a filter and belongs to an experiment, or was replayed in one."""
    view.choose(COLUMNS, where)
    query = "SELECT * FROM chosen WHERE experiment IS NOT NULL OR request_id IN (SELECT replay_of FROM chosen)"
    return view.rows(query).to_pandas()


def whole_rows(view: Joined, *names: str) -> pd.DataFrame:
    """Every column of the requests of these experiments, and of those that were replayed in them."""
    mine = "experiment IN (SELECT unnest($names))"
    query = f"SELECT * FROM requests WHERE {mine} OR request_id IN (SELECT replay_of FROM requests WHERE {mine})"
    return view.rows(query, {"names": list(names)}).to_pandas()


def trials(frame: pd.DataFrame) -> list[Trial]:
    """Every experiment among the rows, the newest first."""
    found = [_trial(rows_of(frame, name), name) for name in experiments(frame)]
    return sorted(found, key=lambda one: (one.started_at is not None, one.started_at, one.name), reverse=True)


def effects(frame: pd.DataFrame, name: str, first: Sequence[str] = FIRST, *, seed: int = 0) -> list[Comparison | Effect]:
    """What an experiment shows: its arms where one is "as it was" (a replay, a share of the traffic), else each parameter that
    varied. Empty where it has no rows. In traffic clients vary other parameters too, and nobody has drawn those at random.

    `first`: the outcomes that were asked about, see `analytics.questions.arms.arms`.
    """
    mine = rows_of(frame, name)
    if _against_as_it_was(mine):
        return list(arms(frame, name, first, seed=seed))
    return [one for asked in families(mine, first) for one in experiment(mine, name, asked, seed=seed)]


def versus(frame: pd.DataFrame, one: str, other: str, first: Sequence[str] = FIRST, *, seed: int = 0) -> list[Effect]:
    """The other experiment against the one, paired where input and settings are the same. Never a cause: what else changed
    between the two is not known."""
    both = pd.concat([rows_of(frame, name) for name in (one, other)], ignore_index=True)
    if both.empty:
        return []
    names = [name for name in fields.names("parameter") if name in both and name not in DRAWN]
    keys = [name for name in ("portrait_hash", "audio_hash", *names) if name in both]
    block = both[keys].astype(str).agg("|".join, axis=1)
    paired = both.assign(arm=column(both, "experiment"), block=block, experiment="versus", randomized=False, replay_of=None)
    return [
        replace(found, factor="experiment")
        for asked in families(both, first)
        for found in experiment(paired, "versus", asked, by="arm", reference=one, seed=seed)
    ]


def _against_as_it_was(mine: pd.DataFrame) -> bool:
    replay = "replay_of" in mine and column(mine, "replay_of").notna().any()
    return bool(replay or ("arm" in mine and (column(mine, "arm") == AS_IT_WAS).any()))


def _changed(mine: pd.DataFrame) -> tuple[str, ...]:
    """The parameters that varied in an experiment; against "as it was" those that the other arms name."""
    found = tuple(one.name for one in factors(mine, Schema.of(mine)))
    if not _against_as_it_was(mine) or "arm" not in mine:
        return found
    named = {part.partition("=")[0] for arm in column(mine, "arm").dropna().unique() for part in str(arm).split()}
    return tuple(name for name in found if name in named)


def _trial(mine: pd.DataFrame, name: str) -> Trial:
    def values(field: str) -> pd.Series:
        return column(mine, field).dropna() if field in mine else pd.Series(dtype=object)

    started, ended = values("started_at"), values("ended_at")
    counts = values("arm").value_counts()
    return Trial(
        name=name,
        requests=len(mine),
        failed=int((values("status") == "error").sum()),
        blocks=int(values("block").nunique()),
        arms={str(arm): int(count) for arm, count in counts.items()},
        factors=_changed(mine),
        randomized="randomized" in mine and bool((truth(column(mine, "randomized")) == 1.0).all()) and len(mine) > 0,
        replay=not values("replay_of").empty,
        started_at=started.min() if len(started) else None,
        ended_at=ended.max() if len(ended) else None,
    )
