"""How requests arrived at a stage, counted where they lie: a sample cannot tell, for it takes the neighbours out."""

from __future__ import annotations

from analytics.filters import Filter
from analytics.filters.sql import condition_of
from analytics.questions.capacity import FEWEST, Seen
from analytics.requests import Joined

HOUR_NS = 3_600_000_000_000


def seen(view: Joined, where: Filter | None, stage: str) -> Seen:
    """How the requests that pass a filter and ran a stage arrived, and at how many replicas. Raises duckdb.Error."""
    condition, values = condition_of(where)
    columns = set(view.columns())
    names = [name for name in (f"{stage}_busy_ms", f"{stage}_ms") if name in columns]
    ms = f"coalesce({', '.join(names)})"
    query = f"""
        WITH ran AS (SELECT epoch_ns(started_at) / 1e9 AS began, epoch_ns(started_at) // {HOUR_NS} AS hour, {ms} / 1000 AS seconds,
                            coalesce(weight, 1.0) AS w, replica
                     FROM requests WHERE {condition} AND started_at IS NOT NULL AND {ms} > 0),
        gaps AS (SELECT hour, began - lag(began) OVER (PARTITION BY hour ORDER BY began) AS gap FROM ran),
        hours AS (SELECT count(gap) AS n, var_pop(gap) / (avg(gap) * avg(gap)) AS ratio FROM gaps GROUP BY hour
                  HAVING count(gap) >= {FEWEST} AND avg(gap) > 0)
        SELECT (SELECT sum(n * ratio) / sum(n) FROM hours), sum(w), max(began + seconds) - min(began),
               count(DISTINCT nullif(replica, '')) FROM ran"""
    ca2, requests, span, replicas = view.one_row(query, values)
    return Seen(1.0 if ca2 is None else float(ca2), float(requests or 0.0), float(span or 0.0), int(replicas))
