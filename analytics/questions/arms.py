"""What a replay shows: the changed settings as one change, against the same requests as they were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from analytics.questions.experiment import AS_IT_WAS, Effect, experiment
from analytics.questions.result import plain
from analytics.questions.rows import column, numbers
from analytics.questions.schema import FAILURE, Schema

OUTCOMES = ("audio_drift_ms", "lip_match", "duration_drift_ms", "frozen_tail_ms", FAILURE, "latency_s", "device_s", "user_score")
"""What is asked of every experiment, as far as its rows have it."""
FIRST = ("audio_drift_ms",)
"""What is asked of an experiment unless somebody says otherwise: the false discovery rate is that of these alone; what else differs
is a second question."""
BUSY = ("overloaded", "rate_limited")
"""Refusals that say nothing of the settings: the request was sent again."""


@dataclass(frozen=True)
class Comparison:
    """One arm against another on one outcome: the typical values (medians) and the effect within blocks.

    `originals`: how many different requests (of a replay) or inputs stand behind the blocks; `before`: the median of the requests
    that were replayed, where they are among the rows.
    """

    effect: Effect
    median: float | None
    reference_median: float | None
    originals: int
    before: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """For JSON: the effect's fields, its sentence and what stands here."""
        more = {name: plain(getattr(self, name)) for name in ("median", "reference_median", "originals", "before")}
        return self.effect.to_dict() | more | {"word": self.effect.word, "sentence": self.effect.sentence()}


def families(mine: pd.DataFrame, first: Sequence[str]) -> list[list[str]]:
    """The outcomes that were asked about, as far as there are rows with them, and the others that these rows have."""
    rest = present(mine)
    asked = [name for name in first if name in mine and column(mine, name).notna().any()]
    return [asked, [name for name in rest if name not in asked]]


def arms(frame: pd.DataFrame, name: str, first: Sequence[str] = FIRST, *, seed: int = 0) -> list[Comparison]:
    """Every arm of an experiment against the arm "as it was" (the one of most rows where there is none), on each outcome.

    The outcomes of `first` are one family for q, those of OUTCOMES that the rows have beside them another. Empty where no row has
    an arm. Rows that were refused because the service was busy are left out.
    """
    mine = rows_of(frame, name)
    if mine.empty or "arm" not in mine or not column(mine, "arm").notna().any():
        return []
    return [
        _compared(frame, mine, one)
        for asked in families(mine, first)
        for one in experiment(mine, name, asked, by="arm", reference=AS_IT_WAS, seed=seed)
    ]


def rows_of(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """The rows of an experiment that say something: not those that were refused because the service was busy."""
    if "experiment" not in frame:
        return frame.iloc[:0]
    chosen = (column(frame, "experiment") == name).to_numpy(bool, na_value=False)
    if "error_type" in frame:
        chosen = chosen & ~column(frame, "error_type").isin(BUSY).to_numpy(bool)
    return frame.loc[chosen].reset_index(drop=True)


def present(mine: pd.DataFrame) -> list[str]:
    """Those of OUTCOMES that these rows have; `status` only where one of them failed."""
    schema = Schema.of(mine)
    there = [name for name in OUTCOMES if schema.get(name) is not None and column(mine, name).notna().any()]
    return [name for name in there if name != FAILURE or (column(mine, FAILURE) == "error").any()]


def _compared(frame: pd.DataFrame, mine: pd.DataFrame, effect: Effect) -> Comparison:
    here, there = (column(mine, "arm") == arm for arm in (effect.level, effect.reference))
    name, _, value = effect.level.partition("=")
    single = effect.reference == AS_IT_WAS and " " not in effect.level
    key = "replay_of" if "replay_of" in mine and column(mine, "replay_of").notna().any() else "block"
    originals = column(mine.loc[here | there], key).dropna().unique() if key in mine else []
    before = None
    if key == "replay_of" and "request_id" in frame:
        before = _median(frame.loc[column(frame, "request_id").isin(list(originals))], effect.outcome)
    medians = [_median(mine.loc[group], effect.outcome) for group in (here, there)]
    shown = replace(effect, factor=name, level=value) if single else replace(effect, factor="settings")
    return Comparison(shown, medians[0], medians[1], len(originals), before)


def _median(rows: pd.DataFrame, outcome: str) -> float | None:
    """The median; of `status` the share that failed. None without a value."""
    if outcome not in rows or rows.empty:
        return None
    if outcome == FAILURE:
        return float((column(rows, FAILURE) == "error").mean())
    values = numbers(column(rows, outcome))
    return float(np.nanmedian(values)) if np.isfinite(values).any() else None
