"""The meter judged by people: does it give more drift to the videos that they call bad?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.stats import rankdata

from analytics.questions.phrases import phrase
from analytics.questions.result import Finding, Interval
from analytics.questions.rows import column, numbers
from analytics.questions.sentences import Language, amount, interval
from analytics.questions.stats import normal_quantile

FEWEST = 5
"""With fewer bad or good videos the interval is wider than half of the scale."""


TINY = 1e-9
"""So far from 0 and 1, where the equation has roots that mean nothing."""


@dataclass(frozen=True, kw_only=True)
class Agreement(Finding):
    """`estimate`: of a bad and a good video, drawn at random, how often `measure` is greater for the bad one (0.5 = by chance).

    `bad`, `good`: videos scored -1 and 1 that have the measure; `undecided`: scored 0; `unmeasured`: judged, without the measure.
    """

    measure: str
    bad: int = 0
    good: int = 0
    undecided: int = 0
    unmeasured: int = 0

    def sentence(self, language: Language = "en") -> str:
        """What people say of the meter."""
        counts = {"measure": self.measure, "n": self.n, "bad": self.bad, "good": self.good, "unmeasured": self.unmeasured}
        if self.estimate is None:
            return phrase("agreement_few", language, **counts, fewest=FEWEST)
        shown = {"share": amount(self.estimate, "share"), "interval": interval(self.interval, "share", language)}
        return phrase("agreement" if self.verdict == "associated" else "agreement_chance", language, **counts, **shown)


def agreement(frame: pd.DataFrame, measure: str = "audio_drift_ms") -> Agreement:
    """The agreement of `user_score` with a measure of which more is worse. Raises KeyError where the frame lacks one of the two."""
    scores, values = numbers(column(frame, "user_score")), numbers(column(frame, measure))
    known = np.isfinite(values)
    bad, good = values[(scores == -1) & known], values[(scores == 1) & known]
    base = Agreement(
        n=len(bad) + len(good), verdict="too_few", unit="share", measure=measure, bad=len(bad), good=len(good),
        undecided=int((scores == 0).sum()), unmeasured=int((np.isin(scores, (-1, 1)) & ~known).sum()),
    )  # fmt: skip
    if min(len(bad), len(good)) < FEWEST:
        return base
    ranks = rankdata(np.concatenate([bad, good]))
    share = float((ranks[: len(bad)].sum() - len(bad) * (len(bad) + 1) / 2) / (len(bad) * len(good)))
    bounds = _bounds(share, len(bad), len(good))
    verdict = "associated" if bounds[0] > 0.5 or bounds[1] < 0.5 else "not_shown"
    return Agreement(**vars(base) | {"estimate": share, "interval": bounds, "verdict": verdict})


def _bounds(share: float, bad: int, good: int) -> Interval:
    """Newcombe's interval (2006, method 5): it keeps its width where the two groups are apart altogether."""
    z, middle = normal_quantile(0.95), (bad + good) / 2

    def apart(bound: float) -> float:
        more = (middle - 1) * ((1 - bound) / (2 - bound) + bound / (1 + bound))
        return (share - bound) ** 2 - z**2 * bound * (1 - bound) * (1 + more) / (bad * good)

    low = 0.0 if share <= 0 else float(brentq(apart, 0.0, min(share, 1 - TINY)))  # pyright: ignore[reportArgumentType]
    high = 1.0 if share >= 1 else float(brentq(apart, max(share, TINY), 1.0))  # pyright: ignore[reportArgumentType]
    return low, high
