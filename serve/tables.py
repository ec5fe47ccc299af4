"""The database behind the jobs: tables and engines, the same for SQLite (a file) and PostgreSQL (by URL)."""

from __future__ import annotations

import random
import time
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DatabaseError

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
    sa.Column("attempt_limit", sa.Integer),  # null: the first is the last
    sa.Column("not_before", sa.Float),
    sa.Column("idempotency_key", sa.String(128), unique=True),
    sa.Column("content_hash", sa.String(64)),  # what the key stands for
    sa.Column("values", sa.JSON, nullable=False),  # parameters and identity: what the terminal row starts from
    sa.Column("traceparent", sa.String(55), nullable=False),  # the record span, whose ids are fixed at acceptance
    sa.Column("parent", sa.String(55)),  # the client's span
    sa.Column("accepted_ns", sa.BigInteger, nullable=False, index=True),
    sa.Column("queued_ns", sa.BigInteger),  # when this attempt began to wait
    sa.Column("started_ns", sa.BigInteger),
    sa.Column("ended_ns", sa.BigInteger, index=True),
    sa.Column("deadline", sa.Float),
    sa.Column("cancel_requested", sa.Boolean, nullable=False, default=False),
    sa.Column("runner", sa.String(64), index=True),  # who holds the lease
    sa.Column("lease_until", sa.Float),
    sa.Column("webhook_url", sa.Text),
    sa.Column("result", sa.JSON),  # the flat row of the request
    sa.Column("error", sa.JSON),
    sa.Column("told", sa.Boolean),  # false: final here, and perhaps not yet in the journal
    sa.Column("removed_ns", sa.BigInteger),  # when its result was removed
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

KEYS = sa.Table(
    "api_keys",
    _metadata,
    sa.Column("key_id", sa.String(12), primary_key=True),
    sa.Column("secret_hash", sa.String(64), nullable=False),  # SHA-256 of 32 random bytes
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("department", sa.String(128), nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("expires", sa.Float),  # a revoked key has expired
    sa.Column("per_minute", sa.Integer),
    sa.Column("at_once", sa.Integer),
)

AUDIT = sa.Table(
    "audit",
    _metadata,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("commitment", sa.String(64), nullable=False),  # SHA-256 of salt and entry
    sa.Column("hash", sa.String(64), nullable=False),  # SHA-256 of the hash before, the number and the commitment
    sa.Column("salt", sa.String(64)),  # null: erased
    sa.Column("entry", sa.Text),  # canonical JSON; null: erased
    sa.Column("at", sa.Float, nullable=False, index=True),
    sa.Column("request_id", sa.String(36), index=True),
    sa.Column("owner_hash", sa.String(64), index=True),
)
AUDIT_HEAD = sa.Table(
    "audit_head",
    _metadata,
    sa.Column("id", sa.Integer, primary_key=True),  # one row: who writes an entry holds it
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
)

AUDIT_START = "0" * 64
"""The hash before the first entry."""

WEBHOOKS = sa.Table(
    "webhooks",
    _metadata,
    sa.Column("job_id", sa.String(36), primary_key=True),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("tries", sa.Integer, nullable=False, default=0),
    sa.Column("next_at", sa.Float, index=True),  # null: delivered or given up
    sa.Column("delivered_ns", sa.BigInteger),
    sa.Column("last_error", sa.Text),
)


GONE = {
    "idle_in_transaction_session_timeout": "10s", "lock_timeout": "20s",
    "tcp_keepalives_idle": 10, "tcp_keepalives_interval": 5, "tcp_keepalives_count": 3,
}  # fmt: skip
"""PostgreSQL's own settings of each of our sessions. A machine that loses its power in a transaction says nothing: without them its
locks stay for two hours, and the runner that comes after it waits for them (found by tests/chaos/nodes.py)."""
_ALIVE = {"connect_timeout": 5, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 30_000}
"""The same from our side: a server that went without a word is noticed."""


def engine(url: str, *, durable: bool) -> sa.Engine:
    """An engine whose commits are on the disk when they return, or (not `durable`) a moment later.

    A `postgresql://` address means psycopg. Raises sqlalchemy.exc.ArgumentError for what is no address.
    """
    address = make_url(url)
    if address.drivername in ("postgresql", "postgres"):
        address = address.set(drivername="postgresql+psycopg")
    if address.get_backend_name() == "postgresql":
        session = GONE if durable else {**GONE, "synchronous_commit": "off"}
        options = " ".join(f"-c {name}={value}" for name, value in session.items())
        # Pre-ping: a server that was restarted between two calls must not cost the second.
        return sa.create_engine(address, connect_args={**_ALIVE, "options": options}, pool_pre_ping=True, pool_size=4)
    made = sa.create_engine(address)

    def tune(connection: Any, _record: Any) -> None:
        for pragma in ("journal_mode=WAL", f"synchronous={'FULL' if durable else 'NORMAL'}", "busy_timeout=10000"):
            connection.execute(f"PRAGMA {pragma}").close()

    event.listen(made, "connect", tune)
    return made


def prepare(engine: sa.Engine) -> None:
    """Makes the tables, and adds columns that an older version did not have. Processes that start together try again."""
    for left in range(5, -1, -1):
        try:
            _metadata.create_all(engine, checkfirst=True)
            _add_columns(engine)
            with engine.begin() as connection:
                if connection.execute(sa.select(AUDIT_HEAD.c.id)).first() is None:
                    connection.execute(AUDIT_HEAD.insert().values(id=1, seq=0, hash=AUDIT_START))
            return
        except DatabaseError:
            if not left:
                raise
            time.sleep(random.uniform(0.05, 0.5))


def _add_columns(engine: sa.Engine) -> None:
    known = {column["name"] for column in sa.inspect(engine).get_columns(JOBS.name)}
    with engine.begin() as connection:
        for column in JOBS.columns:
            if column.name not in known:
                kind = column.type.compile(engine.dialect)
                connection.execute(sa.text(f"ALTER TABLE {JOBS.name} ADD COLUMN {column.name} {kind}"))
