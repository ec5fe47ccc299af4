"""How is the service? Counts, times by stage, drift, errors, and the same of the time before."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from analytics.filters import Filter
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
_COLUMNS = (
    "started_at", "status", "weight", "latency_s", "audio_drift_ms", "sync_reason", "error_type", "failed_stage", "synthetic",
    *(f"{stage}_ms" for stage in fields.STAGES),
)  # fmt: skip
_SHARES = "[0.5, 0.95, 0.99]"
"""As a list: one sort for the three of them."""
_INSIDE = "epoch_ns(started_at) >= $low AND epoch_ns(started_at) < $high"


def health(view: Joined, where: Filter | None = None, since_ns: int | None = None, until_ns: int | None = None) -> Health:
    """The health of the requests that pass a filter and began in `[since_ns, until_ns)`, compared with as long a time before."""
    view.choose(_COLUMNS, where)
    low, high = (
        int(bound or 0)
        for bound in view.one_row(
            "SELECT coalesce($since, epoch_ns(min(started_at))), coalesce($until, epoch_ns(max(started_at)) + 1) FROM chosen",
            {"since": since_ns, "until": until_ns},
        )
    )
    at = {"low": low, "high": high}
    before = _period(view, {"low": low - (high - low), "high": low})
    return Health(
        now=_period(view, at),
        before=before if before.requests else None,
        stages=_stages(view, at),
        drift=_drift(view, at),
        errors=_errors(view, at),
        over_time=_over_time(view, at),
    )


def _period(view: Joined, at: dict[str, int]) -> Period:
    well, weight = "status = 'ok'", _WEIGHT
    row = view.one_row(
        f"""SELECT count(*), coalesce(sum({weight}) FILTER ({well}), 0) / sum({weight}),
                count(*) FILTER (status = 'error'), count(*) FILTER (status = 'cancelled'),
                quantile_cont(latency_s, {_SHARES}) FILTER ({well}),
                coalesce(sum({weight}) FILTER ({well} AND audio_drift_ms IS NOT NULL), 0) / sum({weight}) FILTER ({well}),
                coalesce(sum({weight}) FILTER (sync_reason = 'not_sure'), 0)
                / sum({weight}) FILTER (sync_reason IN ('not_sure', 'measured')),
                coalesce(sum({weight}) FILTER (audio_drift_ms > {DRIFT_MS}), 0) / sum({weight}) FILTER (audio_drift_ms IS NOT NULL),
                count(*) FILTER (synthetic)
                FROM chosen WHERE {_INSIDE}""",
        at,
    )
    requests, ended_well, failed, cancelled, latency, *rest = row
    p50, p95, p99 = latency or (None, None, None)
    measured, not_sure, drifted, synthetic = rest
    return Period(requests, ended_well, failed, cancelled, p50, p95, p99, measured, not_sure, drifted, synthetic)


def _stages(view: Joined, at: dict[str, int]) -> pa.Table:
    asked = " UNION ALL ".join(
        f"SELECT '{stage}' AS stage, count({stage}_ms) AS n, quantile_cont({stage}_ms, {_SHARES}) AS q FROM chosen WHERE {_INSIDE}"
        for stage in fields.STAGES
    )
    return view.rows(f"SELECT stage, n, q[1] AS p50_ms, q[2] AS p95_ms, q[3] AS p99_ms FROM ({asked}) WHERE n > 0", at)


def _drift(view: Joined, at: dict[str, int]) -> pa.Table:
    return view.rows(
        f"""WITH bins AS (SELECT least(floor(audio_drift_ms / 20), 20)::INT AS bin, count(*) AS count FROM chosen
                          WHERE {_INSIDE} AND audio_drift_ms IS NOT NULL GROUP BY bin)
            SELECT (bin * 20)::DOUBLE AS from_ms,
            CASE WHEN bin < 20 THEN (bin * 20 + 20)::DOUBLE END AS to_ms, count FROM bins ORDER BY bin""",
        at,
    )


def _errors(view: Joined, at: dict[str, int]) -> pa.Table:
    return view.rows(
        f"""SELECT error_type, failed_stage, count(*) AS count, count(*) / (SELECT count(*) FROM chosen WHERE {_INSIDE}) AS share
            FROM chosen WHERE {_INSIDE} AND error_type IS NOT NULL GROUP BY ALL ORDER BY count DESC, error_type LIMIT 20""",
        at,
    )


def _over_time(view: Joined, at: dict[str, int]) -> pa.Table:
    return view.rows(
        f"""SELECT make_timestamp_ns($low + bin * step) AS at,
                   count(*) FILTER (status = 'ok' AND coalesce(audio_drift_ms, 0) <= {DRIFT_MS}) AS ok,
                   count(*) FILTER (status = 'error') AS failed,
                   count(*) FILTER (status = 'ok' AND audio_drift_ms > {DRIFT_MS}) AS drifted
            FROM (SELECT (($high - $low) / 60 + 1)::BIGINT AS step, ((epoch_ns(started_at) - $low) // step)::BIGINT AS bin,
                         status, audio_drift_ms FROM chosen WHERE {_INSIDE})
            GROUP BY bin, step ORDER BY bin""",
        at,
    )
