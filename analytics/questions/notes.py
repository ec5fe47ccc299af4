"""What an answer must be taken with: warnings, English and Chinese, in one table.

A note is its English text, so that everything that reads texts reads it; `Note.of` gives it in another language.
"""

from __future__ import annotations

from typing import Any

from analytics.questions.sentences import Language

NOTES: dict[str, dict[Language, str]] = {
    "cut": {
        "en": "the rows are not all there are: the store cut the answer",
        "zh": "这些并非全部请求：存储截断了结果",
    },
    "not_all": {"en": "the rows are not all there are", "zh": "这些并非全部请求"},
    "sampled": {
        "en": "a random sample of {n} of {of} requests was taken",
        "zh": "从 {of} 个请求中随机抽取了 {n} 个",
    },
    "compared_sample": {
        "en": "a random sample of {n} of {of} rows was compared",
        "zh": "从 {of} 行中随机抽取 {n} 行进行比较",
    },
    "copies": {"en": "{count} duplicate rows left out", "zh": "已排除 {count} 行重复记录"},
    "no_parameter": {"en": "{count} rows without any parameter left out", "zh": "已排除 {count} 行没有任何参数的记录"},
    "drills": {"en": "{count} rows made by tests or drills left out", "zh": "已排除 {count} 行由测试或演练产生的记录"},
    "only_drills": {"en": "every row was made by a test or a drill", "zh": "所有记录都由测试或演练产生"},
    "repeats_out": {"en": "{count} retries and replays left out", "zh": "已排除 {count} 次重试和重放"},
    "repeats_in": {"en": "{count} retries and replays are among the rows", "zh": "其中包含 {count} 次重试和重放"},
    "first_out": {"en": "{count} first requests of a replica left out", "zh": "已排除 {count} 个副本启动后的首个请求"},
    "no_such_type": {
        "en": "{name}: {count} values are no {dtype} and count as missing",
        "zh": "{name}：{count} 个值不是 {dtype}，按缺失处理",
    },
    "bad_weights": {
        "en": "{count} sampling weights are not positive and count as 1",
        "zh": "{count} 个采样权重不是正数，按 1 计",
    },
    "weighted": {
        "en": "sampled rows are weighted by {name}: {n} of them tell as much as {effective}",
        "zh": "抽样的记录按 {name} 加权：{n} 行的信息量相当于 {effective} 行",
    },
    "few_inputs": {
        "en": "only {count} different inputs: they are held fixed, and what is found holds for them",
        "zh": "只有 {count} 种不同的输入：已将其固定，结论只适用于它们",
    },
    "not_held": {"en": "too few requests to hold {names} fixed", "zh": "请求太少，无法固定 {names}"},
    "straight_line": {
        "en": "others change where {name} does: its effect is read off a straight line",
        "zh": "其他字段随 {name} 一起变化：其影响按直线估计",
    },
    "no_association": {"en": "no association to describe", "zh": "没有可描述的关联"},
    "few_for_form": {
        "en": "too few requests or values to tell a step from a slope",
        "zh": "请求或取值太少，无法区分阶跃与斜率",
    },
    "others_step": {"en": "other columns change where {name} passes {at}", "zh": "{name} 越过 {at} 时其他字段也随之变化"},
    "nearly_one_value": {"en": "nearly all requests have the same value", "zh": "几乎所有请求的取值相同"},
    "bends": {"en": "it bends, at no certain place", "zh": "关系弯曲，但位置不确定"},
    "somewhere": {"en": "a step or a hinge, at no certain place", "zh": "存在阶跃或折点，但位置不确定"},
    "together": {
        "en": "{name} moves together with {partners}: not told apart",
        "zh": "{name} 与 {partners} 同步变化：无法区分",
    },
    "follows": {
        "en": "{name} follows from the others together: no adjusted effect",
        "zh": "{name} 可由其他字段推出：没有调整后的影响",
    },
    "lack": {
        "en": "{count} of the others lack what is asked about and are not compared",
        "zh": "其余请求中有 {count} 个缺少所问的值，未参与比较",
    },
    "few_asked": {
        "en": "only {count} rows are asked about: a weak cause would not show",
        "zh": "所问的只有 {count} 行：较弱的原因可能看不出来",
    },
    "none_has": {"en": "no row has {name}", "zh": "没有记录含有 {name}"},
    "hardly_varies": {"en": "{name} hardly varies", "zh": "{name} 几乎没有变化"},
    "no_status": {"en": "no row has a status", "zh": "没有记录含有 status"},
    "lost_unevenly": {
        "en": "the outcome is missing in {here} against {there} of the requests: the rest may not be comparable",
        "zh": "两组中分别有 {here} 和 {there} 的请求缺少该结果：其余的未必可比",
    },
}  # fmt: skip


class Note(str):
    """A warning: its English text, and the same in other languages."""

    __slots__ = ("key", "values")
    key: str
    values: dict[str, Any]

    def of(self, language: Language) -> str:
        """The words in a language."""
        return NOTES[self.key][language].format(**self.values)


def note(key: str, **values: Any) -> Note:
    """A warning of the table with its values. Raises KeyError where the key or a value is missing."""
    made = Note(NOTES[key]["en"].format(**values))
    made.key, made.values = key, values
    return made


def words_of(warning: str, language: Language) -> str:
    """A warning in a language; one that is no note stays as it is."""
    return warning.of(language) if isinstance(warning, Note) else warning
