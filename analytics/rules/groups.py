"""Rules about one value among many: the replica, the folder whose requests go wrong surely more often than the others'."""

from __future__ import annotations

from typing import Any

from scipy import stats as scipy_stats

from analytics.filters.sql import quoted, to_sql
from analytics.questions.result import ALPHA
from analytics.questions.stats import benjamini_hochberg
from analytics.requests import Joined
from analytics.rules.evidence import NAMED, Evidence
from analytics.rules.facts import rule_columns, with_facts
from analytics.rules.schema import Rule


def worse_values(view: Joined, rule: Rule, source: str = "requests") -> list[Evidence]:
    """The values of the rule's field that are surely worse: Fisher's exact test of each against the rest, one-sided, with
    Benjamini and Hochberg's correction over all values that have enough rows. The rule must have a `group`."""
    assert rule.group is not None
    rows = _by_value(view, rule, source)
    n, hits = sum(row["n"] for row in rows), sum(row["hits"] for row in rows)
    asked = [row for row in rows if row["value"] is not None and row["n"] >= rule.group.fewest and row["n"] < n]
    # P(at least so many of the hits fall into the group by chance).
    ps = [float(scipy_stats.hypergeom.sf(row["hits"] - 1, n, hits, row["n"])) for row in asked]
    return [
        Evidence(
            rule, row["n"], row["hits"], (hits - row["hits"]) / (n - row["n"]), row["value"],
            tuple(one for one in row["counter"] or () if one),
        )
        for row, q in zip(asked, benjamini_hochberg(ps), strict=True)
        if q is not None and q < ALPHA and row["hits"] / row["n"] >= rule.group.share
    ]  # fmt: skip


def _by_value(view: Joined, rule: Rule, source: str) -> list[dict[str, Any]]:
    assert rule.group is not None
    by, when = quoted(rule_columns()[rule.group.by].column), to_sql(rule.condition.node)
    query = f"""
        SELECT {by}::VARCHAR AS value, count(*) AS n, count(*) FILTER (hit) AS hits,
               (list(request_id ORDER BY started_at DESC) FILTER (NOT hit))[1:{NAMED}] AS counter
        FROM (SELECT *, {when.text} AS hit FROM {with_facts(source)}) GROUP BY 1 ORDER BY 1"""
    return view.rows(query, when.parameters).to_pylist()
