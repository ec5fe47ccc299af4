"""What `GET /metrics` says, in Prometheus' conventions: base units, `_total` on counters, and few label values.

Two processes count: the runner what it ended (`RunnerMeters`), the door what it refused and what it finds in the table and in the
files of telemetry (`DoorMeters`). Counters begin at zero when their process does; `rate()` and `increase()` know that.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE

from serve import jobs
from serve.jobs import JobTable
from serve.tables import JOBS, WEBHOOKS
from serve.terms import PRIORITIES
from telemetry import fields
from telemetry.forward import read_status
from telemetry.journal import read_losses

__all__ = ["CONTENT_TYPE", "DoorMeters", "RunnerMeters"]

_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 2, 3, 5, 10, 20, 30, 60, 120, 300, 600)
"""A stage of a short clip takes 10 ms to 2 s on two cores, that of ten minutes of speech up to ten minutes."""
_DRIFT = (0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3, 0.5, 1)
"""EBU R37 allows 40 ms early and 60 ms late; people notice from about 100 ms on."""


class RunnerMeters:
    """Counts what the runner ends."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._ended = Counter(
            "sonoscope_requests",
            "Requests that ended, by status and error type.",
            ["operation", "status", "error_type"],
            registry=registry,
        )
        self._again = Counter(
            "sonoscope_attempts_failed", "Attempts that failed and are tried again.", ["error_type"], registry=registry
        )
        self._stages = Histogram("sonoscope_stage_seconds", "Time of a stage.", ["stage"], buckets=_SECONDS, registry=registry)
        self._waits = Histogram("sonoscope_queue_wait_seconds", "Wait for the first stage.", buckets=_SECONDS, registry=registry)
        self._latency = Histogram(
            "sonoscope_latency_seconds", "Acceptance to end of a request that ended well.", buckets=_SECONDS, registry=registry
        )
        self._drift = Histogram(
            "sonoscope_audio_drift_seconds", "Sound against lips, absolute, where measured.", buckets=_DRIFT, registry=registry
        )
        self._video = Counter("sonoscope_video_seconds", "Seconds of video that were made.", registry=registry)

    def ended(self, row: Mapping[str, Any]) -> None:
        """Counts a request by its flat row."""
        self._ended.labels(row.get("operation", ""), row["status"], row.get("error_type") or "").inc()
        for stage in fields.STAGES:
            if row.get(f"{stage}_ms") is not None:
                self._stages.labels(stage).observe(row[f"{stage}_ms"] / 1e3)
        self._waits.observe(row.get("queue_wait_ms", 0.0) / 1e3)
        if row["status"] == "ok":
            self._latency.observe(row["latency_s"])
            self._video.inc(row.get("video_s") or 0.0)
        if row.get("audio_drift_ms") is not None:
            self._drift.observe(row["audio_drift_ms"] / 1e3)

    def tried_again(self, error_type: str) -> None:
        """Counts an attempt that was not the last."""
        self._again.labels(error_type).inc()

    def text(self) -> bytes:
        """The exposition."""
        return generate_latest(self._registry)


class DoorMeters:
    """Counts refusals, and looks into the table and the files when asked."""

    def __init__(self, table: JobTable, data_dir: Path, limit: int):
        self._table = table
        self._data_dir = data_dir
        self._limit = limit
        self._registry = CollectorRegistry()
        self._refused = Counter(
            "sonoscope_refused", "Requests that the door refused, by error type.", ["error_type"], registry=self._registry
        )

    def refused(self, error_type: str) -> None:
        """Counts a refusal."""
        self._refused.labels(error_type).inc()

    def text(self, runner: bytes | None) -> bytes:
        """The exposition, with the runner's (None: it did not answer). Blocking."""
        registry = CollectorRegistry()
        _set(registry, "sonoscope_runner_up", "Whether the runner answered this scrape.", float(runner is not None))
        _set(registry, "sonoscope_queue_limit", "Jobs that may wait.", float(self._limit))
        self._queue(registry)
        self._telemetry(registry)
        return generate_latest(self._registry) + generate_latest(registry) + (runner or b"")

    def _queue(self, registry: CollectorRegistry) -> None:
        depth = Gauge("sonoscope_queue_depth", "Jobs that wait, by priority.", ["priority"], registry=registry)
        queued = sa.select(JOBS.c.priority, sa.func.count(), sa.func.min(JOBS.c.accepted_ns)).where(JOBS.c.state == jobs.QUEUED)
        running = sa.select(sa.func.count()).where(JOBS.c.state == jobs.RUNNING)
        hooks = sa.select(sa.func.count()).where(WEBHOOKS.c.next_at.is_not(None))
        with self._table.engine.connect() as connection:
            found = {priority: (count, oldest) for priority, count, oldest in connection.execute(queued.group_by(JOBS.c.priority))}
            in_flight, pending = connection.execute(running).scalar_one(), connection.execute(hooks).scalar_one()
        for name, priority in PRIORITIES.items():
            depth.labels(name).set(found.get(priority, (0, 0))[0])
        age_s = max((time.time() - oldest / 1e9 for _, oldest in found.values()), default=0.0)
        _set(registry, "sonoscope_queue_oldest_age_seconds", "Age of the oldest job that waits.", max(0.0, age_s))
        _set(registry, "sonoscope_jobs_in_flight", "Jobs that run.", float(in_flight))
        _set(registry, "sonoscope_webhooks_pending", "Webhooks that are still to be told.", float(pending))

    def _telemetry(self, registry: CollectorRegistry) -> None:
        losses = read_losses(self._data_dir / "journal")
        lost = Gauge("sonoscope_telemetry_lost", "Lines of telemetry that could not be written.", ["kind"], registry=registry)
        for kind in ("spans", "events"):
            lost.labels(kind).set(losses[f"{kind}_lost"])
        segments = [path.stat() for path in _segments(self._data_dir / "journal")]
        _set(registry, "sonoscope_journal_bytes", "Journal on disk.", float(sum(one.st_size for one in segments)))
        oldest = max((time.time() - one.st_mtime for one in segments), default=0.0)
        _set(registry, "sonoscope_journal_oldest_age_seconds", "Age of the oldest segment.", max(0.0, oldest))
        status = read_status(self._data_dir)
        if status is not None:  # where nothing is forwarded there is nothing to say
            lag = Gauge("sonoscope_forward_lag_bytes", "Telemetry that waits for its server.", ["kind"], registry=registry)
            for kind, one in status["kinds"].items():
                lag.labels(kind).set(one["lag_bytes"])
            _set(registry, "sonoscope_forward_status_age_seconds", "Since the forwarder last spoke.", time.time() - status["at"])


def _set(registry: CollectorRegistry, name: str, words: str, value: float) -> None:
    Gauge(name, words, registry=registry).set(value)


def _segments(journal: Path) -> list[Path]:
    return [path for folder in (journal, journal / "sealed") for path in folder.glob("*.jsonl") if path.exists()]
