"""What a rule consists of, and the files that hold rules: refused at once where something in them cannot be."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from analytics.filters import Filter, FilterError, parse
from analytics.questions.sentences import Language
from analytics.rules.facts import event_columns, rule_columns
from telemetry.yaml_text import read_yaml

SHIPPED = Path(__file__).parent / "rules.yaml"
FORBIDDEN = "fault_injected"
"""What a drill knows and no rule may read: the answer key is not evidence."""


class RuleError(ValueError):
    """A file of rules that cannot be used; the message names the file, the rule and the problem."""


class Words(BaseModel):
    """One text in both languages."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    en: str = Field(min_length=1)
    zh: str = Field(min_length=1)

    def of(self, language: Language) -> str:
        """The text in a language."""
        return self.zh if language == "zh" else self.en


class Group(BaseModel):
    """The rule holds only where the rows with this value of `by` pass `when` surely more often than the rest."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    by: str
    share: float = Field(default=0.0, ge=0, le=1, description="and where at least this share of them passes")
    fewest: int = Field(default=5, ge=2, description="rows of a value below which nothing is said")


class Rule(BaseModel):
    """`when`: the condition. With `expect` the evidence is how often that followed; without, how often `when` itself held among the
    earlier requests alike in the fields of `same`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    over: Literal["requests", "events"] = "requests"
    when: str
    expect: str | None = None
    same: tuple[str, ...] = ()
    group: Group | None = None
    fields: tuple[str, ...] = Field(default=(), description="names that the rows hold beside the table of names")
    cause: Words
    suggestion: Words
    tags: tuple[str, ...] = ()
    enabled: bool = True

    @cached_property
    def condition(self) -> Filter:
        """`when`, parsed over the columns of the rows or of the events."""
        return parse(self.when, event_columns(self.fields) if self.over == "events" else rule_columns(self.fields))

    @cached_property
    def expectation(self) -> Filter | None:
        """`expect`, parsed; always over request rows."""
        return None if self.expect is None else parse(self.expect, rule_columns(self.fields))

    @model_validator(mode="after")
    def _can_be_asked(self) -> Rule:
        if FORBIDDEN in f"{self.when} {self.expect} {self.fields}":
            raise ValueError(f"{FORBIDDEN} is the answer key of drills: no rule may read it")
        columns = rule_columns()
        for name in (*self.same, *([self.group.by] if self.group else [])):
            if name not in columns or columns[name].dtype == "list":
                raise ValueError(f"{name} is no column to group by")
        if self.group and (self.expect is not None or self.same or self.over == "events"):
            raise ValueError("a rule with `group` asks request rows and has its own evidence: leave expect, same and over out")
        try:
            _ = (self.condition, self.expectation)  # parsed now, so that a mistake is found when the file is read
        except FilterError as error:
            raise ValueError(str(error)) from None
        return self


_RULES = TypeAdapter(list[Rule])


def read_rules(path: Path) -> list[Rule]:
    """The rules of one file. Raises RuleError, OSError."""
    raw: Any = None
    try:
        raw = read_yaml(path.read_text("utf-8")) or []
        rules = _RULES.validate_python(raw)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RuleError(f"{path}: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        place, *rest = first["loc"] or ("",)
        entry = raw[place] if isinstance(raw, list) and isinstance(place, int) else {}
        name = entry.get("id", f"rule {place}") if isinstance(entry, dict) else f"rule {place}"
        where = ".".join(str(part) for part in rest)
        raise RuleError(f"{path}: {name}{f': {where}' if where else ''}: {first['msg']}") from None
    twice = {rule.id for rule in rules if sum(other.id == rule.id for other in rules) > 1}
    if twice:
        raise RuleError(f"{path}: {sorted(twice)[0]} stands twice")
    return rules


def load_rules(own: Path | None = None) -> tuple[Rule, ...]:
    """The shipped rules and those of a user's file, where a rule of the same id takes the shipped one's place (`enabled: false`
    turns it off). Raises RuleError, OSError."""
    found = {rule.id: rule for rule in (*read_rules(SHIPPED), *(read_rules(own) if own else ()))}
    return tuple(rule for rule in found.values() if rule.enabled)
