"""Is there a step, a hinge or a straight line, and where? Everything else is held fixed first.

Each form is fitted by least squares to the outcome with the other columns held at their mean; a step or a hinge is reported where
it beats the line, a smooth bend and the other by Schwarz's criterion with strong evidence. Its interval is the set of places that a
likelihood ratio does not reject (Hansen, Econometrica 68, 2000; conservative for a step of fixed size).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from analytics.questions.adjust import Model, inverse
from analytics.questions.effects import SEPARABLE, Effect
from analytics.questions.notes import note
from analytics.questions.outcome import Outcome
from analytics.questions.result import Interval
from analytics.questions.schema import Column
from analytics.questions.stats import Floats, effective_n

Shape = Literal["step", "hinge", "line", "curve", "unclear"]

LEAST = 100
"""Rows (effective) below which no place is named: each side of a step would rest on few requests."""
SIDE = 20
"""Rows that each side needs, and at least EDGE of all."""
EDGE = 0.05
VALUES = 5
"""Distinct values: with fewer every form fits."""
STRONG = 6.0
"""Difference in Schwarz's criterion that counts as strong evidence (Kass and Raftery, 1995)."""
CRITICAL = 7.35
"""Hansen (2000), table 1: 95 % point of the likelihood ratio for the place."""
NARROW = 0.2
"""An interval wider than this share of the observed range names no place."""
CANDIDATES = 100


@dataclass(frozen=True)
class Threshold:
    """The form of one parameter's effect. For a step or a hinge: `at`, its interval, and `rise`, by how much (in the outcome's
    unit) the outcome is higher on the higher side (of a hinge: at the far end, its 5th or 95th percentile). A step is at the first
    value that belongs to its upper side. `side`: where the outcome is higher."""

    parameter: str
    outcome: str
    kind: Shape
    n: int
    unit: str = ""
    at: float | None = None
    interval: Interval | None = None
    rise: float | None = None
    side: Literal["below", "above"] | None = None
    adjusted_for: tuple[str, ...] = ()
    warning: str = ""


def threshold(outcome: Outcome, column: Column, effect: Effect) -> Threshold:
    """The form of an effect that was found; `unclear`, with the reason, where the evidence is thin."""
    asked = {"parameter": column.name, "outcome": outcome.name, "unit": outcome.unit, "adjusted_for": effect.adjusted_for}
    model = outcome.model
    if model is None or effect.categorical or effect.verdict != "associated" or effect.estimate is None:
        return Threshold(kind="unclear", n=effect.n, warning=note("no_association"), **asked)
    values = outcome.rows.numbers(column.name)
    known = ~np.isnan(values)
    x, y, w = values[known], model.partial(column.name)[known], model.weights[known]
    n = effective_n(w)
    if n < LEAST or len(np.unique(x)) < VALUES:
        return Threshold(kind="unclear", n=len(x), warning=note("few_for_form"), **asked)
    deflated = n / max(_repeats(outcome, known, y, w), 1.0)
    found = _judged(_Forms(x, y, w, deflated), asked)
    if found.at is None or _own(model, column, values, found.kind, found.at) >= SEPARABLE:
        return found
    return Threshold(kind="unclear", n=len(x), warning=note("others_step", name=column.name, at=f"{found.at:.4g}"), **asked)


def _own(model: Model, column: Column, values: Floats, kind: Shape, at: float) -> float:
    """The share of the step's (or hinge's) variance that the other columns leave to it."""
    known = ~np.isnan(values)
    form = (values >= at).astype(float) if kind == "step" else np.maximum(values - at, 0.0)
    return model.fit(np.where(known, form, 0.0)[:, None], frozenset({column.name}), None if known.all() else known).left


