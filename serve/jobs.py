"""The table of jobs: every generation is one row, synced to disk before it is acknowledged.

States are set by the runner that does the work, never by the door that took the request in. The columns for retries, priorities,
idempotency and leases are here from the start, so that nothing has to be migrated when they are used.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from telemetry.names import Synonyms, matches

QUEUED, RUNNING, SUCCEEDED, FAILED, CANCELLED = "queued", "running", "succeeded", "failed", "cancelled"
FINAL_STATES = (SUCCEEDED, FAILED, CANCELLED)

_metadata = sa.MetaData()

JOBS = sa.Table(
    "jobs",
    _metadata,
    sa.Column("job_id", sa.String(36), primary_key=True),
    sa.Column("request_id", sa.String(36), nullable=False, unique=True),
    sa.Column("operation", sa.String(16), nullable=False),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    sa.Column("stage", sa.String(32)),
    sa.Column("step", sa.Integer),
    sa.Column("steps", sa.Integer),
    sa.Column("frames", sa.Integer),
    sa.Column("frames_total", sa.Integer),
    sa.Column("priority", sa.Integer, nullable=False, default=0),
    sa.Column("attempt", sa.Integer, nullable=False, default=1),
    sa.Column("not_before", sa.Float),
    sa.Column("idempotency_key", sa.String(128), unique=True),
    sa.Column("values", sa.JSON, nullable=False),  # parameters and identity: what the terminal row starts from
    sa.Column("traceparent", sa.String(55), nullable=False),  # the record span, whose ids are fixed at acceptance
    sa.Column("parent", sa.String(55)),  # the client's span
    sa.Column("accepted_ns", sa.BigInteger, nullable=False, index=True),
    sa.Column("started_ns", sa.BigInteger),
    sa.Column("ended_ns", sa.BigInteger),
    sa.Column("deadline", sa.Float),
    sa.Column("cancel_requested", sa.Boolean, nullable=False, default=False),
    sa.Column("runner", sa.String(64), index=True),  # who holds the lease
    sa.Column("lease_until", sa.Float),
    sa.Column("webhook_url", sa.Text),
    sa.Column("result", sa.JSON),  # the flat row of the request
    sa.Column("error", sa.JSON),
)

ASSETS = sa.Table(
    "assets",
    _metadata,
    sa.Column("asset_id", sa.String(64), primary_key=True),
    sa.Column("owner_hash", sa.String(64), primary_key=True),
    sa.Column("name", sa.Text),  # the clear name stays here, unless redact_keep_names puts it into events as well
    sa.Column("search_keys", sa.JSON, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
)

Row = sa.RowMapping


def _engine(url: str, synchronous: str) -> sa.Engine:
    """An engine whose SQLite commits are on the disk when they return (FULL), or a moment later (NORMAL)."""
    engine = sa.create_engine(url)

    def tune(connection: Any, _record: Any) -> None:
        for pragma in ("journal_mode=WAL", f"synchronous={synchronous}", "busy_timeout=10000"):
            connection.execute(f"PRAGMA {pragma}").close()

    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", tune)
    return engine


class JobTable:
    """Blocking access to the table; callers in an event loop use a thread. Safe for several processes and threads."""

    def __init__(self, url: str):
        self._engine = _engine(url, "FULL")  # an accepted job survives a power cut
        self._unsynced = _engine(url, "NORMAL")
        _metadata.create_all(self._engine, checkfirst=True)

    def add(self, row: Mapping[str, Any]) -> None:
        """Stores a new job; it is on the disk when this returns."""
        with self._engine.begin() as connection:
            connection.execute(JOBS.insert().values(**row))

    def add_asset(self, asset_id: str, owner_hash: str, name: str | None, size: int, keys: Sequence[str] = ()) -> None:
        """Notes who uploaded what under which name; a second upload of the same bytes by the same owner changes nothing."""
        row = {"asset_id": asset_id, "owner_hash": owner_hash, "name": name, "bytes": size, "created": time.time()}
        row["search_keys"] = list(keys)
        with self._engine.begin() as connection:
            known = sa.select(ASSETS.c.asset_id).where(ASSETS.c.asset_id == asset_id, ASSETS.c.owner_hash == owner_hash)
            if connection.execute(known).first() is None:
                connection.execute(ASSETS.insert().values(**row))

    def find_assets(self, query: str, synonyms: Synonyms | None = None) -> list[Row]:
        """The uploads whose name `query` finds (letters, pinyin, synonyms, one letter off), newest first."""
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(ASSETS).order_by(ASSETS.c.created.desc())).mappings().all()
        return [row for row in rows if matches(query, row["search_keys"], synonyms)]

    def get(self, id: str) -> Row | None:
        """The job with this job_id or request_id."""
        query = sa.select(JOBS).where(sa.or_(JOBS.c.job_id == id, JOBS.c.request_id == id))
        with self._engine.connect() as connection:
            return connection.execute(query).mappings().first()

    def list(self, *, states: Sequence[str] = (), limit: int = 100) -> Sequence[Row]:
        """The newest jobs, newest first."""
        query = sa.select(JOBS).order_by(JOBS.c.accepted_ns.desc()).limit(limit)
        if states:
            query = query.where(JOBS.c.state.in_(states))
        with self._engine.connect() as connection:
            return connection.execute(query).mappings().all()

    def waiting(self) -> int:
        """How many jobs are queued."""
        with self._engine.connect() as connection:
            return connection.execute(sa.select(sa.func.count()).where(JOBS.c.state == QUEUED)).scalar_one()

    def position(self, row: Row) -> int:
        """How many queued jobs go before this one."""
        first = sa.or_(
            JOBS.c.priority > row["priority"],
            sa.and_(JOBS.c.priority == row["priority"], JOBS.c.accepted_ns < row["accepted_ns"]),
        )
        with self._engine.connect() as connection:
            return connection.execute(sa.select(sa.func.count()).where(JOBS.c.state == QUEUED, first)).scalar_one()

    def claim(self, runner: str) -> Row | None:
        """Takes the next queued job for `runner` (highest priority, then oldest) and returns it; None where there is none."""
        ready = sa.or_(JOBS.c.not_before.is_(None), JOBS.c.not_before <= time.time())
        order = (JOBS.c.priority.desc(), JOBS.c.accepted_ns)
        head = sa.select(JOBS.c.job_id).where(JOBS.c.state == QUEUED, ready).order_by(*order).limit(1).scalar_subquery()
        take = sa.update(JOBS).where(JOBS.c.job_id == head, JOBS.c.state == QUEUED)
        take = take.values(state=RUNNING, runner=runner, started_ns=time.time_ns()).returning(JOBS)
        with self._engine.begin() as connection:
            return connection.execute(take).mappings().first()

    def note(self, job_id: str, **values: Any) -> None:
        """Sets progress columns of one job, without waiting for the disk: a power cut may lose them, and nothing else."""
        with self._unsynced.begin() as connection:
            connection.execute(sa.update(JOBS).where(JOBS.c.job_id == job_id).values(**values))

    def update(self, job_id: str, **values: Any) -> None:
        """Sets columns of one job."""
        with self._engine.begin() as connection:
            connection.execute(sa.update(JOBS).where(JOBS.c.job_id == job_id).values(**values))

    def finish(self, job_id: str, state: str, **values: Any) -> bool:
        """Moves a job into a final state; False where it already was in one (nothing is then changed)."""
        done = sa.update(JOBS).where(JOBS.c.job_id == job_id, JOBS.c.state.not_in(FINAL_STATES))
        with self._engine.begin() as connection:
            return connection.execute(done.values(state=state, **values)).rowcount == 1

    def request_cancel(self, job_id: str) -> None:
        """Asks for a job to be cancelled; its runner sees to it."""
        self.update(job_id, cancel_requested=True)

    def orphans(self, runner: str) -> Sequence[Row]:
        """Running jobs that another runner than `runner` holds: with one runner at a time, their runner is dead."""
        query = sa.select(JOBS).where(JOBS.c.state == RUNNING, JOBS.c.runner != runner)
        with self._engine.connect() as connection:
            return connection.execute(query).mappings().all()
