"""Rules asked of request rows and events: which hold for one request, and how often each held in a range.

Everything is SQL over the view `requests` of `analytics.requests.Joined`, so a record, a board of the console, a file and a store
are asked alike. The answer key of drills (`fault_injected`) is taken out of the events before any rule looks at them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import duckdb

from analytics.filters import Filter
from analytics.filters.sql import Sql, quoted, to_sql
from analytics.record import Record
from analytics.requests import Joined, every_column
from analytics.rules.evidence import NAMED, Evidence
from analytics.rules.facts import FACTS, rule_columns, with_facts
from analytics.rules.groups import worse_values
from analytics.rules.schema import FORBIDDEN, Rule
from telemetry import fields
from telemetry.tables import event_table

_EVENTS = f"(SELECT * FROM events WHERE event_type IS DISTINCT FROM '{FORBIDDEN}')"


@dataclass(frozen=True)
class Match:
    """A rule that holds for a request, and how often it held before."""

    rule: Rule
    evidence: Evidence

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        said = {"cause": self.rule.cause.en, "suggestion": self.rule.suggestion.en, "tags": list(self.rule.tags)}
        return {"id": self.rule.id, **said, "evidence": self.evidence.to_dict()}


def matches(record: Record, rules: Sequence[Rule], view: Joined) -> list[Match]:
    """The rules that hold for a record that has ended. `view`: the requests to look for evidence in (this one is left out)."""
    if not record.request:
        return []
    with _alone(record) as own:
        holding = [rule for rule in rules if _holds(own, rule)]
    found: list[Match] = []
    for rule in holding:
        evidence = _group(view, rule, record.request) if rule.group else _history(view, rule, record.request)
        if evidence is not None:
            found.append(Match(rule, evidence))
    return found


def survey(view: Joined, rules: Sequence[Rule], where: Filter | None = None) -> list[Evidence]:
    """Every rule over request rows that held among those that pass a filter, the most frequent first: n rows in which it did,
    `held` with what it expects (all of them where it expects nothing), and the share of that among the others."""
    asked = [rule for rule in rules if rule.over == "requests"]
    source = "requests"
    if where is not None:
        view.choose(_needed(asked), where)
        source = "chosen"
    found = [evidence for rule in asked for evidence in _surveyed(view, rule, source)]
    return sorted(found, key=lambda one: -one.n)


@contextmanager
def _alone(record: Record) -> Iterator[Joined]:
    """One record as the views `requests` (its terminal event) and `events`."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        events = event_table([event for event in record.events if event["event_type"] != FORBIDDEN])[0]
        connection.register("events", events)
        terminal = ", ".join(f"'{name}'" for name in fields.TERMINAL_EVENTS)
        connection.execute(
            f"CREATE VIEW requests AS SELECT {every_column(events.column_names)} FROM events WHERE event_type IN ({terminal}) "
            "ORDER BY logged_at DESC LIMIT 1"
        )
        yield Joined(connection, truncated=False)


def _holds(own: Joined, rule: Rule) -> bool:
    where = to_sql(rule.condition.node)
    source = _EVENTS if rule.over == "events" else with_facts()
    return bool(own.rows(f"SELECT 1 AS one FROM {source} WHERE {where.text} LIMIT 1", where.parameters).num_rows)


def _history(view: Joined, rule: Rule, row: Mapping[str, Any]) -> Evidence:
    """Among the requests before this one, of the same operation and made by the same kind of client (people, or tests)."""
    earlier = Sql(
        "request_id IS DISTINCT FROM ? AND operation IS NOT DISTINCT FROM ? AND coalesce(synthetic, false) = ? "
        "AND started_at <= ?::TIMESTAMPTZ_NS",
        (row.get("request_id"), row.get("operation"), bool(row.get("synthetic")), row.get("started_at")),
    )
    if rule.over == "events":
        if not view.has_events:
            return Evidence(rule, 0, 0)
        where = to_sql(rule.condition.node)
        logged = Sql(f"request_id IN (SELECT request_id FROM {_EVENTS} WHERE {where.text})", where.parameters)
        expect = rule.expectation
        return _counted(view, rule, earlier, *((logged, to_sql(expect.node)) if expect else (Sql("true"), logged)))
    when, expect = to_sql(rule.condition.node), rule.expectation
    if expect is not None:
        return _counted(view, rule, _both(earlier, _known(expect)), when, to_sql(expect.node))
    columns = rule_columns()
    alike = [Sql(f"{quoted(columns[name].column)} IS NOT DISTINCT FROM ?", (row.get(name),)) for name in rule.same]
    return _counted(view, rule, earlier, _both(*alike) if alike else Sql("true"), when)


def _counted(view: Joined, rule: Rule, among: Sql, base: Sql, hit: Sql, source: str = "requests") -> Evidence:
    query = f"""
        SELECT count(*) FILTER (base) AS n, count(*) FILTER (base AND hit) AS held, count(*) FILTER (NOT base) AS others,
               count(*) FILTER (NOT base AND hit) AS others_hit,
               (list(request_id ORDER BY started_at DESC) FILTER (base AND NOT hit))[1:{NAMED}] AS counter
        FROM (SELECT request_id, started_at, {base.text} AS base, {hit.text} AS hit FROM {with_facts(source)} WHERE {among.text})"""
    found = view.rows(query, (*base.parameters, *hit.parameters, *among.parameters)).to_pylist()[0]
    rest = found["others_hit"] / found["others"] if found["others"] else None
    asked = rest if rule.expect is not None else None
    return Evidence(rule, found["n"], found["held"], asked, counter=tuple(one for one in found["counter"] or () if one))


def _group(view: Joined, rule: Rule, row: Mapping[str, Any]) -> Evidence | None:
    """The evidence that this request's group is worse than the rest; None where that is not sure."""
    assert rule.group is not None
    value = row.get(rule.group.by)
    return next((one for one in worse_values(view, rule) if one.value == str(value)), None)


def _surveyed(view: Joined, rule: Rule, source: str) -> list[Evidence]:
    if rule.group is not None:
        return worse_values(view, rule, source)
    when = to_sql(rule.condition.node)
    expect = rule.expectation
    hit = to_sql(expect.node) if expect else Sql("true")
    found = _counted(view, rule, _known(expect) if expect else Sql("true"), when, hit, source)
    return [found] if found.n else []


def _needed(rules: Sequence[Rule]) -> list[str]:
    """The columns of a request row that these rules look at."""
    names = {"request_id", "started_at", "extra", *(name for fact in FACTS for name in (fact.left, fact.right))}
    for rule in rules:
        columns = rule_columns(rule.fields)
        asked = rule.condition.columns | (rule.expectation.columns if rule.expectation else frozenset())
        asked |= {rule.group.by} if rule.group else set()
        names |= {columns[name].column for name in asked if columns[name].dtype != "any"}
    return sorted(names - {fact.name for fact in FACTS})


def _both(*parts: Sql) -> Sql:
    return Sql("(" + " AND ".join(part.text for part in parts) + ")", tuple(value for part in parts for value in part.parameters))


def _known(expect: Filter) -> Sql:
    """Rows that say anything of what is expected: a drift that was not measured is no counter-example."""
    columns = rule_columns()
    names = [columns[name] for name in sorted(expect.columns) if name in columns]
    if not names:
        return Sql("true")
    return Sql("(" + " OR ".join(f"{quoted(column.column)} IS NOT NULL" for column in names) + ")")
