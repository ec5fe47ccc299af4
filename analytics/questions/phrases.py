"""The words of contrast, twin, failures, change, experiment, capacity and use, English and Chinese, in one table.

The contract is that of `analytics.questions.sentences`: n, the effect with its unit, the interval, what it was adjusted for; never
a word of cause, except in the sentences `caused` and `caused_levels`, which only a randomised experiment says.
"""

from __future__ import annotations

from typing import Any

from analytics.questions.sentences import Language

PHRASES: dict[str, dict[Language, str]] = {
    "differs": {
        "en": "{what}: {share_in} of the {n_in} requests asked about, {share_out} of the {n_out} others "
        "({change}, {interval}; n = {n}; {adjusted}).",
        "zh": "{what}：所问的 {n_in} 个请求中占 {share_in}，其余 {n_out} 个中占 {share_out}"
        "（{change}，{interval}；n = {n}；{adjusted}）。",
    },
    "same": {"en": " The same rows: {names}.", "zh": " 相同的请求：{names}。"},
    "also": {"en": " It remains among requests alike in {names}.", "zh": " 在 {names} 相同的请求中差异仍在。"},
    "along": {
        "en": " It goes along with {leader}: among requests alike in that, no difference of its own is shown.",
        "zh": " 它随 {leader} 一起出现：在后者相同的请求中，未显示它自身的差异。",
    },
    "outcome": {"en": " An outcome as well, so no explanation.", "zh": " 它本身也是结果，不能作为解释。"},
    "nothing": {
        "en": "Nothing surely differs between the {n_in} requests asked about and the {n_out} others "
        "(n = {n}; {fields} fields asked).",
        "zh": "所问的 {n_in} 个请求与其余 {n_out} 个之间未发现确定的差异（n = {n}；共检查 {fields} 个字段）。",
    },
    "none_in": {"en": "No request is asked about (n = {n}).", "zh": "没有符合条件的请求（n = {n}）。"},
    "none_out": {
        "en": "Every request is asked about, so there is nothing to compare with (n = {n}).",
        "zh": "所有请求都符合条件，无从比较（n = {n}）。",
    },
    "too_few": {
        "en": "Too few to compare: {n_in} requests asked about, {n_out} others (n = {n}).",
        "zh": "请求太少，无法比较：所问 {n_in} 个，其余 {n_out} 个（n = {n}）。",
    },
    "twin": {
        "en": "The nearest good request is {twin}: {likeness}; parameters that differ: {parameters}; {part} "
        "(n = {n} good requests).",
        "zh": "最相近的正常请求是 {twin}：{likeness}；不同的参数：{parameters}；{part}（正常请求 n = {n}）。",
    },
    "twin_same": {"en": "the same input", "zh": "输入相同"},
    "twin_like": {"en": "another input, {distance} away", "zh": "输入不同，距离 {distance}"},
    "twin_part": {"en": "they part at {stage}, {bad} against {good}", "zh": "两者从 {stage} 开始不同：{bad} 对 {good}"},
    "twin_no_part": {"en": "no stage took an unlike time", "zh": "各阶段用时相近"},
    "twin_none": {"en": "No good request is there to compare with (n = {n}).", "zh": "没有可比较的正常请求（n = {n}）。"},
    "failure_rate": {
        "en": "{failed} of {n} requests failed: {rate} ({interval}; n = {n}; not adjusted).",
        "zh": "{n} 个请求中有 {failed} 个失败：{rate}（{interval}；n = {n}；未调整）。",
    },
    "failure_none": {"en": "No request is there (n = 0).", "zh": "没有请求（n = 0）。"},
    "spike": {
        "en": "{start} to {end}: {rate} failed against {usual} at other times ({change}, {interval}; n = {n}; not adjusted).",
        "zh": "{start} 至 {end}：失败率 {rate}，其他时间 {usual}（{change}，{interval}；n = {n}；未调整）。",
    },
    "failing_value": {
        "en": "{what}: {rate} failed{type} against {usual} elsewhere ({change}, {interval}; n = {n}; not adjusted).",
        "zh": "{what}：失败率{type} {rate}，其他为 {usual}（{change}，{interval}；n = {n}；未调整）。",
    },
    "pattern": {
        "en": "{share} of {total} messages read \"{template}\" (n = {n}).",
        "zh": "{total} 条消息中有 {share} 形如“{template}”（n = {n}）。",
    },
    "changed": {
        "en": "{outcome} changed at {at} (95 % interval {low} to {high}): {change} ({interval}; n = {n}; {adjusted}){came}.",
        "zh": "{outcome} 在 {at} 发生变化（95 % 区间 {low} 到 {high}）：{change}（{interval}；n = {n}；{adjusted}）{came}。",
    },
    "came": {"en": "; what came with it: {names}", "zh": "；同时出现的是 {names}"},
    "unchanged": {
        "en": "No change of {outcome} over time is shown (n = {n}; {adjusted}).",
        "zh": "未显示 {outcome} 随时间变化（n = {n}；{adjusted}）。",
    },
    "change_too_few": {
        "en": "Too few requests to look for a change of {outcome} (n = {n}).",
        "zh": "请求太少，无法判断 {outcome} 是否变化（n = {n}）。",
    },
    "caused": {
        "en": "{factor} = {level} instead of {reference} causes {outcome} to change by {change} "
        "({interval}; n = {n} in {blocks} blocks; randomised).",
        "zh": "{factor} 取 {level} 而非 {reference} 导致 {outcome} 变化 {change}"
        "（{interval}；n = {n}，{blocks} 个区组；随机试验）。",
    },
    "went_with": {
        "en": "{factor} = {level} instead of {reference} goes with {outcome} {change} "
        "({interval}; n = {n} in {blocks} blocks; not randomised).",
        "zh": "{factor} 取 {level} 而非 {reference} 时，{outcome} 相差 {change}（{interval}；n = {n}，{blocks} 个区组；未随机）。",
    },
    "no_effect": {
        "en": "No effect of {factor} = {level} instead of {reference} on {outcome} is shown: {change} "
        "({interval}; n = {n} in {blocks} blocks).",
        "zh": "未显示 {factor} 取 {level} 而非 {reference} 对 {outcome} 有影响：{change}（{interval}；n = {n}，{blocks} 个区组）。",
    },
    "as_it_was": {"en": "as it was", "zh": "原设置"},
    "experiment_few": {
        "en": "Too few blocks with both {level} and {reference} of {factor} to say anything about {outcome} (n = {n}).",
        "zh": "同时含 {factor} = {level} 与 {reference} 的区组太少，无法判断 {outcome}（n = {n}）。",
    },
    "agreement": {
        "en": "Of a video that people call bad and one that they call good, {measure} is greater for the bad one in {share} of "
        "the pairs ({interval}; n = {n}: {bad} bad, {good} good; {unmeasured} judged without {measure}).",
        "zh": "任取一个被评为差的视频与一个被评为好的视频，差者的 {measure} 更大的比例为 {share}"
        "（{interval}；n = {n}：差 {bad}，好 {good}；另有 {unmeasured} 个已评价但无 {measure}）。",
    },
    "agreement_chance": {
        "en": "That {measure} goes with what people say is not shown: it is greater for the bad one of a bad and a good video in "
        "{share} of the pairs ({interval}; n = {n}: {bad} bad, {good} good; {unmeasured} judged without {measure}).",
        "zh": "未显示 {measure} 与人的评价一致：在一差一好的视频对中，差者更大的比例为 {share}"
        "（{interval}；n = {n}：差 {bad}，好 {good}；另有 {unmeasured} 个已评价但无 {measure}）。",
    },
    "agreement_few": {
        "en": "Too few judged videos to set {measure} against what people say: {bad} bad and {good} good have it, {fewest} of each "
        "are needed (n = {n}).",
        "zh": "已评价的视频太少，无法比较 {measure} 与人的评价：有该值的差 {bad} 个、好 {good} 个，各需 {fewest} 个（n = {n}）。",
    },
    "replicas": {
        "en": "{load} requests a minute need {replicas} replicas to end {quantile} of them within {target} "
        "(they take {service} on average, {interval}; utilisation {utilisation}; n = {n}; not adjusted).",
        "zh": "每分钟 {load} 个请求、{quantile} 在 {target} 内完成，需要 {replicas} 个副本"
        "（平均用时 {service}，{interval}；利用率 {utilisation}；n = {n}；未调整）。",
    },
    "replicas_never": {
        "en": "No number of replicas ends {quantile} of the requests within {target}: the work alone takes {alone} (n = {n}).",
        "zh": "无论多少副本都无法让 {quantile} 的请求在 {target} 内完成：仅处理本身就需 {alone}（n = {n}）。",
    },
    "baseline": {
        "en": "{stage} took {took}, usually {usually} (n = {n})",
        "zh": "{stage} 用时 {took}，通常为 {usually}（n = {n}）",
    },
    "baseline_few": {
        "en": "{stage} took {took}; too few like requests to say what is usual (n = {n})",
        "zh": "{stage} 用时 {took}；相似的请求太少，无法判断通常的用时（n = {n}）",
    },
    "capacity_none": {"en": "Too few requests with a time of {stage} (n = {n}).", "zh": "含 {stage} 用时的请求太少（n = {n}）。"},
    "usage": {
        "en": "{who}: {n} requests, {share} of all; {failed} failed; {video} of video for {device} of the device (n = {n}).",
        "zh": "{who}：{n} 个请求，占 {share}；失败 {failed}；视频 {video}，设备用时 {device}（n = {n}）。",
    },
    "shift": {
        "en": "{what}: {after} now, {before} in the reference window ({change}, {interval}; n = {n} and {n_before}; not adjusted).",
        "zh": "{what}：现在 {after}，参考时段 {before}（{change}，{interval}；n = {n} 与 {n_before}；未调整）。",
    },
    "shift_none": {
        "en": "No shift of {what} against the reference window is shown (n = {n} and {n_before}).",
        "zh": "未显示 {what} 相对参考时段有变化（n = {n} 与 {n_before}）。",
    },
    "shift_too_few": {
        "en": "Too few requests to compare {what} with the reference window (n = {n} and {n_before}).",
        "zh": "请求太少，无法将 {what} 与参考时段比较（n = {n} 与 {n_before}）。",
    },
    "similar": {
        "en": "{n} earlier failures read the same: {template}. In common with them, against the other requests: {shared} "
        "(n = {n}).",
        "zh": "此前有 {n} 次相同的失败：{template}。与它们共有、而其他请求少有的：{shared}（n = {n}）。",
    },
    "similar_apart": {
        "en": "{n} earlier failures read the same: {template}. Nothing surely sets them apart from the other requests (n = {n}).",
        "zh": "此前有 {n} 次相同的失败：{template}。它们与其他请求没有确定的差异（n = {n}）。",
    },
    "similar_none": {
        "en": "No earlier failure reads the same: {template} (n = 0).",
        "zh": "此前没有相同的失败：{template}（n = 0）。",
    },
}  # fmt: skip


def phrase(key: str, language: Language = "en", **values: Any) -> str:
    """The sentence of a template with its values. Raises KeyError where the template or a value is missing."""
    return PHRASES[key][language].format(**values)
