"""The rows of each alert and what its condition reads from them, group by group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import pandas as pd

from analytics.alerts.conditions import Change, Reading
from analytics.alerts.schema import Alert
from analytics.filters.sql import Sql, quoted, to_sql
from analytics.requests import Joined
from analytics.rules.facts import rule_columns, with_facts
from analytics.rules.groups import worse_values
from analytics.rules.schema import Rule

LONGEST_S = 1800.0
"""A request that ended in a window was accepted at most so long before it: the service's default deadline."""


@dataclass(frozen=True)
class Incident:
    """One group of one alert (`key`: its values in words, "" for all) and what was read of it."""

    alert: Alert
    key: str
    reading: Reading


def look_back_s(alerts: Sequence[Alert]) -> float:
    """How far back requests must be read for these alerts."""
    return max((alert.window * (2 if isinstance(alert.condition, Change) else 1) for alert in alerts), default=0.0) + LONGEST_S


def incidents(view: Joined, alert: Alert, rules: Sequence[Rule], now: float) -> list[Incident]:
    """What the alert reads now (s since 1970) of each of its groups. Raises KeyError for a rule that is not there."""
    rows = _rows(view, alert, rules, now)
    if not alert.group_by:
        return [Incident(alert, _key((), one), one) for one in alert.condition.read(rows, now, alert.window)]
    found: list[Incident] = []
    for values, group in rows.groupby(list(alert.group_by), dropna=True):
        named = tuple(f"{name} = {value}" for name, value in zip(alert.group_by, cast(tuple[str, ...], values), strict=True))
        found += [Incident(alert, _key(named, one), one) for one in alert.condition.read(group, now, alert.window)]
    return found


def _key(named: tuple[str, ...], reading: Reading) -> str:
    return ", ".join((*([reading.cause] if reading.cause else []), *named))


def _rows(view: Joined, alert: Alert, rules: Sequence[Rule], now: float) -> pd.DataFrame:
    columns = rule_columns()
    where = _matched(view, alert, rules)
    among = to_sql(alert.denominator.node) if alert.denominator else Sql("true")
    since = now - alert.window * (2 if isinstance(alert.condition, Change) else 1)
    wanted = dict.fromkeys((*alert.group_by, *alert.condition.columns))
    extra = [f"{quoted(columns[name].column)}{'::VARCHAR' if name in alert.group_by else ''} AS {quoted(name)}" for name in wanted]
    query = f"""
        SELECT {", ".join(["request_id", "epoch_ns(ended_at) / 1e9 AS at", f"{where.text} AS matched", *extra])} FROM {with_facts()}
        WHERE epoch_ns(ended_at) > ? AND epoch_ns(ended_at) <= ? AND {among.text}
        {"" if alert.synthetic else "AND NOT coalesce(synthetic, false)"} ORDER BY ended_at, request_id"""
    bounds = (int(since * 1e9), int(now * 1e9))
    return view.rows(query, (*where.parameters, *bounds, *among.parameters)).to_pandas()


def _matched(view: Joined, alert: Alert, rules: Sequence[Rule]) -> Sql:
    if alert.filter is not None:
        return to_sql(alert.filter.node)
    rule = next((rule for rule in rules if rule.id == alert.rule), None)
    if rule is None or rule.over == "events":
        raise KeyError(f"alert {alert.id}: there is no rule {alert.rule} over requests")
    when = to_sql(rule.condition.node)
    if rule.group is None:
        return when
    worse = tuple(one.value for one in worse_values(view, rule))
    if not worse:
        return Sql("false")
    by = quoted(rule_columns()[rule.group.by].column)
    return Sql(f"({when.text} AND {by}::VARCHAR IN ({', '.join('?' for _ in worse)}))", (*when.parameters, *worse))
