"""How often a rule held before: n, a share with its interval, the rest to compare with, and the counter-examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from analytics.questions.result import Interval, plain
from analytics.questions.sentences import Language, amount, interval
from analytics.questions.stats import share_interval
from analytics.rules.schema import Rule

NAMED = 3
"""Counter-examples that are named, the newest first."""

_SAID: dict[str, dict[Language, str]] = {
    "followed": {
        "en": "Of {n} earlier requests in which this was so, {held} had {what}: {share} ({interval}); of the others {rest}.",
        "zh": "此前符合该条件的 {n} 个请求中，{held} 个出现 {what}：{share}（{interval}）；其余请求中为 {rest}。",
    },
    "alike": {
        "en": "Of {n} earlier requests{alike}, {held} showed the same: {share} ({interval}).",
        "zh": "此前{alike}的 {n} 个请求中，{held} 个出现同样情况：{share}（{interval}）。",
    },
    "group": {
        "en": "Of {n} requests with {what}, {held} are so: {share} ({interval}); of the others {rest}.",
        "zh": "{what} 的 {n} 个请求中，{held} 个如此：{share}（{interval}）；其余请求中为 {rest}。",
    },
    "alike_in": {"en": " with the same {names}", "zh": "与其 {names} 相同"},
    "alike_none": {"en": "", "zh": "同类"},
    "never": {"en": "There is no earlier request to compare with (n = 0).", "zh": "没有可比较的此前请求（n = 0）。"},
    "counter": {"en": " Counter-examples: {ids}.", "zh": " 反例：{ids}。"},
}


@dataclass(frozen=True)
class Evidence:
    """`held` of `n` requests; `rest`: the same share among the others, None where it was not asked. `counter`: ids of requests in
    which the rule did not hold. Rows count once each, whatever they weigh: ids are shown, not estimates of all traffic."""

    rule: Rule
    n: int
    held: int
    rest: float | None = None
    value: str | None = None
    counter: tuple[str, ...] = ()

    @property
    def share(self) -> tuple[float, Interval]:
        """The share that held, and its 95 % interval (Wilson); NaN where n is 0."""
        return share_interval(self.held, self.n)

    def sentence(self, language: Language = "en") -> str:
        """How often it held before, with the counter-examples."""
        if not self.n:
            return _SAID["never"][language]
        share, bounds = self.share
        rest = "–" if self.rest is None else amount(self.rest, "share")
        numbers = {"n": self.n, "held": self.held, "share": amount(share, "share"), "rest": rest}
        numbers["interval"] = interval(bounds, "share", language)
        kind, what = "alike", ""
        if self.rule.group is not None:
            kind, what = "group", f"{self.rule.group.by} = {self.value}"
        elif self.rule.expect is not None:
            kind, what = "followed", self.rule.expect
        alike = _SAID["alike_in" if self.rule.same else "alike_none"][language].format(names=", ".join(self.rule.same))
        counter = _SAID["counter"][language].format(ids=", ".join(self.counter)) if self.counter else ""
        return _SAID[kind][language].format(what=what, alike=alike, **numbers) + counter

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        share, bounds = self.share
        numbers = {"n": self.n, "held": self.held, "counter_examples": self.n - self.held, "share": share, "interval": bounds}
        more = {"rest": self.rest, "value": self.value, "counter": self.counter, "sentence": self.sentence()}
        return plain(numbers | more)
