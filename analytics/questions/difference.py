"""One difference between the rows asked about and the rest: its shares, its bounds in round numbers, the examples that show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from analytics.questions.phrases import phrase
from analytics.questions.result import Finding
from analytics.questions.rows import Rows, Truth, column
from analytics.questions.scan import Item, Part
from analytics.questions.sentences import Language, adjusted, amount, interval, listed
from analytics.questions.stats import difference_interval, effective_n, share_interval
from telemetry.values import rfc3339

EXAMPLES = 3
Role = Literal["explanation", "goes along", "outcome"]


@dataclass(frozen=True, kw_only=True)
class Difference(Finding):
    """`estimate`: share of the rows asked about that have the value, less that of the others (unit `share`).

    `what` is it in words. `low`, `high`: bounds of a number's region, None where it is open. `rate_with`, `rate_without`: share of
    the rows with and without it that are asked about. `divergence`: see `contrast.divergence`. `same_as`: other words for the same
    rows. `alike_in`: better explanations that this one does not need. `explained_by`: the one that leaves nothing of this one.
    `parts`: the two of a pair. `examples`: ids of rows asked about that have it; `counterexamples`: of others that have it.
    """

    field: str
    kind: str
    value: Any
    what: str
    role: Role
    share_in: float
    share_out: float
    rate_with: float
    rate_without: float
    n_in: int
    n_out: int
    divergence: float
    low: Any = None
    high: Any = None
    same_as: tuple[str, ...] = ()
    alike_in: tuple[str, ...] = ()
    explained_by: str | None = None
    parts: tuple[dict[str, Any], ...] = ()
    examples: tuple[str, ...] = ()
    counterexamples: tuple[str, ...] = ()

    def sentence(self, language: Language = "en") -> str:
        """What differs by how much, and how it stands to the other differences."""
        said = phrase(
            "differs", language, what=self.named(self.what, language), share_in=amount(self.share_in, "share"),
            share_out=amount(self.share_out, "share"),
            change=amount(self.estimate, "share", signed=True), interval=interval(self.interval, "share", language),
            n=self.n, n_in=self.n_in, n_out=self.n_out, adjusted=adjusted(self.adjusted_for, language),
        )  # fmt: skip
        if self.same_as:
            said += phrase("same", language, names=listed((self.named(one, language) for one in self.same_as), language))
        if self.alike_in:
            said += phrase("also", language, names=listed((self.named(one, language) for one in self.alike_in), language))
        if self.explained_by:
            said += phrase("along", language, leader=self.named(self.explained_by, language))
        return said + (phrase("outcome", language) if self.role == "outcome" else "")

    @staticmethod
    def named(what: str, language: Language) -> str:
        """`host = h3 and fps = 30 frames/s`; in Chinese with its own word between the two."""
        return what.replace(" and ", " 且 ") if language == "zh" else what

    def to_dict(self) -> dict[str, Any]:
        """As JSON, with the sentence in both languages."""
        return {**super().to_dict(), "sentence": self.sentence(), "sentence_zh": self.sentence("zh")}


def difference(
    item: Item,
    rows: Rows,
    asked: Truth,
    *,
    q: float,
    divergence: float,
    role: Role,
    same: tuple[Item, ...] = (),
    alike: tuple[Item, ...] = (),
    leader: Item | None = None,
    stands: tuple[float, float] = (1.0, 1.0),
) -> Difference:
    """The result of one explanation over the rows that can be asked about it. `stands`: see `contrast`."""
    known, mask, w = np.logical_and.reduce([part.known for part in item.parts]), item.mask, rows.weights
    all_w = w * np.where(asked, *stands)
    shares = [_share(mask[group], w[group]) for group in (known & asked, known & ~asked)]
    rates = [_share(asked[group], all_w[group])[0] for group in (known & mask, known & ~mask)]
    change, bounds = difference_interval(shares[1], shares[0])
    parts = [described(part) for part in item.parts]
    pair = len(parts) > 1
    return Difference(
        n=int(known.sum()), verdict="associated", unit="share", estimate=change, interval=bounds, q=q,
        field=item.field, kind="pair" if pair else parts[0]["kind"], what=words(item),
        value=" & ".join(str(part["value"]) for part in parts) if pair else parts[0]["value"],
        low=None if pair else parts[0]["low"], high=None if pair else parts[0]["high"], parts=tuple(parts) if pair else (),
        role=role, share_in=shares[0][0], share_out=shares[1][0], rate_with=rates[0], rate_without=rates[1],
        n_in=int((known & asked).sum()), n_out=int((known & ~asked).sum()), divergence=divergence,
        same_as=tuple(words(other) for other in same), alike_in=tuple(words(other) for other in alike),
        explained_by=words(leader) if leader else None,
        examples=_ids(rows, mask & asked), counterexamples=_ids(rows, mask & ~asked),
    )  # fmt: skip


def words(item: Item) -> str:
    """`host = h3`, `audio_s >= 20 s`, `department = film and fps = 30 frames/s`."""
    return " and ".join(_words(described(part), part) for part in item.parts)


def described(part: Part) -> dict[str, Any]:
    """`field`, `kind`, `value` (a text for a region, else the value itself), `low`, `high` of a part."""
    coded = part.coded
    if coded.values is None:
        return {"field": coded.field, "kind": "categorical", "value": coded.levels[part.first - 1], "low": None, "high": None}
    low, high = _bounds(part)
    if coded.kind == "time":
        low, high = (None if bound is None else _moment(bound) for bound in (low, high))
    shown = [bound if isinstance(bound, str) or bound is None else f"{bound:.10g}" for bound in (low, high)]
    value: Any = f"{shown[0]} to {shown[1]}"
    if low is None or high is None:
        value = f"<= {shown[1]}" if low is None else f">= {shown[0]}"
    elif low == high:
        value = low
    return {"field": coded.field, "kind": coded.kind, "value": value, "low": low, "high": high}


def _moment(at: float) -> str:
    return rfc3339(round(at) * 1_000_000_000).replace(".000000000", "")


def _words(made: dict[str, Any], part: Part) -> str:
    value, unit = made["value"], f" {part.coded.unit}" if part.coded.unit else ""
    if isinstance(value, float):
        value = f"{value:.10g}"
    if part.coded.values is None or made["low"] == made["high"]:
        return f"{made['field']} = {value}{unit}"
    return f"{made['field']} {value}{unit}"


def _bounds(part: Part) -> tuple[float | None, float | None]:
    """Round numbers between the region and its neighbours; None on an open side."""
    values = part.coded.values
    assert values is not None
    below, above = values[values < part.low], values[values > part.high]
    if part.low == part.high:
        return part.low, part.high
    low = roundest(float(below.max()), part.low, part.low) if len(below) else None
    high = roundest(part.high, float(above.min()), part.high) if len(above) else None
    return low, high


def roundest(low: float, high: float, own: float) -> float:
    """The number with fewest digits that still separates: `own` (one of the two ends) or what lies between them."""
    for digits in range(-12, 16):
        made = round(own, digits)
        inside = low < made <= high if own == high else low <= made < high
        if inside:
            return made
    return own


def _share(values: Truth, weights: np.ndarray) -> tuple[float, tuple[float, float]]:
    if not len(values):
        return 0.0, (0.0, 1.0)
    n = effective_n(weights)
    share = float(weights @ values / weights.sum())
    return share, share_interval(share * n, n)[1]


def _ids(rows: Rows, chosen: Truth) -> tuple[str, ...]:
    """The first rows' request ids, or their numbers where the frame has no ids."""
    found = np.flatnonzero(chosen)[:EXAMPLES]
    if "request_id" not in rows.frame:
        return tuple(f"row {k}" for k in found)
    return tuple(str(id) for id in column(rows.frame, "request_id").iloc[found])