@dataclass(frozen=True)
class _Forms:
    """The rivals over one parameter; `n` is what the rows tell, repeated inputs counted down."""

    x: Floats
    y: Floats
    w: Floats
    n: float

    def misfit(self, columns: list[Floats]) -> float:
        """Weighted sum of squares that a constant and these columns leave."""
        x, total = np.column_stack(columns), self.w.sum()
        x, y = x - self.w @ x / total, self.y - float(self.w @ self.y) / total
        weighted = x * self.w[:, None]
        told = weighted.T @ y
        return float(self.w @ y**2 - told @ inverse(x.T @ weighted) @ told)

    def criterion(self, misfit: float, terms: int) -> float:
        """Schwarz's criterion: less is better."""
        return self.n * np.log(max(misfit, 1e-300) / len(self.x)) + terms * np.log(self.n)

    def cuts(self) -> Floats:
        """Values at which the upper side may begin, each side with enough rows."""
        levels, counts = np.unique(self.x, return_counts=True)
        below = np.cumsum(counts)[:-1]
        least = max(SIDE, EDGE * len(self.x))
        cuts = levels[1:][(below >= least) & (len(self.x) - below >= least)]
        if len(cuts) > CANDIDATES:
            cuts = np.unique(np.quantile(cuts, np.linspace(0, 1, CANDIDATES), method="nearest"))
        return cuts


def _repeats(outcome: Outcome, known: np.ndarray, y: Floats, w: Floats) -> float:
    """By how much repeated inputs inflate the variance of a mean of the residuals (a design effect, at least 1)."""
    model = outcome.model
    assert model is not None
    residual = model.residual[known] * w
    by_input = np.bincount(model.clusters[known], residual)
    return float((by_input**2).sum() / max((residual**2).sum(), 1e-300))


def _judged(forms: _Forms, asked: dict) -> Threshold:
    cuts = forms.cuts()
    if len(cuts) < 2:
        return Threshold(kind="unclear", n=len(forms.x), warning=note("nearly_one_value"), **asked)
    steps = np.array([forms.misfit([(forms.x >= cut).astype(float)]) for cut in cuts])
    left = np.array([forms.misfit([np.minimum(forms.x - cut, 0)]) for cut in cuts])
    right = np.array([forms.misfit([np.maximum(forms.x - cut, 0)]) for cut in cuts])
    centred = forms.x - forms.x.mean()
    line = forms.criterion(forms.misfit([centred]), 2)
    curve = forms.criterion(forms.misfit([centred, centred**2, centred**3]), 4)
    bent = left if left.min() <= right.min() else right
    scores = {"step": forms.criterion(float(steps.min()), 3), "hinge": forms.criterion(float(bent.min()), 3)}
    kind: Shape = min(("step", "hinge"), key=lambda name: scores[name])
    if scores[kind] > line - STRONG:
        return Threshold(kind="line" if line < curve + STRONG else "curve", n=len(forms.x), **asked)
    if scores[kind] > curve - STRONG or abs(scores["step"] - scores["hinge"]) < STRONG:
        return Threshold(kind="curve", n=len(forms.x), warning=note("bends"), **asked)
    return _placed(forms, kind, cuts, steps if kind == "step" else bent, bent is left, asked)


def _placed(forms: _Forms, kind: Shape, cuts: Floats, misfits: Floats, bends_left: bool, asked: dict) -> Threshold:
    at = float(cuts[misfits.argmin()])
    ratio = forms.n * (misfits - misfits.min()) / misfits.min()
    likely = cuts[ratio <= CRITICAL]
    levels = np.unique(forms.x)
    # Between the last value below and the first above, the data cannot say where the step is.
    low, high = float(levels[np.searchsorted(levels, likely[0]) - 1]), float(likely[-1])
    if kind == "hinge":
        low = float(likely[0])
    found = {**asked, "n": len(forms.x)}
    inner = np.quantile(forms.x, [EDGE, 1 - EDGE])
    if high - low > NARROW * (inner[1] - inner[0]) and len(likely) > 1:
        return Threshold(kind="unclear", warning=note("somewhere"), **found)
    if kind == "step":
        above = forms.x >= at
        change = _mean(forms, above) - _mean(forms, ~above)
    else:
        bend = np.minimum(forms.x - at, 0) if bends_left else np.maximum(forms.x - at, 0)
        slope = float(np.polyfit(bend, forms.y, 1, w=np.sqrt(forms.w))[0])
        change = slope * (at - inner[0]) if bends_left else slope * (inner[1] - at)
    side = "above" if change > 0 else "below"
    return Threshold(kind=kind, at=at, interval=(low, high), rise=abs(float(change)), side=side, **found)


def _mean(forms: _Forms, rows: np.ndarray) -> float:
    return float(forms.w[rows] @ forms.y[rows] / forms.w[rows].sum())
