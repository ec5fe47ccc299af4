"""The sentences about one bad file, English and Chinese."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from analytics.questions.cause_words import symptom_words
from analytics.questions.sentences import Language, number

if TYPE_CHECKING:
    from analytics.questions.complaint import Complaint

PHRASES: dict[str, dict[Language, str]] = {
    "late": {"en": "The sound is {size} ms late (confidence {sure}){more}.", "zh": "声音滞后 {size} 毫秒（置信度 {sure}）{more}。"},
    "early": {
        "en": "The sound is {size} ms early (confidence {sure}){more}.",
        "zh": "声音超前 {size} 毫秒（置信度 {sure}）{more}。",
    },
    "unmeasured": {"en": "The offset of the sound was not measured ({reason}).", "zh": "未测得声音偏移（{reason}）。"},
    "starts": {"en": "; it starts {size} ms late in the container", "zh": "；在容器中晚 {size} 毫秒开始"},
    "lengths": {
        "en": "Picture minus sound: {drift} ms; frozen tail: {tail} ms.",
        "zh": "画面减声音：{drift} 毫秒；结尾静止：{tail} 毫秒。",
    },
    "failed": {"en": "The request failed: {type} in {stage}.", "zh": "请求失败：{type}，阶段 {stage}。"},
    "fine": {"en": "This file shows nothing that is wrong by itself.", "zh": "此文件本身未显示问题。"},
    "shows": {"en": "What it shows: {names}.", "zh": "表现：{names}。"},
    "like": {
        "en": "{like} of {known} requests between {since} and {until} are like it.",
        "zh": "{since} 至 {until} 的 {known} 个请求中有 {like} 个与它相同。",
    },
    "alone": {
        "en": "No place or time has more of them than chance allows: nothing found that they share.",
        "zh": "没有任何位置或时间比偶然更常见：未发现共同点。",
    },
    "few": {"en": "Too few to say what they share.", "zh": "数量太少，无法判断共同点。"},
    "no_rows": {"en": "There are no requests of that time to compare it with.", "zh": "该时段没有可比较的请求。"},
    "not_ours": {
        "en": "The service has no record of this file: only what was measured on it is known.",
        "zh": "服务没有此文件的记录：仅有对文件本身的测量。",
    },
    "standing": {"en": "All along: {sentence}", "zh": "一直如此：{sentence}"},
    "confirm": {"en": "To confirm: {command}", "zh": "验证：{command}"},
    "confirm_place": {
        "en": "To confirm: {command} (no setting is suspected: with new seeds only; runs elsewhere should be good)",
        "zh": "验证：{command}（未怀疑任何参数：只换随机种子；在别处运行应正常）",
    },
}


def told(found: Complaint, language: Language) -> list[str]:
    """What was found, one fact a line."""

    def say(key: str, **values: Any) -> str:
        return PHRASES[key][language].format(**values)

    lines = _measured(found, language)
    lines += [say("not_ours")] if found.request_id is None else []
    if not found.shows:
        return [*lines, say("fine")]
    lines.append(say("shows", names="; ".join(symptom_words(name, None, language) for name in found.shows)))
    if not found.n:
        return [*lines, say("no_rows")]
    window = found.facts.get("window") or ("the first", "the last")
    lines.append(say("like", like=found.like, known=found.known, since=window[0], until=window[1]))
    if not found.causes:
        lines.append(say("alone" if found.like >= 3 else "few"))
    lines += [cause.sentence(language) for cause in found.causes[:3]]
    lines += [say("standing", sentence=cause.sentence(language)) for cause in found.standing[:1]]
    if found.twin is not None and found.twin.twin is not None:
        lines.append(found.twin.sentence(language))
    if found.confirm:
        key = "confirm_place" if any(one.startswith("seed=") for one in found.confirm) else "confirm"
        lines.append(say(key, command=shlex.join(("sonoscope", "replay", *found.confirm))))
    return lines


def _measured(found: Complaint, language: Language) -> list[str]:
    facts = found.facts
    if facts.get("error_type"):
        return [PHRASES["failed"][language].format(type=facts["error_type"], stage=facts.get("failed_stage") or "-")]
    offset = facts.get("audio_offset_ms")
    if offset is None:
        lines = [PHRASES["unmeasured"][language].format(reason=facts.get("sync_reason") or "-")]
    else:
        late_s = facts.get("audio_start_s") or 0.0
        more = PHRASES["starts"][language].format(size=number(late_s * 1000, 3)) if late_s >= 0.02 else ""
        said = PHRASES["late" if offset >= 0 else "early"][language]
        lines = [said.format(size=f"{abs(offset):.0f}", sure=f"{facts.get('sync_confidence') or 0.0:.2f}", more=more)]
    drift, tail = facts.get("duration_drift_ms"), facts.get("frozen_tail_ms")
    if drift is not None:
        lines.append(PHRASES["lengths"][language].format(drift=f"{drift:+.0f}", tail=f"{tail or 0.0:.0f}"))
    return lines
