"""Findings as sentences and as the JSON of `sonoscope analyze`."""

from __future__ import annotations

from typing import Any

from analytics.questions.effects import Effect
from analytics.questions.interactions import Interaction
from analytics.questions.recommend import Recommendation
from analytics.questions.report import OutcomeReport, Report
from analytics.questions.result import plain
from analytics.questions.schema import FAILURE
from analytics.questions.sentences import Language, adjusted, amount, interval, listed, number, say
from analytics.questions.threshold import Threshold


def outcome_name(name: str, language: Language = "en") -> str:
    """The outcome as a sentence calls it."""
    return say("failing", language) if name == FAILURE else name


def effect_sentence(one: Effect, language: Language = "en") -> str:
    """What is said about one parameter; with a second sentence where the unadjusted numbers point the other way."""
    asked = {"parameter": one.parameter, "outcome": outcome_name(one.outcome, language), "n": one.n}
    if one.verdict not in ("associated", "not_shown"):
        return say(one.verdict, language, **asked)
    if one.estimate is None:
        return say("not_shown_bare", language, **asked)
    numbers = {
        "change": amount(one.estimate, one.unit, signed=True),
        "interval": interval(one.interval, one.unit, language, change=True),
        "adjusted": adjusted(one.adjusted_for, language),
    }
    if one.verdict == "not_shown":
        return say("not_shown", language, **asked, **numbers)
    sentence = say(
        "effect_levels" if one.categorical else "effect_numeric", language, low=one.low, high=one.high, **asked, **numbers
    )
    if not one.simpson:
        return sentence
    reason = say("simpson_reason", language, confounder=one.simpson_by) if one.simpson_by else ""
    raw = amount(one.raw, one.unit, signed=True)
    bounds = interval(one.raw_interval, one.unit, language, change=True)
    return sentence + " " + say("simpson", language, **asked, raw=raw, interval=bounds, reason=reason)


def answered_sentence(one: Effect, missing: float, language: Language = "en") -> str:
    """That a parameter goes with whether the outcome is there at all."""
    return say(
        "answered", language, parameter=one.parameter, outcome=outcome_name(one.outcome, language), n=one.n,
        share=amount(missing, "share"),
        change=amount(one.estimate, "share", signed=True), interval=interval(one.interval, "share", language, change=True),
        adjusted=adjusted(one.adjusted_for, language),
    )  # fmt: skip


def threshold_sentence(one: Threshold, language: Language = "en") -> str:
    """Where a step or a hinge is; "" for other forms."""
    if one.kind not in ("step", "hinge") or one.interval is None:
        return ""
    low, high = (number(end, 4) for end in one.interval)
    return say(
        f"{one.kind}_{one.side}", language, parameter=one.parameter, outcome=outcome_name(one.outcome, language), n=one.n,
        rise=amount(one.rise, one.unit), at=number(one.at, 4), low=low, high=high, adjusted=adjusted(one.adjusted_for, language),
    )  # fmt: skip


def interaction_sentence(one: Interaction, language: Language = "en") -> str:
    """How one parameter's effect depends on the other, or that it is not shown."""
    a, b = one.pair
    if one.verdict != "associated":
        return say("interaction_not_shown", language, a=a, b=b, outcome=outcome_name(one.outcome, language), n=one.n)
    shared = {
        "a": a,
        "b": b,
        "outcome": outcome_name(one.outcome, language),
        "n": one.n,
        "change": amount(one.estimate, one.unit, signed=True),
    }
    shared["interval"] = interval(one.interval, one.unit, language, change=True)
    shared["adjusted"] = adjusted(one.adjusted_for, language)
    if one.ends is None:
        return say("interaction_levels", language, **shared)
    (a_low, a_high), (low, high) = one.ends
    return say("interaction", language, a_low=a_low, a_high=a_high, low=low, high=high, **shared)


def recommendation_sentence(one: Recommendation, unit: str, cost_unit: str, language: Language = "en") -> str:
    """Which settings went with the best outcome under the budget, and what is gained against the usual ones."""
    gain = ""
    if one.gain != 0:
        bounds = interval(one.gain_interval, unit, language, change=True)
        gain = say("recommend_gain", language, gain=amount(one.gain, unit, signed=True), interval=bounds)
    return say(
        "recommend", language, budget=f"{one.cost} ≤ {amount(one.budget, cost_unit)}", outcome=one.quality,
        settings=listed((f"{name} = {value}" for name, value in one.settings.items()), language),
        expected=amount(one.expected, unit),
        interval=interval(one.interval, unit, language), n=one.evidence_n, adjusted=adjusted(one.adjusted_for, language), gain=gain,
    )  # fmt: skip


