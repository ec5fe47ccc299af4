"""One cause: a symptom, the place it comes from, since when, and what set it there; in words and as a filter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from analytics.filters.sql import literal, quoted
from analytics.questions.cause_words import cause_phrase, symptom_words
from analytics.questions.difference import described, words
from analytics.questions.result import Finding
from analytics.questions.scan import Item, Part
from analytics.questions.sentences import Language, amount


@dataclass(frozen=True)
class Place:
    """One field of where a cause lies: a value, or a region with its bounds (None on an open side); `what` in words."""

    field: str
    kind: str
    value: Any
    what: str
    low: Any = None
    high: Any = None

    @property
    def expression(self) -> str | None:
        """As a filter that `sonoscope query` reads, None for what it has no words for (an hour, a missing value, a list's item)."""
        if self.field in ("hour", "weekday", "advice") or self.value in ("missing", "not set"):
            return None
        if self.kind == "categorical":
            shown = str(self.value).lower() if isinstance(self.value, bool) else f'"{self.value}"'
            return f"{self.field} = {shown}"
        if self.low is not None and self.low == self.high:
            return f"{self.field} = {_bound(self.low)}"
        ends = ((self.low, ">="), (self.high, "<="))
        return " && ".join(f"{self.field} {sign} {_bound(end)}" for end, sign in ends if end is not None)

    @property
    def sql(self) -> str:
        """As a condition of SQL, false for a row that lacks the field."""
        name = quoted(self.field)
        if self.field in ("hour", "weekday"):
            name = "extract(hour FROM started_at)" if self.field == "hour" else "left(dayname(started_at), 3)"
        if self.value in ("missing", "not set"):
            return f"{name} IS NULL"
        if self.field == "advice":
            return f"coalesce(list_contains(advice, {_literal(self.value)}), false)"
        if self.kind == "categorical":
            return f"coalesce({name} = {_literal(self.value)}, false)"
        ends = ((self.low, ">="), (self.high, "<="))
        return " AND ".join(f"coalesce({name} {sign} {_literal(end)}, false)" for end, sign in ends if end is not None) or "true"


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return literal(value) if isinstance(value, str) else f"{value:.17g}"


def place_of(part: Part) -> Place:
    """The place that a part of an explanation names."""
    made = described(part)
    whole = words(Item((part,), (0, 0, 0, 0), 0, 0, 1))
    return Place(made["field"], made["kind"], made["value"], whole, made["low"], made["high"])


def _bound(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else f"{value:.10g}"


@dataclass(frozen=True, kw_only=True)
class Cause(Finding):
    """`estimate`: share of the requests in the place that show the symptom, less that of the others (unit `share`).

    `symptom`: its name (`sound_late`, `failed:out_of_memory`, `slow:run_inference`); `also`: what follows in the same place.
    `where`: all of it holds together; empty where the symptom is everywhere alike. `same_as`: other words for the same requests.
    `since`, `until`: bounds of the time that are part of the place, UTC; `began`: when it began there, where that was later than
    the first request. `origin`: who uses the setting that is the place, and since when. `size`: how large the symptom is (ms, or
    times the usual). `here`, `bad_here`, `elsewhere`, `bad_elsewhere`: counts of requests. `score`: what causes are ordered by.
    `examples`: ids of requests.
    """

    symptom: str
    also: tuple[str, ...] = ()
    where: tuple[Place, ...] = ()
    same_as: tuple[str, ...] = ()
    since: str | None = None
    until: str | None = None
    began: str | None = None
    origin: Origin | None = None
    size: float | None = None
    here: int = 0
    bad_here: int = 0
    elsewhere: int = 0
    bad_elsewhere: int = 0
    score: float = 0.0
    examples: tuple[str, ...] = ()

    @property
    def expression(self) -> str | None:
        """The place as a filter, with its time; None where it has no words or is everywhere."""
        parts = [place.expression for place in self.where]
        parts += [f'started_at >= "{self.since or self.began}"'] if self.since or self.began else []
        parts += [f'started_at <= "{self.until}"'] if self.until else []
        return None if not parts or None in parts else " && ".join(part for part in parts if part)

    @property
    def sql(self) -> str:
        """The place, with its time, as a condition of SQL."""
        parts = [place.sql for place in self.where]
        parts += [f"started_at >= '{self.since}'"] if self.since else []
        parts += [f"started_at <= '{self.until}'"] if self.until else []
        return " AND ".join(parts) or "true"

    def place(self, language: Language = "en") -> str:
        """Where and since when, in words."""
        said = (" and " if language == "en" else " 且 ").join(place.what for place in self.where)
        said = said or ("" if self.since or self.until else cause_phrase("everywhere", language))
        for key in ("since", "until"):
            if (at := getattr(self, key)) is not None:
                said += (" " if said else "") + cause_phrase(key, language, at=at)
        return said

    def sentence(self, language: Language = "en") -> str:
        """What is wrong, where, how often there and elsewhere, and who set it."""
        said = cause_phrase(
            "cause" if self.where or self.since or self.until else "whole", language,
            symptom=symptom_words(self.symptom, self.size, language), place=self.place(language),
            bad_here=self.bad_here, here=self.here, bad_elsewhere=self.bad_elsewhere, elsewhere=self.elsewhere,
            share=amount(self.bad_here / self.here if self.here else 0.0, "share"),
        )  # fmt: skip
        if self.began:
            said += cause_phrase("began", language, at=self.began)
        if self.same_as:
            said += cause_phrase("same", language, names=", ".join(self.same_as))
        if self.origin is not None:
            said += self.origin.sentence(language)
        if self.also:
            said += cause_phrase("follows", language, names="; ".join(symptom_words(name, None, language) for name in self.also))
        return said

    def to_dict(self) -> dict[str, Any]:
        """As JSON, with the sentence in both languages and the filter."""
        more = {"expression": self.expression, "sentence": self.sentence(), "sentence_zh": self.sentence("zh")}
        return {**super().to_dict(), **more}


@dataclass(frozen=True)
class Origin:
    """Who uses a setting, and since when: `share_in` of the requests with it, `share_out` of the others come from there."""

    where: tuple[Place, ...]
    since: str | None
    share_in: float
    share_out: float

    def sentence(self, language: Language = "en") -> str:
        """Who and since when."""
        names = (" and " if language == "en" else " 且 ").join(place.what for place in self.where)
        since = cause_phrase("since", language, at=self.since) if self.since else ""
        return cause_phrase("origin", language, place=" ".join(filter(None, (names, since))),
                            share_in=amount(self.share_in, "share"), share_out=amount(self.share_out, "share"))  # fmt: skip
