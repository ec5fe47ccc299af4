"""Messages as templates: what stays is text, what varies is masked, so that ten thousand errors read as five lines."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from analytics.questions.phrases import phrase
from analytics.questions.result import Finding
from analytics.questions.sentences import Language, amount

MASKS = (
    ("<id>", re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE)),
    ("<time>", re.compile(r"\b\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?")),
    ("<address>", re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b")),
    ("<hex>", re.compile(r"\b(?:0x[0-9a-f]+|(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{8,})\b", re.IGNORECASE)),
    ("<path>", re.compile(r"(?<![\w<])(?:[A-Za-z]:)?(?:[/\\][\w.\-+@ ]*\w)+(?:\.\w+)?")),
    ("<number>", re.compile(r"(?<![\w<])[-+]?\d+(?:[.,]\d+)*(?:[eE][-+]?\d+)?")),
)
"""What varies, the longest form first; a unit after a number stays."""
ALIKE = 0.6
"""Share of equal words from which on two templates of one length are one. Drain (He et al., 2017) takes 0.4 to 0.5 over a tree;
short messages such as "face not found" and "file not found" ask for more."""
EXAMPLES = 3


@dataclass(frozen=True, kw_only=True)
class Pattern(Finding):
    """`template` with `<number>` and the like where messages differ; `estimate`: its share of the messages (unit `share`)."""

    template: str
    total: int
    types: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()

    def sentence(self, language: Language = "en") -> str:
        """How many messages read so."""
        return phrase("pattern", language, share=amount(self.estimate, "share"), total=self.total, template=self.template, n=self.n)


def masked(message: str) -> str:
    """The message with ids, times, addresses, hexadecimal words, paths and numbers masked, in one line."""
    text = " ".join(message.split())
    for word, expression in MASKS:
        text = expression.sub(word, text)
    return text


def patterns(
    messages: Iterable[str | None],
    types: Sequence[str | None] | None = None,
    weights: ArrayLike | None = None,
    counts: ArrayLike | None = None,
) -> list[Pattern]:
    """The templates of the messages, the most frequent first; missing messages are left out.

    `types`: the error type of each. `weights`: how many requests each stands for. `counts`: how often each was seen.
    """
    found = [(place, text) for place, text in enumerate(messages) if text]
    places = [place for place, _ in found]
    w, seen = (np.ones(len(found)) if one is None else np.asarray(one, float)[places] for one in (weights, counts))
    groups: dict[str, list[int]] = defaultdict(list)
    for index, (_, text) in enumerate(found):
        groups[masked(text)].append(index)
    total = float(w.sum())
    made = [
        Pattern(
            n=int(seen[members].sum()), verdict="associated", unit="share", estimate=float(w[members].sum()) / total,
            template=template, total=int(seen.sum()), types=_types(types, [found[index][0] for index in members]),
            examples=tuple(dict.fromkeys(found[index][1] for index in members[:50]))[:EXAMPLES],
        )
        for template, members in _merged(groups).items()
    ]  # fmt: skip
    return sorted(made, key=lambda one: (-(one.estimate or 0), one.template))


def _merged(groups: dict[str, list[int]]) -> dict[str, list[int]]:
    """Templates of one length that share most words become one, with `<*>` where they differ; the most frequent one leads."""
    merged: list[tuple[list[str], list[int]]] = []
    by_length: dict[int, list[int]] = defaultdict(list)
    for template, members in sorted(groups.items(), key=lambda pair: (-len(pair[1]), pair[0])):
        words = template.split()
        for index in by_length[len(words)]:
            kept, others = merged[index]
            equal = sum(one == other for one, other in zip(kept, words, strict=True))
            if len(words) > 2 and equal > ALIKE * len(words) and kept[0] == words[0]:
                merged[index] = ([one if one == other else "<*>" for one, other in zip(kept, words, strict=True)], others + members)
                break
        else:
            by_length[len(words)].append(len(merged))
            merged.append((words, members))
    return {" ".join(words): members for words, members in merged}


def _types(types: Sequence[str | None] | None, places: list[int]) -> tuple[str, ...]:
    if types is None:
        return ()
    return tuple(sorted({str(types[place]) for place in places if types[place] is not None}))
