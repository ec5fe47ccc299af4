"""How is the service? Counts, times by stage, drift, errors, and the same of the time before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from analytics.filters import Filter
from analytics.filters.sql import condition_of
from analytics.requests import Joined
from telemetry import fields

DRIFT_MS = 100.0
"""Beyond this a drift counts as bad: between EBU R37's 60 ms and the 125 ms at which ITU-R BT.1359 found late sound noticed."""


@dataclass(frozen=True)
class Period:
    """Counts and rates of a stretch of time; a rate is None where there is nothing to divide by. Sampled rows are weighted."""

    requests: int
    ended_well: float | None
    failed: int
    cancelled: int
    latency_p50_s: float | None
    latency_p95_s: float | None
    latency_p99_s: float | None
    measured: float | None
    """Share of the requests that ended well for which a drift was measured."""
    not_sure: float | None
    """Share of those that were measured or tried for which the meter was not sure."""
    drifted: float | None
    """Share of the measured ones beyond DRIFT_MS."""
    synthetic: int


@dataclass(frozen=True)
class Health:
    """The period, the one of the same length before it (None where nothing is known of it), and the tables behind the pictures."""

    now: Period
    before: Period | None
    stages: pa.Table
    """stage, n, p50_ms, p95_ms, p99_ms."""
    drift: pa.Table
    """from_ms, to_ms, count: the distribution of audio_drift_ms in bins of 20 ms; the last is open."""
    errors: pa.Table
    """error_type, failed_stage, count, share of the requests."""
    over_time: pa.Table
    """at, failed, drifted (ended well, beyond DRIFT_MS), ok (ended well, the others): counts in at most 60 equal bins."""


_WEIGHT = "coalesce(weight, 1.0)"
_SHARES = "[0.5, 0.95, 0.99]"
"""As a list: one sort for the three of them."""
_WELL = "status = 'ok'"
_PERIOD = f"""count(*), coalesce(sum({_WEIGHT}) FILTER ({_WELL}), 0) / sum({_WEIGHT}),
    count(*) FILTER (status = 'error'), count(*) FILTER (status = 'cancelled'),
    quantile_cont(latency_s, {_SHARES}) FILTER ({_WELL}),
    coalesce(sum({_WEIGHT}) FILTER ({_WELL} AND audio_drift_ms IS NOT NULL), 0) / sum({_WEIGHT}) FILTER ({_WELL}),
    coalesce(sum({_WEIGHT}) FILTER (sync_reason = 'not_sure'), 0)
    / sum({_WEIGHT}) FILTER (sync_reason IN ('not_sure', 'measured')),
    coalesce(sum({_WEIGHT}) FILTER (audio_drift_ms > {DRIFT_MS}), 0) / sum({_WEIGHT}) FILTER (audio_drift_ms IS NOT NULL),
    count(*) FILTER (synthetic)"""


@dataclass(frozen=True)
class _Rows:
    """The requests that pass a filter, asked in place: a copy of a million of them costs more than all the questions."""

    view: Joined
    condition: str
    values: tuple[Any, ...]

    def between(self, low: int, high: int) -> str:
        """The rows that began in `[low, high)`, as the end of a SELECT."""
        return f"FROM requests WHERE {self.condition} AND epoch_ns(started_at) >= {low} AND epoch_ns(started_at) < {high}"

    def one(self, query: str) -> tuple[Any, ...]:
        return self.view.one_row(query, self.values)

    def table(self, query: str) -> pa.Table:
        return self.view.rows(query, self.values)


def health(view: Joined, where: Filter | None = None, since_ns: int | None = None, until_ns: int | None = None) -> Health:
    """The health of the requests that pass a filter and began in `[since_ns, until_ns)`, compared with as long a time before."""
    rows = _Rows(view, *condition_of(where))
    ends = "coalesce(epoch_ns(min(started_at)), 0), coalesce(epoch_ns(max(started_at)) + 1, 0)"
    low, high = rows.one(f"SELECT {ends} FROM requests WHERE {rows.condition}")
    low, high = low if since_ns is None else since_ns, high if until_ns is None else until_ns
    inside = rows.between(low, high)
    now, stages = _now(rows, inside)
    before = None if since_ns is None else _period(rows.one(f"SELECT {_PERIOD} {rows.between(low - (high - low), low)}"))
    return Health(
        now=now,
        before=before if before and before.requests else None,
        stages=stages,
        drift=_drift(rows, inside),
        errors=_errors(rows, inside, now.requests),
        over_time=_over_time(rows, inside, low, high),
    )


def _period(row: Sequence[Any]) -> Period:
    requests, ended_well, failed, cancelled, latency, *rest = row
    p50, p95, p99 = latency or (None, None, None)
    measured, not_sure, drifted, synthetic = rest
    return Period(requests, ended_well, failed, cancelled, p50, p95, p99, measured, not_sure, drifted, synthetic)


def _now(rows: _Rows, inside: str) -> tuple[Period, pa.Table]:
    """The period and the times of its stages, in one look at the rows."""
    asked = ", ".join(f"count({stage}_ms), quantile_cont({stage}_ms, {_SHARES})" for stage in fields.STAGES)
    found = rows.one(f"SELECT {asked}, {_PERIOD} {inside}")
    width = 2 * len(fields.STAGES)
    times = [(stage, found[2 * k], *(found[2 * k + 1] or ())) for k, stage in enumerate(fields.STAGES) if found[2 * k]]
    return _period(found[width:]), pa.Table.from_pylist([dict(zip(_STAGES.names, one, strict=True)) for one in times], _STAGES)


_STAGES = pa.schema({"stage": pa.string(), "n": pa.int64(), **{f"{q}_ms": pa.float64() for q in ("p50", "p95", "p99")}})


def _drift(rows: _Rows, inside: str) -> pa.Table:
    return rows.table(
        f"""WITH bins AS (SELECT least(floor(audio_drift_ms / 20), 20)::INT AS bin, count(*) AS count {inside}
                          AND audio_drift_ms IS NOT NULL GROUP BY bin)
            SELECT (bin * 20)::DOUBLE AS from_ms,
            CASE WHEN bin < 20 THEN (bin * 20 + 20)::DOUBLE END AS to_ms, count FROM bins ORDER BY bin"""
    )


def _errors(rows: _Rows, inside: str, of: int) -> pa.Table:
    return rows.table(
        f"""SELECT error_type, failed_stage, count(*) AS count, count(*) / {max(of, 1)} AS share
            {inside} AND error_type IS NOT NULL GROUP BY ALL ORDER BY count DESC, error_type LIMIT 20"""
    )


def _over_time(rows: _Rows, inside: str, low: int, high: int) -> pa.Table:
    step = (high - low) // 60 + 1
    return rows.table(
        f"""SELECT make_timestamp_ns({low} + bin * {step}) AS at, ok, failed, drifted FROM (
            SELECT ((epoch_ns(started_at) - {low}) // {step})::BIGINT AS bin,
                   count(*) FILTER ({_WELL} AND coalesce(audio_drift_ms, 0) <= {DRIFT_MS}) AS ok,
                   count(*) FILTER (status = 'error') AS failed,
                   count(*) FILTER ({_WELL} AND audio_drift_ms > {DRIFT_MS}) AS drifted
            {inside} GROUP BY bin) ORDER BY bin"""
    )
