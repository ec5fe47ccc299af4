"""What to do about a set of requests: the rules that hold for most of them, else the hint of their error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analytics.filters.sql import quoted, to_sql
from analytics.questions.sentences import Language
from analytics.requests import Joined
from analytics.rules.facts import rule_columns, with_facts
from analytics.rules.groups import worse_values
from analytics.rules.schema import Rule
from telemetry.errors import ERROR_TYPES

MOST = 0.5
"""Share of the requests for which a rule must hold, so that it is said of all of them."""


@dataclass(frozen=True)
class Fix:
    """`rule`: its id, or the error type whose hint this is."""

    rule: str
    cause: str
    suggestion: str
    held: int


def fixes(view: Joined, ids: Sequence[str], rules: Sequence[Rule], language: Language) -> list[Fix]:
    """The most frequent first; empty where neither a rule nor an error says anything."""
    asked = [(rule, to_sql(rule.condition.node)) for rule in rules if rule.over == "requests"]
    flags = ", ".join(f"{sql.text} AS {quoted(rule.id)}" for rule, sql in asked)
    groups = {rule.group.by for rule, _ in asked if rule.group}
    columns = ", ".join(f"{quoted(rule_columns()[name].column)}::VARCHAR AS {quoted(f'by_{name}')}" for name in sorted(groups))
    asked_for = ", ".join(part for part in ("error_type", flags, columns) if part)
    query = f"SELECT {asked_for} FROM {with_facts()} WHERE list_contains(?, request_id)"
    rows = view.rows(query, (*(value for _, sql in asked for value in sql.parameters), list(ids))).to_pylist()
    found: list[Fix] = []
    for rule, _ in asked:
        holding = [row for row in rows if row[rule.id]]
        if holding and rule.group is not None:
            worse = {one.value for one in worse_values(view, rule)}
            holding = [row for row in holding if row[f"by_{rule.group.by}"] in worse]
        if holding and len(holding) >= MOST * len(rows):
            found.append(Fix(rule.id, rule.cause.of(language), rule.suggestion.of(language), len(holding)))
    if found:
        return sorted(found, key=lambda one: -one.held)
    errors = [row["error_type"] for row in rows if row["error_type"] in ERROR_TYPES]
    common = max(set(errors), key=errors.count, default=None)
    return [] if common is None else [Fix(common, "", ERROR_TYPES[common].hint, errors.count(common))]
