"""For one failure: the nearest earlier ones that read the same, and what they have in common that other requests have not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats as scipy_stats

from analytics.questions.patterns import masked
from analytics.questions.phrases import phrase
from analytics.questions.result import ALPHA, Finding
from analytics.questions.rows import Rows, column, moments, observe
from analytics.questions.sentences import Language, amount
from analytics.questions.stats import benjamini_hochberg

FIELDS = ("replica", "host", "device", "model_name", "model_version", "encoder", "department", "owner_hash", "client_hash",
          "source_prefix", "portrait_hash", "audio_hash", "image_hash", "input_format", "inference_steps", "dynamic_scale",
          "min_resolution", "expand_ratio", "fps", "keep_resolution")  # fmt: skip
"""Where failures may be alike: who asked, for what, with which settings, and where it ran."""
NEAREST = 10
COMMON = 0.8
"""Share of the like failures from which on a value is something that they have in common."""


@dataclass(frozen=True)
class Shared:
    """A value that the failures have in common: `share` of them, against `rest` of all other requests."""

    field: str
    value: str
    share: float
    rest: float
    q: float


@dataclass(frozen=True, kw_only=True)
class Similar(Finding):
    """`nearest`: `request_id`, `started_at` and `alike` (the fields in which it is as this one), the most alike first, then the
    newest. `common`: what this one and the n earlier failures have in common, the most telling first."""

    template: str = ""
    nearest: tuple[dict[str, Any], ...] = ()
    common: tuple[Shared, ...] = ()

    def sentence(self, language: Language = "en") -> str:
        """How many came before, and what they share."""
        if not self.n:
            return phrase("similar_none", language, template=self.template)
        shared = "; ".join(
            f"{one.field} = {one.value} ({amount(one.share, 'share')} / {amount(one.rest, 'share')})" for one in self.common[:4]
        )
        return phrase("similar" if shared else "similar_apart", language, n=self.n, template=self.template, shared=shared)


def similar(frame: pd.DataFrame, row: Mapping[str, Any], *, truncated: bool = False) -> Similar:
    """`row`: a failed request (its request_id must be in the frame). Others of its operation with the same error type, failed stage
    and masked message are like it; only those that began before it count. Raises KeyError where it is not in the frame."""
    rows = observe(frame)
    ids = rows.text("request_id")
    place = None if ids is None else np.flatnonzero(ids == row["request_id"])
    if place is None or not len(place):
        raise KeyError(f"{row['request_id']} is not among the rows")
    this = int(place[0])
    operation = rows.text("operation")
    same_work = np.ones(rows.n, bool) if operation is None else operation == operation[this]
    template = masked(str(row.get("error_message") or ""))
    like = same_work & _reads_the_same(rows, this, template)
    earlier = like & (np.arange(rows.n) != this) & (_at(rows) <= _at(rows)[this])
    words = {name: found for name in FIELDS if (found := rows.text(name)) is not None}
    base = Similar(n=int(earlier.sum()), verdict="associated" if earlier.any() else "no_data", template=template,
                   truncated=truncated, warnings=rows.warnings)  # fmt: skip
    if not earlier.any():
        return base
    return Similar(**{**base.__dict__, "nearest": _nearest(rows, words, earlier, this),
                      "common": _common(words, same_work, like, earlier, this)})  # fmt: skip


def _reads_the_same(rows: Rows, this: int, template: str) -> np.ndarray:
    found = np.ones(rows.n, bool)
    for name in ("error_type", "failed_stage"):
        if (words := rows.text(name)) is not None:
            found &= words == words[this]
    messages = rows.text("error_message")
    if messages is not None:
        places = np.flatnonzero(found)
        found[places] = [masked(messages[place] or "") == template for place in places]
    return found


def _at(rows: Rows) -> np.ndarray:
    return moments(column(rows.frame, "started_at"))


def _nearest(rows: Rows, words: Mapping[str, np.ndarray], earlier: np.ndarray, this: int) -> tuple[dict[str, Any], ...]:
    at, ids = _at(rows), rows.text("request_id")
    assert ids is not None
    found = [
        {"request_id": ids[place], "started_at": rows.frame["started_at"].iloc[place],
         "alike": tuple(name for name, value in words.items() if value[this] is not None and value[place] == value[this])}
        for place in np.flatnonzero(earlier)[np.argsort(-at[earlier], kind="stable")]
    ]  # fmt: skip
    return tuple(sorted(found, key=lambda one: -len(one["alike"]))[:NEAREST])


def _common(
    words: Mapping[str, np.ndarray], same_work: np.ndarray, like: np.ndarray, earlier: np.ndarray, this: int
) -> tuple[Shared, ...]:
    """Fisher's exact test of each value of this one, among the like failures against the other requests of the operation."""
    group = earlier.copy()
    group[this] = True
    others = same_work & ~like
    asked: list[tuple[str, Any, float, float]] = []
    ps: list[float] = []
    for name, value in words.items():
        if value[this] is None or not others.any():
            continue
        hit = value == value[this]
        a, b = int((hit & group).sum()), int((hit & others).sum())
        n, m = int(group.sum()), int(others.sum())
        asked.append((name, value[this], a / n, b / m))
        ps.append(float(scipy_stats.hypergeom.sf(a - 1, n + m, a + b, n)))
    tested = zip(asked, benjamini_hochberg(ps), strict=True)
    found = [Shared(*one, q=q) for one, q in tested if q is not None and q < ALPHA and one[2] >= COMMON]
    return tuple(sorted(found, key=lambda one: one.rest - one.share))
