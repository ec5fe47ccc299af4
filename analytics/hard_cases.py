"""Requests to learn from: answers that were not sure, that a person found bad, or whose label is rare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from analytics.filters import Filter, parse
from analytics.filters.sql import to_sql
from analytics.requests import Joined

REASONS = {
    "low_confidence": 'low_confidence || sync_reason = "not_sure"',
    "user_score": "user_score < 0",
}
"""Why a request is hard, as filters; `rare_label` is counted."""
RARE_SHARE = 0.01
"""Labels below this share of the recognitions are rare: of 1,000 pictures fewer than ten have it."""
RARE_FEWEST = 100
"""Recognitions below which every label would be rare."""


@dataclass(frozen=True)
class HardCase:
    """A request row (without what is missing) and why it is hard."""

    row: dict[str, Any]
    reasons: tuple[str, ...]


def hard_cases(view: Joined, where: Filter | None = None, limit: int | None = None) -> list[HardCase]:
    """The newest first. Drills and tests are left out: nobody should learn from planted faults."""
    rare = _rare(view)
    tests = {name: to_sql(parse(text).node) for name, text in REASONS.items()}
    flags = [f"{sql.text} AS reason_{name}" for name, sql in tests.items()]
    flags.append("coalesce(list_contains(?, top1_label), false) AS reason_rare_label")
    asked = to_sql(where.node) if where else None
    query = f"""
        SELECT * FROM (SELECT *, {", ".join(flags)} FROM requests
                       WHERE NOT coalesce(synthetic, false){f" AND {asked.text}" if asked else ""})
        WHERE {" OR ".join(f"reason_{name}" for name in (*REASONS, "rare_label"))} ORDER BY started_at DESC
        {"" if limit is None else f"LIMIT {int(limit)}"}"""
    parameters = [value for sql in tests.values() for value in sql.parameters]
    rows = view.rows(query, [*parameters, rare, *(asked.parameters if asked else ())]).to_pylist()
    return [_case(row) for row in rows]


def _case(row: dict[str, Any]) -> HardCase:
    reasons = tuple(name for name in (*REASONS, "rare_label") if row.pop(f"reason_{name}"))
    return HardCase({name: value for name, value in row.items() if value is not None}, reasons)


def _rare(view: Joined) -> list[str]:
    rows = view.rows("SELECT top1_label AS label, count(*) AS n FROM requests WHERE top1_label IS NOT NULL GROUP BY 1").to_pylist()
    total = sum(row["n"] for row in rows)
    return [row["label"] for row in rows if row["n"] < RARE_SHARE * total] if total >= RARE_FEWEST else []
