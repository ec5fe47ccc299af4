"""What alerts remember, in one SQLite file: what fires since when, what has been sent, and what is silenced.

A change of state and the message about it are one transaction, and a message stays until its sink has taken it: a process that dies
between the two sends it again under the same id (at least once), and never not at all.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from telemetry.sqlite import transaction

NAME = "alerts.db"
LEASE_S = 60.0
"""How long a message belongs to the process that is sending it: a mail server's time-outs are shorter."""
BACKOFF_S = (5.0, 15.0, 60.0, 300.0)
"""Waits before the next attempt of a message that its sink refused."""
KEEP_S = 90 * 86_400.0
"""How long the history and delivered messages are kept."""
_TABLES = """
    CREATE TABLE IF NOT EXISTS states (alert TEXT, key TEXT, state TEXT NOT NULL, since REAL NOT NULL, turned REAL, value REAL,
        told REAL, requests TEXT NOT NULL, PRIMARY KEY (alert, key));
    CREATE TABLE IF NOT EXISTS history (id INTEGER PRIMARY KEY, alert TEXT NOT NULL, key TEXT NOT NULL, event TEXT NOT NULL,
        at REAL NOT NULL, value REAL, requests TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS outbox (id TEXT PRIMARY KEY, sink TEXT NOT NULL, message TEXT NOT NULL, created REAL NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0, next_try REAL NOT NULL DEFAULT 0, leased REAL NOT NULL DEFAULT 0, delivered REAL,
        last_error TEXT);
    CREATE TABLE IF NOT EXISTS silences (id INTEGER PRIMARY KEY, alert TEXT NOT NULL, until REAL NOT NULL, comment TEXT NOT NULL);
"""

State = Literal["pending", "firing"]


@dataclass(frozen=True)
class Known:
    """One incident. `since`: when the condition began to hold; `turned`: since when it is clear (None: it is not); `told`: when the
    last message about it was put out (None: none was, as while it is silenced). Times are s since 1970."""

    alert: str
    key: str
    state: State
    since: float
    turned: float | None = None
    value: float | None = None
    told: float | None = None
    requests: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outgoing:
    """A message that waits for its sink."""

    id: str
    sink: str
    message: dict[str, Any]
    attempts: int


class Ledger:
    """The file, for one thread. Methods raise sqlite3.OperationalError where the disk is full."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, timeout=30.0, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.executescript(_TABLES)

    def close(self) -> None:
        """Lets the file go."""
        self._connection.close()

    def transaction(self) -> contextlib.AbstractContextManager[None]:
        """All or nothing of what is written inside; other writers wait."""
        return transaction(self._connection)

    def known(self) -> dict[tuple[str, str], Known]:
        """Every incident that is pending or fires."""
        rows = self._connection.execute("SELECT * FROM states ORDER BY since").fetchall()
        return {(row["alert"], row["key"]): Known(**{**row, "requests": tuple(json.loads(row["requests"]))}) for row in rows}

    def keep(self, one: Known) -> None:
        """Writes an incident."""
        values = (one.alert, one.key, one.state, one.since, one.turned, one.value, one.told, json.dumps(one.requests))
        self._connection.execute("INSERT OR REPLACE INTO states VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)

    def drop(self, one: Known) -> None:
        """Forgets an incident that is over."""
        self._connection.execute("DELETE FROM states WHERE alert = ? AND key = ?", (one.alert, one.key))

    def note(self, one: Known, event: Literal["fired", "resolved"], at: float) -> None:
        """Adds to the history."""
        values = (one.alert, one.key, event, at, one.value, json.dumps(one.requests))
        self._connection.execute("INSERT INTO history (alert, key, event, at, value, requests) VALUES (?, ?, ?, ?, ?, ?)", values)

    def history(self, limit: int = 200) -> list[dict[str, Any]]:
        """What fired and resolved, the newest first."""
        rows = self._connection.execute("SELECT * FROM history ORDER BY id DESC LIMIT ?", (limit,)).fetchall()
        return [{**row, "requests": json.loads(row["requests"])} for row in rows]

    def put(self, id: str, sink: str, message: dict[str, Any], at: float) -> None:
        """Puts a message out for a sink; one of the same id is not put twice."""
        values = (id, sink, json.dumps(message, ensure_ascii=False), at)
        self._connection.execute("INSERT OR IGNORE INTO outbox (id, sink, message, created) VALUES (?, ?, ?, ?)", values)

    def claim(self, now: float) -> list[Outgoing]:
        """The messages that are due, the oldest first, claimed for LEASE_S; of a sink whose oldest message waits nothing is due."""
        with self.transaction():
            rows = self._connection.execute("SELECT * FROM outbox WHERE delivered IS NULL ORDER BY created, rowid").fetchall()
            waiting = {row["sink"] for row in rows if row["next_try"] > now or row["leased"] > now}
            due = [row for row in rows if row["sink"] not in waiting]
            ids = [(now + LEASE_S, row["id"]) for row in due]
            self._connection.executemany("UPDATE outbox SET leased = ? WHERE id = ?", ids)
        return [Outgoing(row["id"], row["sink"], json.loads(row["message"]), row["attempts"]) for row in due]

    def delivered(self, id: str, now: float) -> None:
        """The sink has taken the message."""
        self._connection.execute("UPDATE outbox SET delivered = ?, last_error = NULL WHERE id = ?", (now, id))

    def refused(self, ids: Sequence[str], attempts: int, error: str, now: float) -> None:
        """The sink has not taken the first of them: it and what comes behind it wait."""
        again = now + BACKOFF_S[min(attempts, len(BACKOFF_S) - 1)]
        for place, id in enumerate(ids):
            self._connection.execute(
                "UPDATE outbox SET attempts = attempts + ?, next_try = ?, leased = 0, last_error = ? WHERE id = ?",
                (int(place == 0), again, error, id),
            )

    def undelivered(self) -> list[dict[str, Any]]:
        """Messages that no sink has taken yet: `id`, `sink`, `attempts`, `last_error`."""
        query = "SELECT id, sink, attempts, last_error FROM outbox WHERE delivered IS NULL ORDER BY created"
        return [dict(row) for row in self._connection.execute(query).fetchall()]

    def prune(self, now: float) -> None:
        """Forgets history and delivered messages older than KEEP_S, and silences that are over."""
        self._connection.execute("DELETE FROM history WHERE at < ?", (now - KEEP_S,))
        self._connection.execute("DELETE FROM outbox WHERE delivered < ?", (now - KEEP_S,))
        self._connection.execute("DELETE FROM silences WHERE until < ?", (now - KEEP_S,))

    def silence(self, alert: str, until: float, comment: str = "") -> None:
        """No messages of an alert (`*`: of any) before `until`."""
        self._connection.execute("INSERT INTO silences (alert, until, comment) VALUES (?, ?, ?)", (alert, until, comment))

    def speak(self, alert: str) -> None:
        """Ends the silences of an alert."""
        self._connection.execute("DELETE FROM silences WHERE alert = ?", (alert,))

    def silences(self, now: float) -> list[dict[str, Any]]:
        """The silences that still hold: `alert`, `until`, `comment`."""
        rows = self._connection.execute(
            "SELECT alert, until, comment FROM silences WHERE until > ? ORDER BY until", (now,)
        ).fetchall()
        return [dict(row) for row in rows]
