"""The table of jobs: every generation is one row, synced to disk before it is acknowledged.

States are set by the runner that does the work, never by the door that took the request in. A runner holds a job by a lease that it
renews; a lease that ends means that its runner is dead, and whatever such a runner still writes changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from serve import audit
from serve.tables import ASSETS, JOBS, WEBHOOKS, engine, prepare
from telemetry import fields
from telemetry.names import Synonyms, matches

QUEUED, RUNNING, SUCCEEDED, FAILED, CANCELLED = "queued", "running", "succeeded", "failed", "cancelled"
FINAL_STATES = (SUCCEEDED, FAILED, CANCELLED)

Row = sa.RowMapping


_DEPARTMENT = JOBS.c["values"]["department"].as_string()


def _named(row: Mapping[str, Any]) -> dict[str, Any]:
    """Who and what a job is, for the audit trail."""
    kept = ("department", "owner_hash", "portrait_hash", "audio_hash", "replay_of")
    return {"request_id": row["request_id"], "job_id": row["job_id"], **{name: row["values"].get(name) for name in kept}}


def _settings(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row["values"][name] for name in fields.names("parameter") if name in row["values"]}


class KeyTaken(Exception):
    """Another job has this idempotency key."""


class JobTable:
    """Blocking access to the table; callers in an event loop use a thread. Safe for several processes and threads."""

    def __init__(self, url: str):
        self.engine = engine(url, durable=True)  # an accepted job survives a power cut
        self._unsynced = engine(url, durable=False)
        prepare(self.engine)

    def close(self) -> None:
        """Ends the connections."""
        self.engine.dispose()
        self._unsynced.dispose()

    def add(self, row: Mapping[str, Any], action: audit.Action = "generate", told: Mapping[str, Any] | None = None) -> None:
        """Stores a new job and its audit entry (`action`, and what `told` adds to it); both are on the disk when this returns.

        Raises KeyTaken.
        """
        try:
            with self.engine.begin() as connection:
                connection.execute(JOBS.insert().values(**{"queued_ns": row["accepted_ns"], **row}))
                audit.write(connection, action, {**_named(row), "settings": _settings(row), **(told or {})})
        except IntegrityError:
            if row.get("idempotency_key") and self.by_key(row["idempotency_key"]) is not None:
                raise KeyTaken from None
            raise

    def add_asset(self, asset_id: str, owner_hash: str, name: str | None, size: int, keys: Sequence[str] = ()) -> None:
        """Notes who uploaded what under which name; a second upload of the same bytes by the same owner changes nothing."""
        row = {"asset_id": asset_id, "owner_hash": owner_hash, "name": name, "bytes": size, "created": time.time()}
        row["search_keys"] = list(keys)
        known = sa.select(ASSETS.c.asset_id).where(ASSETS.c.asset_id == asset_id, ASSETS.c.owner_hash == owner_hash)
        try:
            with self.engine.begin() as connection:
                if connection.execute(known).first() is None:
                    connection.execute(ASSETS.insert().values(**row))
        except IntegrityError:
            if not self._all(known):  # else the same upload came twice at the same moment
                raise

    def add_assets(self, owner_hash: str, assets: Sequence[tuple[str, str | None, int, Sequence[str]]]) -> None:
        """As `add_asset`, for (asset id, name, bytes, keys) of many, without waiting for the disk: a power cut may lose them."""
        made = {id: {"asset_id": id, "name": name, "bytes": size, "search_keys": list(keys)} for id, name, size, keys in assets}
        known = sa.select(ASSETS.c.asset_id).where(ASSETS.c.owner_hash == owner_hash, ASSETS.c.asset_id.in_(made))
        rest = {"owner_hash": owner_hash, "created": time.time()}
        try:
            with self._unsynced.begin() as connection:
                old = set(connection.execute(known).scalars())
                if new := [row | rest for id, row in made.items() if id not in old]:
                    connection.execute(ASSETS.insert(), new)
        except IntegrityError:  # one of them came twice at the same moment
            for id, name, size, keys in assets:
                self.add_asset(id, owner_hash, name, size, keys)

    def find_assets(self, query: str, synonyms: Synonyms | None = None) -> list[Row]:
        """The uploads whose name `query` finds (letters, pinyin, synonyms, one letter off), newest first."""
        rows = self._all(sa.select(ASSETS).order_by(ASSETS.c.created.desc()))
        return [row for row in rows if matches(query, row["search_keys"], synonyms)]

    def get(self, id: str) -> Row | None:
        """The job with this job_id or request_id."""
        return self._first(sa.select(JOBS).where(sa.or_(JOBS.c.job_id == id, JOBS.c.request_id == id)))

    def by_key(self, idempotency_key: str) -> Row | None:
        """The job with this idempotency key."""
        return self._first(sa.select(JOBS).where(JOBS.c.idempotency_key == idempotency_key))

    def list(self, *, states: Sequence[str] = (), limit: int = 100, department: str | None = None) -> Sequence[Row]:
        """The newest jobs (of one department), newest first."""
        query = sa.select(JOBS).order_by(JOBS.c.accepted_ns.desc()).limit(limit)
        if department is not None:
            query = query.where(department == _DEPARTMENT)
        return self._all(query.where(JOBS.c.state.in_(states)) if states else query)

    def waiting(self) -> int:
        """How many jobs are queued."""
        with self.engine.connect() as connection:
            return connection.execute(sa.select(sa.func.count()).where(JOBS.c.state == QUEUED)).scalar_one()

    def unfinished(self, department: str) -> int:
        """How many jobs of a department have not ended."""
        mine = sa.select(sa.func.count()).where(JOBS.c.state.in_((QUEUED, RUNNING)), department == _DEPARTMENT)
        with self.engine.connect() as connection:
            return connection.execute(mine).scalar_one()

    def running_traces(self) -> set[str]:
        """The trace ids of the jobs that have not ended."""
        with self.engine.connect() as connection:
            found = connection.execute(sa.select(JOBS.c.traceparent).where(JOBS.c.state.in_((QUEUED, RUNNING)))).scalars()
            return {traceparent.split("-")[1] for traceparent in found}

    def has_asset(self, asset_id: str, owner_hash: str) -> bool:
        """Whether this owner has uploaded these bytes."""
        return bool(self._all(sa.select(ASSETS.c.asset_id).where(ASSETS.c.asset_id == asset_id, ASSETS.c.owner_hash == owner_hash)))

    def wanted_assets(self) -> set[str]:
        """Ids of the uploads that a job needs which has not ended."""
        rows = self._all(sa.select(JOBS).where(JOBS.c.state.in_((QUEUED, RUNNING))))
        return {row["values"][name] for row in rows for name in ("portrait_hash", "audio_hash") if row["values"].get(name)}

    def forget_assets(self, asset_ids: Sequence[str]) -> None:
        """Takes uploads out of the catalogue, whoever sent them."""
        with self.engine.begin() as connection:
            for start in range(0, len(asset_ids), 500):
                connection.execute(sa.delete(ASSETS).where(ASSETS.c.asset_id.in_(asset_ids[start : start + 500])))

    def ahead(self, row: Row) -> Sequence[Row]:
        """`values` and `started_ns` of the jobs that run, and of the queued ones that go before this one."""
        first = sa.or_(
            JOBS.c.priority > row["priority"],
            sa.and_(JOBS.c.priority == row["priority"], JOBS.c.accepted_ns < row["accepted_ns"]),
        )
        query = sa.select(JOBS.c.state, JOBS.c.started_ns, JOBS.c["values"])
        return self._all(query.where(sa.or_(JOBS.c.state == RUNNING, sa.and_(JOBS.c.state == QUEUED, first))))

    def claim(self, runner: str, lease_s: float) -> Row | None:
        """Takes the next queued job for `runner` (highest priority, then oldest) and returns it; None where there is none."""
        ready = sa.or_(JOBS.c.not_before.is_(None), JOBS.c.not_before <= time.time())
        order = (JOBS.c.priority.desc(), JOBS.c.accepted_ns)
        head = sa.select(JOBS.c.job_id).where(JOBS.c.state == QUEUED, ready).order_by(*order).limit(1)
        # PostgreSQL: two that claim at once must not both wait for the same row. SQLite has one writer and leaves this out.
        return self._take(JOBS.c.job_id == head.with_for_update(skip_locked=True).scalar_subquery(), runner, lease_s)

    def take(self, job_id: str, runner: str, lease_s: float) -> Row | None:
        """Takes this job for `runner` if it is queued."""
        return self._take(JOBS.c.job_id == job_id, runner, lease_s)

    def _take(self, which: sa.ColumnElement[bool], runner: str, lease_s: float) -> Row | None:
        held = {"runner": runner, "lease_until": time.time() + lease_s, "started_ns": time.time_ns()}
        take = sa.update(JOBS).where(which, JOBS.c.state == QUEUED).values(state=RUNNING, **held).returning(JOBS)
        with self.engine.begin() as connection:
            return connection.execute(take).mappings().first()

    def renew(self, runner: str, lease_s: float) -> dict[str, bool]:
        """Prolongs every lease of `runner`. Returns the jobs that it holds, and for each whether it is to be cancelled."""
        mine = sa.update(JOBS).where(JOBS.c.state == RUNNING, JOBS.c.runner == runner)
        mine = mine.values(lease_until=time.time() + lease_s).returning(JOBS.c.job_id, JOBS.c.cancel_requested)
        with self._unsynced.begin() as connection:
            return {row.job_id: row.cancel_requested for row in connection.execute(mine)}

    def abandoned(self, runner: str) -> Sequence[Row]:
        """Running jobs whose lease has ended, and which `runner`, who asks and therefore lives, does not hold."""
        ended = sa.or_(JOBS.c.lease_until.is_(None), JOBS.c.lease_until < time.time())
        return self._all(sa.select(JOBS).where(JOBS.c.state == RUNNING, ended, JOBS.c.runner != runner))

    def hopeless(self) -> Sequence[Row]:
        """Queued jobs that need no device to end: those to be cancelled, and those whose deadline has passed."""
        over = sa.or_(JOBS.c.cancel_requested, JOBS.c.deadline < time.time())
        return self._all(sa.select(JOBS).where(JOBS.c.state == QUEUED, over))

    def requeue(self, row: Row, *, not_before: float, values: Mapping[str, Any], extra: int = 0) -> bool:
        """Lets a job wait for its next attempt; False where `row` is not what the table holds any more.

        `extra`: attempts beyond the limit, where it was not the job's fault.
        """
        limit = None if row["attempt_limit"] is None else row["attempt_limit"] + extra
        again = sa.update(JOBS).where(self._held(row), sa.not_(JOBS.c.cancel_requested))
        again = again.values(
            state=QUEUED, attempt=row["attempt"] + 1, attempt_limit=limit, not_before=not_before, values=dict(values),
            queued_ns=time.time_ns(), runner=None, lease_until=None, stage=None, step=None, steps=None, frames=None,
        )  # fmt: skip
        with self.engine.begin() as connection:
            return connection.execute(again).rowcount == 1

    @staticmethod
    def _held(row: Row) -> sa.ColumnElement[bool]:
        """The job as `row` has it: the same attempt in the hands of the same runner."""
        return sa.and_(
            JOBS.c.job_id == row["job_id"],
            JOBS.c.state == RUNNING,
            JOBS.c.runner == row["runner"],
            JOBS.c.attempt == row["attempt"],
        )

    def finish(self, row: Row, state: str, **values: Any) -> bool:
        """Moves a job into a final state; False where `row` is not what the table holds any more (nothing is then changed).

        Its webhook, if it has one, is due from then on: both or neither are on the disk.
        """
        done = sa.update(JOBS).where(self._held(row)).values(state=state, told=False, lease_until=None, **values)
        with self.engine.begin() as connection:
            if connection.execute(done).rowcount != 1:
                return False
            came = {"state": state, "attempt": row["attempt"], "error_type": (values.get("error") or {}).get("type")}
            audit.write(connection, "ended", {**_named(dict(row)), **came})
            if row["webhook_url"]:
                hook = {"job_id": row["job_id"], "url": row["webhook_url"], "tries": 0, "next_at": time.time()}
                connection.execute(WEBHOOKS.insert().values(**hook))
        return True

    def untold(self, runner: str, before_ns: int) -> Sequence[Row]:
        """Jobs whose end before `before_ns` another runner than `runner` may not have written into the journal."""
        return self._all(sa.select(JOBS).where(sa.not_(JOBS.c.told), JOBS.c.runner != runner, JOBS.c.ended_ns < before_ns))

    def note(self, job_id: str, runner: str, **values: Any) -> None:
        """Sets columns of a job that `runner` holds, without waiting for the disk: a power cut may lose them, and nothing else."""
        with self._unsynced.begin() as connection:
            connection.execute(sa.update(JOBS).where(JOBS.c.job_id == job_id, JOBS.c.runner == runner).values(**values))

    def update(self, job_id: str, **values: Any) -> None:
        """Sets columns of one job."""
        with self.engine.begin() as connection:
            connection.execute(sa.update(JOBS).where(JOBS.c.job_id == job_id).values(**values))

    def request_cancel(self, job_id: str) -> None:
        """Asks for a job to be cancelled; its runner sees to it."""
        self.update(job_id, cancel_requested=True)

    def remove(self, row: Row) -> None:
        """Forgets a job and its webhook."""
        with self.engine.begin() as connection:
            connection.execute(sa.delete(WEBHOOKS).where(WEBHOOKS.c.job_id == row["job_id"]))
            connection.execute(sa.delete(JOBS).where(JOBS.c.job_id == row["job_id"]))

    def ended_before(self, ns: int, *, removed: bool, limit: int = 500) -> Sequence[Row]:
        """Jobs that ended before `ns` and whose results are, or are not, removed; the oldest first."""
        gone = JOBS.c.removed_ns.is_not(None) if removed else JOBS.c.removed_ns.is_(None)
        query = sa.select(JOBS).where(JOBS.c.state.in_(FINAL_STATES), JOBS.c.ended_ns < ns, gone)
        return self._all(query.order_by(JOBS.c.ended_ns).limit(limit))

    def _all(self, query: sa.Select[*tuple[Any, ...]]) -> Sequence[Row]:
        with self.engine.connect() as connection:
            return connection.execute(query).mappings().all()

    def _first(self, query: sa.Select[*tuple[Any, ...]]) -> Row | None:
        with self.engine.connect() as connection:
            return connection.execute(query).mappings().first()
