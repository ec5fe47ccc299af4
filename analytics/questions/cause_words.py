"""The words of a diagnosis, English and Chinese: what each symptom is called, and the sentences about where it comes from.

Nothing here says "causes": rows show where a symptom is, a replay at other settings shows why.
"""

from __future__ import annotations

from typing import Any

from analytics.questions.sentences import Language, number

SYMPTOMS: dict[str, tuple[str, str]] = {
    "frames_relabelled": ("the frames run at another rate than they were made for", "帧率与生成时不同"),
    "tail_cut": ("the picture ends before the sound", "画面先于声音结束"),
    "picture_longer": ("the picture goes on after the sound", "画面比声音长"),
    "frozen_tail": ("the picture stands still at the end", "结尾画面静止"),
    "failed": ("requests fail with {detail}", "请求以 {detail} 失败"),
    "resolution_lowered": ("for want of memory videos are made smaller than asked", "因内存不足，视频分辨率低于请求值"),
    "sound_late": ("the sound is late", "声音滞后"),
    "sound_early": ("the sound is early", "声音超前"),
    "logs_missing": ("the log store lacks requests", "日志存储缺少请求"),
    "trace_missing": ("the trace store lacks requests", "追踪存储缺少请求"),
    "slow": ("{detail} is slow", "{detail} 变慢"),
    "cache_missed": ("portraits that were prepared before are prepared again", "已预处理过的肖像被重新处理"),
    "lips_unclear": ("the mouth hardly follows the speech", "口型与语音几乎不符"),
}
SIZES: dict[str, tuple[str, str]] = {
    "slow": (" ({size} times the usual)", "（为通常的 {size} 倍）"),
    "ms": (" (by {size} ms)", "（{size} 毫秒）"),
}
PHRASES: dict[str, dict[Language, str]] = {
    "cause": {
        "en": "{symptom}: {place}. {bad_here} of {here} requests there, elsewhere {bad_elsewhere} of {elsewhere}.",
        "zh": "{symptom}：{place}。该处 {here} 个请求中有 {bad_here} 个，其他 {elsewhere} 个中有 {bad_elsewhere} 个。",
    },
    "whole": {
        "en": "{symptom}: {place}. {bad_here} of {here} requests ({share}).",
        "zh": "{symptom}：{place}。{here} 个请求中有 {bad_here} 个（{share}）。",
    },
    "everywhere": {"en": "everywhere alike", "zh": "各处相同"},
    "since": {"en": "since {at}", "zh": "自 {at} 起"},
    "until": {"en": "until {at}", "zh": "至 {at}"},
    "began": {"en": " It began there at {at}.", "zh": " 该处始于 {at}。"},
    "same": {"en": " The same requests: {names}.", "zh": " 相同的请求：{names}。"},
    "origin": {
        "en": " Who uses it: {place} ({share_in} of the requests with it, {share_out} of the others).",
        "zh": " 使用者：{place}（有此设置的请求中占 {share_in}，其余占 {share_out}）。",
    },
    "follows": {"en": " In the same place: {names}.", "zh": " 同处还有：{names}。"},
    "nothing": {
        "en": "Nothing found: among {n} requests no symptom is more frequent in one place or time than chance allows "
        "({asked} symptoms asked).",
        "zh": "未发现问题：{n} 个请求中，没有任何症状在某处或某时比偶然更常见（共检查 {asked} 种症状）。",
    },
    "no_requests": {"en": "There are no requests to look at.", "zh": "没有可供查看的请求。"},
}


def symptom_words(name: str, size: float | None, language: Language = "en") -> str:
    """A symptom in words, with its size; the name itself where it has none."""
    code, _, detail = name.partition(":")
    place = 0 if language == "en" else 1
    if code not in SYMPTOMS:
        return name
    said = SYMPTOMS[code][place].format(detail=detail)
    if size is not None:
        said += SIZES["slow" if code == "slow" else "ms"][place].format(size=number(size, 3))
    return said


def cause_phrase(key: str, language: Language, **values: Any) -> str:
    """A sentence of the table in one language; the first letter is a capital where it is a whole sentence."""
    said = PHRASES[key][language].format(**values)
    return said[:1].upper() + said[1:] if key in ("cause", "whole") else said