def sentences(report: OutcomeReport, cost_unit: str = "s", language: Language = "en") -> list[str]:
    """Everything that was found about an outcome, then what was not."""
    found = sorted(report.effects, key=lambda one: (one.verdict != "associated", one.q if one.q is not None else 2.0))
    lines = [effect_sentence(one, language) for one in found]
    lines += [text for one in report.thresholds if (text := threshold_sentence(one, language))]
    lines += [interaction_sentence(one, language) for one in report.interactions if one.verdict == "associated"]
    if report.answered:
        missing = 1 - report.answered.share
        lines += [
            answered_sentence(one, missing, language)
            for one in report.answered.effects
            if one.verdict == "associated" and one.clear
        ]
    if report.recommendation:
        lines.append(recommendation_sentence(report.recommendation, report.unit, cost_unit, language))
    return lines


def to_json(report: Report, one: OutcomeReport, language: Language = "en") -> dict[str, Any]:
    """One outcome of a report as `sonoscope analyze --json` prints it."""
    asked = one.answered
    return plain(
        {
            "n": one.n, "outcome": one.column.name, "unit": one.unit, "tested": report.tested, "truncated": report.truncated,
            "effects": [_effect(effect, one, language) for effect in one.effects],
            "interactions": [{**pair.to_dict(), "sentence": interaction_sentence(pair, language)} for pair in one.interactions],
            "thresholds": [
                {
                    "parameter": found.parameter, "kind": found.kind, "at": found.at, "ci": found.interval, "rise": found.rise,
                    "side": found.side, "unit": found.unit, "n": found.n, "sentence": threshold_sentence(found, language),
                }
                for found in one.thresholds if found.kind in ("step", "hinge")
            ],
            "answered": asked and {
                "share": asked.share, "ci": asked.interval, "n": asked.n,
                "effects": [_effect(effect, None, language) for effect in asked.effects],
            },
            "tradeoff": [
                {
                    "settings": found.settings, "n": found.n, "on_front": found.on_front,
                    one.tradeoff.cost: {"estimate": found.cost, "ci": found.cost_interval},
                    one.tradeoff.quality: {"estimate": found.quality, "ci": found.quality_interval},
                }
                for found in one.tradeoff.settings
            ] if one.tradeoff else [],
            "recommendation": _recommendation(one.recommendation),
            "warnings": [*report.warnings, *one.warnings],
        }
    )  # fmt: skip


def _effect(one: Effect, report: OutcomeReport | None, language: Language) -> dict[str, Any]:
    bound = report.bounds.get(one.parameter) if report else None
    shape = next((found.kind for found in report.thresholds if found.parameter == one.parameter), None) if report else None
    return {
        "parameter": one.parameter, "n": one.n, "unit": one.unit, "from": one.low, "to": one.high,
        "raw": {"estimate": one.raw, "ci": one.raw_interval},
        "adjusted": {"estimate": one.estimate, "ci": one.interval, "for": list(one.adjusted_for)},
        "q": one.q, "p": one.p, "simpson": one.simpson, "simpson_by": one.simpson_by or None, "verdict": one.verdict,
        "rank": {"rho": one.rank, "ci": one.rank_interval}, "shape": shape, "unanswered_bound": bound,
        "odds_ratio": None if one.odds is None else {"estimate": one.odds, "ci": one.odds_interval}, "fisher_p": one.fisher,
        "levels": [
            {
                "level": level.level, "n": level.n, "estimate": level.estimate, "ci": level.interval,
                "difference": level.difference, "difference_ci": level.difference_interval,
            }
            for level in one.levels
        ],
        "warnings": list(one.warnings), "sentence": "" if report is None else effect_sentence(one, language),
    }  # fmt: skip


def _recommendation(one: Recommendation | None) -> dict[str, Any] | None:
    if one is None:
        return None
    return {
        "settings": one.values, "observed": one.settings, "evidence_n": one.evidence_n, "on_front": one.on_front,
        "expected": {
            one.quality: {"estimate": one.expected, "ci": one.interval},
            one.cost: {"estimate": one.expected_cost, "ci": one.cost_interval},
        },
        "gain": {"estimate": one.gain, "ci": one.gain_interval}, "budget": {one.cost: one.budget},
        "adjusted_for": list(one.adjusted_for),
    }  # fmt: skip
