"""What the consumer owes: which requests became which jobs, and which results are produced. One SQLite file, synced."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from telemetry.sqlite import transaction

NAME = "kafka.db"
_TABLES = """
CREATE TABLE IF NOT EXISTS identity (id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS orders (
  key TEXT PRIMARY KEY, job_id TEXT NOT NULL, topic TEXT NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL,
  message_key BLOB, traceparent TEXT NOT NULL, accepted REAL NOT NULL, ended INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS orders_open ON orders (ended, accepted);
CREATE TABLE IF NOT EXISTS results (
  number INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, state TEXT NOT NULL, body BLOB NOT NULL, produced REAL
);
"""


class InUse(Exception):
    """Another consumer works with this data folder."""


@dataclass(frozen=True)
class Owed:
    """A request that the service has accepted. `traceparent` is the span of its consumption."""

    key: str
    job_id: str
    topic: str
    partition: int
    offset: int
    message_key: bytes | None
    traceparent: str


@dataclass(frozen=True)
class Due:
    """A result to be produced; `number` counts results, and says in Kafka how far they are."""

    number: int
    owed: Owed
    state: str
    body: bytes


class Ledger:
    """One process at a time, one thread. Raises InUse where another process has it open."""

    def __init__(self, folder: Path):
        self._lock = os.open(folder / "kafka.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise InUse from None
        self._db = sqlite3.connect(folder / NAME, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")  # an offset is committed because of what is written here
        self._db.executescript(_TABLES)
        with transaction(self._db):
            self._db.execute("INSERT INTO identity SELECT ? WHERE NOT EXISTS (SELECT 1 FROM identity)", (uuid4().hex,))
        self.id: str = self._db.execute("SELECT id FROM identity").fetchone()[0]
        """Of this file: what another ledger has said in Kafka is not ours."""

    def close(self) -> None:
        """Lets others have it."""
        self._db.close()
        os.close(self._lock)

    def add(self, owed: Owed) -> None:
        """Notes an accepted request, on the disk when this returns; a key that is known stays as it is: it has its one result."""
        row = (owed.key, owed.job_id, owed.topic, owed.partition, owed.offset, owed.message_key, owed.traceparent, time.time())
        with transaction(self._db):
            self._db.execute(
                "INSERT INTO orders (key, job_id, topic, partition, offset, message_key, traceparent, accepted)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", row,
            )  # fmt: skip

    def has(self, topic: str, partition: int, offset: int, key: str) -> bool:
        """Whether this very message was accepted before."""
        asked = "SELECT 1 FROM orders WHERE key = ? AND topic = ? AND partition = ? AND offset = ?"
        return self._db.execute(asked, (key, topic, partition, offset)).fetchone() is not None

    def unfinished(self) -> list[Owed]:
        """Accepted requests whose end is not known, the oldest first."""
        columns = "key, job_id, topic, partition, offset, message_key, traceparent"
        return [Owed(*row) for row in self._db.execute(f"SELECT {columns} FROM orders WHERE ended = 0 ORDER BY accepted")]

    def end(self, owed: Owed, state: str, body: bytes) -> None:
        """The job has ended and `body` is its result: it gets the next number, and never another body."""
        with transaction(self._db):
            self._db.execute("UPDATE orders SET ended = 1 WHERE key = ?", (owed.key,))
            self._db.execute(
                "INSERT INTO results (key, state, body) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (owed.key, state, body)
            )

    def due(self, limit: int = 100) -> list[Due]:
        """Results that are not known to be produced, by number."""
        columns = "number, key, job_id, topic, partition, offset, message_key, traceparent, state, body"
        asked = f"SELECT {columns} FROM results JOIN orders USING (key) WHERE produced IS NULL ORDER BY number LIMIT ?"
        return [Due(row[0], Owed(*row[1:8]), row[8], row[9]) for row in self._db.execute(asked, (limit,))]

    def produced(self, up_to: int) -> None:
        """Every result up to this number is in Kafka."""
        with transaction(self._db):
            self._db.execute("UPDATE results SET produced = ? WHERE number <= ? AND produced IS NULL", (time.time(), up_to))

    def forget(self, before: float) -> None:
        """Removes what was produced before this time (seconds since 1970)."""
        with transaction(self._db):
            gone = "SELECT key FROM results WHERE produced < ?"
            self._db.execute(f"DELETE FROM orders WHERE key IN ({gone})", (before,))
            self._db.execute("DELETE FROM results WHERE produced < ?", (before,))
