"""Request rows held in memory: joined once, asked many times, taken anew in the background while the old ones still answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from analytics.join import in_range
from analytics.requests import Coverage, Joined
from analytics.stores.base import Range

Opener = Callable[[], AbstractContextManager[Joined]]
"""Opens the joined requests of a range, as `analytics.requests.joined` does."""


@dataclass(frozen=True)
class Held:
    """The rows of one moment, what they cover, and when (wall clock, s) and how long (s) they were taken."""

    table: pa.Table
    coverage: Coverage
    truncated: bool
    taken_at: float
    took_s: float


class Board:
    """The rows of one range for everybody who looks at it. Safe in threads."""

    def __init__(self, opener: Opener, *, fresh_s: float = 5.0, shares_of_time: float = 4.0) -> None:
        """Rows older than `fresh_s`, or than `shares_of_time` times what taking them took, are taken anew at the next look."""
        self._opener = opener
        self._fresh_s = fresh_s
        self._shares = shares_of_time
        self._lock = threading.Lock()
        self._held: Held | None = None
        self._error: Exception | None = None
        self._refresher: threading.Thread | None = None

    def held(self) -> Held:
        """The newest rows that are there; the first call waits for them, and raises what the store raises."""
        with self._lock:
            if self._held is None:
                self._held = self._take()
            elif self._stale(self._held) and (self._refresher is None or not self._refresher.is_alive()):
                self._refresher = threading.Thread(target=self._refresh, name="board", daemon=True)
                self._refresher.start()
            return self._held

    @property
    def error(self) -> Exception | None:
        """Why the last taking failed (the rows before it still answer), or None."""
        return self._error

    @contextmanager
    def view(self, range: Range | None = None) -> Iterator[Joined]:
        """The rows of a range (all of them without one) as the view `requests`: filters, counts, groups and questions in SQL."""
        held = self.held()
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.register("held", held.table)
            bounds = in_range("started_at", range or Range())
            connection.execute(f"CREATE VIEW requests AS SELECT * FROM held WHERE {bounds}")
            coverage = held.coverage
            yield Joined(connection, truncated=held.truncated, unreadable=coverage.unreadable, running=coverage.running)

    def _stale(self, held: Held) -> bool:
        return time.time() - held.taken_at > max(self._fresh_s, self._shares * held.took_s)

    def _take(self) -> Held:
        started = time.monotonic()
        with self._opener() as view:
            found = view.load()
        return Held(found.table, found.coverage, found.truncated, time.time(), time.monotonic() - started)

    def _refresh(self) -> None:
        try:
            held = self._take()
        except (duckdb.Error, OSError, ValueError, LookupError) as error:
            self._error = error
            return
        with self._lock:
            self._held, self._error = held, None
