"""The table of jobs, on both databases; rows and workers for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from serve import jobs
from serve.jobs import JobTable
from serve.tables import JOBS, WEBHOOKS


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[JobTable]:
    """An empty table, once in a file and once in a real PostgreSQL."""
    url = f"sqlite:///{tmp_path / 'jobs.db'}" if request.param == "sqlite" else request.getfixturevalue("postgres").url
    table = JobTable(url)
    with table.engine.begin() as connection:
        for one in (JOBS, WEBHOOKS):
            connection.execute(sa.delete(one))
    yield table
    table.close()


@pytest.fixture
def job() -> Callable[..., dict[str, Any]]:
    """`job(id, **more)`: a queued job as the door stores it."""

    def made(job_id: str | None = None, **more: Any) -> dict[str, Any]:
        job_id = job_id or uuid4().hex[:12]
        return {
            "job_id": job_id, "request_id": f"r-{job_id}", "operation": "generate", "state": jobs.QUEUED, "attempt": 1,
            "attempt_limit": 3, "priority": 0, "values": {"fps": 25.0, "min_resolution": 512}, "cancel_requested": False,
            "traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01", "accepted_ns": time.time_ns(), **more,
        }  # fmt: skip

    return made
