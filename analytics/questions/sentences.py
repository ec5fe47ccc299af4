"""The words of every answer, English and Chinese, in one table.

The contract: a sentence that reports an effect names n, the effect with its unit, the interval, and what it was adjusted for. It
says "goes with", never "causes": only the result of a randomised experiment may (`causal=True`). `lint` holds a text to that.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any, Literal, get_args

from analytics.questions.result import Interval

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = get_args(Language)

TEMPLATES: dict[str, dict[Language, str]] = {
    "effect_numeric": {
        "en": "{parameter} from {low} to {high} goes with {outcome} {change} ({interval}; n = {n}; {adjusted}).",
        "zh": "{parameter} 从 {low} 到 {high} 时，{outcome} 相应变化 {change}（{interval}；n = {n}；{adjusted}）。",
    },
    "effect_levels": {
        "en": "{parameter} = {high} against {low} goes with {outcome} {change} ({interval}; n = {n}; {adjusted}).",
        "zh": "{parameter} = {high} 与 {low} 相比，{outcome} 相差 {change}（{interval}；n = {n}；{adjusted}）。",
    },
    "not_shown": {
        "en": "No association of {parameter} with {outcome} is shown: {change} ({interval}; n = {n}; {adjusted}).",
        "zh": "未显示 {parameter} 与 {outcome} 相关：{change}（{interval}；n = {n}；{adjusted}）。",
    },
    "not_shown_bare": {
        "en": "No association of {parameter} with {outcome} is shown (n = {n}).",
        "zh": "未显示 {parameter} 与 {outcome} 相关（n = {n}）。",
    },
    "too_few": {
        "en": "Too few requests to say whether {parameter} goes with {outcome} (n = {n}).",
        "zh": "请求太少，无法判断 {parameter} 与 {outcome} 是否相关（n = {n}）。",
    },
    "never_varied": {
        "en": "{parameter} never varied, so nothing can be said about it (n = {n}).",
        "zh": "{parameter} 从未变化，无法得出结论（n = {n}）。",
    },
    "no_data": {"en": "There are no requests with {outcome} (n = 0).", "zh": "没有含 {outcome} 的请求（n = 0）。"},
    "simpson": {
        "en": "Unadjusted, {parameter} points the other way: {raw} ({interval}; n = {n}; not adjusted){reason}.",
        "zh": "未调整时 {parameter} 的方向相反：{raw}（{interval}；n = {n}；未调整）{reason}。",
    },
    "simpson_reason": {"en": "; {confounder} accounts for it", "zh": "；{confounder} 的差异可以解释"},
    "step_below": {
        "en": "{outcome} steps up by {rise} below {parameter} = {at} (between {low} and {high}, 95 %; n = {n}; {adjusted}).",
        "zh": "{parameter} 低于 {at} 时，{outcome} 突增 {rise}（95 % 区间 {low} 到 {high}；n = {n}；{adjusted}）。",
    },
    "step_above": {
        "en": "{outcome} steps up by {rise} from {parameter} = {at} on (between {low} and {high}, 95 %; n = {n}; {adjusted}).",
        "zh": "{parameter} 达到 {at} 起，{outcome} 突增 {rise}（95 % 区间 {low} 到 {high}；n = {n}；{adjusted}）。",
    },
    "hinge_below": {
        "en": "{outcome} rises by {rise} towards low values below {parameter} = {at} "
        "(between {low} and {high}, 95 %; n = {n}; {adjusted}).",
        "zh": "{parameter} 低于 {at} 后，越低 {outcome} 越高，共升 {rise}（95 % 区间 {low} 到 {high}；n = {n}；{adjusted}）。",
    },
    "hinge_above": {
        "en": "{outcome} rises by {rise} towards high values above {parameter} = {at} "
        "(between {low} and {high}, 95 %; n = {n}; {adjusted}).",
        "zh": "{parameter} 高于 {at} 后，越高 {outcome} 越高，共升 {rise}（95 % 区间 {low} 到 {high}；n = {n}；{adjusted}）。",
    },
    "interaction": {
        "en": "What {a} goes with depends on {b}: with {b} at {high} instead of {low}, {outcome} changes by {change} more "
        "as {a} goes from {a_low} to {a_high} ({interval}; n = {n}; {adjusted}).",
        "zh": "{a} 与 {outcome} 的关系取决于 {b}：{b} 为 {high} 而非 {low} 时，{a} 从 {a_low} 到 {a_high}，{outcome} "
        "多变化 {change}（{interval}；n = {n}；{adjusted}）。",
    },
    "interaction_levels": {
        "en": "What {a} goes with depends on {b} ({outcome} differs by up to {change}, {interval}; n = {n}; {adjusted}).",
        "zh": "{a} 与 {outcome} 的关系取决于 {b}（差异最多 {change}，{interval}；n = {n}；{adjusted}）。",
    },
    "interaction_not_shown": {
        "en": "That {a} and {b} act together on {outcome} is not shown (n = {n}).",
        "zh": "未显示 {a} 与 {b} 对 {outcome} 有交互作用（n = {n}）。",
    },
    "answered": {
        "en": "{outcome} is missing in {share} of the requests that ended well, and {parameter} goes with whether it is there: "
        "{change} ({interval}; n = {n}; {adjusted}).",
        "zh": "成功的请求中有 {share} 没有 {outcome}，且 {parameter} 与其是否缺失相关："
        "{change}（{interval}；n = {n}；{adjusted}）。",
    },
    "recommend": {
        "en": "Within {budget}, {settings} went with the best {outcome}: {expected} ({interval}; n = {n}; {adjusted}){gain}.",
        "zh": "在 {budget} 之内，{settings} 对应的 {outcome} 最好：{expected}（{interval}；n = {n}；{adjusted}）{gain}。",
    },
    "recommend_gain": {
        "en": "; {gain} against the usual settings ({interval})",
        "zh": "；与常用设置相比 {gain}（{interval}）",
    },
    "interval": {"en": "95 % interval {low} to {high}", "zh": "95 % 区间 {low} 到 {high}"},
    "adjusted": {"en": "adjusted for {names}", "zh": "已按 {names} 调整"},
    "failing": {"en": "the share of failed requests", "zh": "失败请求的比例"},
    "unadjusted": {"en": "not adjusted", "zh": "未调整"},
}  # fmt: skip

_CAUSAL = re.compile(
    r"\b(cause[sd]?|causing|because|leads? to|results? in|due to|makes?|improves?|reduces?)\b|导致|引起|造成|因为",
    re.IGNORECASE,
)


def say(key: str, language: Language = "en", **values: Any) -> str:
    """The sentence of a template with its values. Raises KeyError where the template or a value is missing."""
    return TEMPLATES[key][language].format(**values)


def number(value: float | str | None, digits: int = 3) -> str:
    """With the digits that matter and no exponent below a million; a text stays what it is."""
    if value is None or isinstance(value, str):
        return "-" if value is None else value
    if not math.isfinite(value):
        return "-"
    if value == 0:
        return "0"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:.{min(places, 12)}f}" if abs(value) < 1e6 else f"{value:.{digits}g}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def amount(value: float | None, unit: str = "", *, signed: bool = False) -> str:
    """A number with its unit, such as `12.5 ms`; a share (unit `share`) as percentage, its change in percentage points."""
    if value is None or not math.isfinite(value):
        return "-"
    scaled, word = (value * 100, "pp" if signed else "%") if unit == "share" else (value, unit)
    sign = "+" if signed and value > 0 else ""
    return f"{sign}{number(scaled)} {word}".rstrip()


def interval(bounds: Interval | None, unit: str = "", language: Language = "en", *, change: bool = False) -> str:
    """`95 % interval 3.1 ms to 4.2 ms`; of a `change` with signs, and shares in percentage points."""
    low, high = bounds if bounds else (None, None)
    return say("interval", language, low=amount(low, unit, signed=change), high=amount(high, unit, signed=change))


def listed(names: Iterable[str], language: Language = "en") -> str:
    """Names one after the other: `device, audio_s`; in Chinese `device、audio_s`."""
    return ("、" if language == "zh" else ", ").join(names)


def adjusted(names: Iterable[str], language: Language = "en") -> str:
    """`adjusted for device, audio_s`, or `not adjusted`."""
    shown = listed(names, language)
    return say("adjusted", language, names=shown) if shown else say("unadjusted", language)


def lint(sentence: str, *, causal: bool = False) -> list[str]:
    """What is wrong with a generated sentence: no n, an open placeholder, or a word of cause where none is shown."""
    faults = [] if re.search(r"n = \d", sentence) else ["no n"]
    if re.search(r"[{}]|\bNone\b|\bnan\b", sentence):
        faults.append("a value is missing")
    if not causal and (found := _CAUSAL.search(sentence)):
        faults.append(f"says {found[0]!r} of an association")
    return faults
