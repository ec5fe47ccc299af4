"""Request rows held in memory: joined once, asked many times, taken anew in the background while the old ones still answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TooLate
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace

import duckdb
import pyarrow as pa

from analytics.join import in_range
from analytics.requests import Coverage, Joined
from analytics.stores.base import Range

Opener = Callable[[], AbstractContextManager[Joined]]
"""Opens the joined requests of a range, as `analytics.requests.joined` does."""
Position = Callable[[], Hashable | None]
"""Where the store's end is: equal positions mean equal rows. None: the store cannot tell."""
FAILURES = (duckdb.Error, OSError, ValueError, LookupError)
"""What a store raises that does not answer or holds what it should not."""
RUNNING_S = 60.0
"""Rows with running requests are taken anew at least so often: one may have become an orphan, although nobody wrote a line."""


@dataclass(frozen=True)
class Held:
    """The rows of one moment, what they cover, and when (wall clock, s) and how long (s) they were taken.

    `seen_at`: when the store was last found to hold no others. `filled`: the columns that hold any value.
    """

    table: pa.Table
    coverage: Coverage
    truncated: bool
    taken_at: float
    took_s: float
    position: Hashable | None = None
    seen_at: float = 0.0
    filled: tuple[str, ...] = field(default=(), compare=False)


def nowhere() -> None:
    """The position of a store that cannot tell: its rows are always taken anew."""


class Board:
    """The rows of one range for everybody who looks at it. Safe in threads."""

    def __init__(self, opener: Opener, *, position: Position = nowhere, fresh_s: float = 5.0, shares_of_time: float = 4.0) -> None:
        """Rows older than `fresh_s`, or than `shares_of_time` times what taking them took, are taken anew at the next look, unless
        the store's position is still the same."""
        self._opener = opener
        self._position = position
        self._fresh_s = fresh_s
        self._shares = shares_of_time
        self._lock = threading.Lock()
        self._held: Held | None = None
        self._error: Exception | None = None
        self._taking: Future[Held] | None = None

    def held(self) -> Held:
        """The newest rows that are there; the first call waits for them, and raises what the store raises."""
        found = self.ready(None)
        assert found is not None, "without a limit it waits for the rows or raises"
        return found

    def ready(self, wait_s: float | None) -> Held | None:
        """As `held`, but at most `wait_s` seconds for the first rows; None where they are still being taken."""
        with self._lock:
            held = self._held
            if (held is None or self._stale(held)) and (self._taking is None or self._taking.done()):
                self._taking = Future()
                threading.Thread(target=self._refresh, args=(self._taking,), name="board", daemon=True).start()
            taking = self._taking
        if held is not None:
            return held
        assert taking is not None
        try:
            return taking.result(wait_s)
        except TooLate:
            return None

    @property
    def error(self) -> Exception | None:
        """Why the last taking failed (the rows before it still answer), or None."""
        return self._error

    @contextmanager
    def view(self, range: Range | None = None) -> Iterator[Joined]:
        """The rows of a range (all of them without one) as the view `requests`: filters, counts, groups and questions in SQL."""
        held = self.held()
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = false")
            connection.register("held", held.table)
            bounds = in_range("started_at", range or Range())
            connection.execute(f"CREATE VIEW requests AS SELECT * FROM held WHERE {bounds}")
            coverage = held.coverage
            yield Joined(connection, truncated=held.truncated, unreadable=coverage.unreadable, running=coverage.running)

    def _stale(self, held: Held) -> bool:
        return time.time() - held.seen_at > max(self._fresh_s, self._shares * held.took_s)

    def _take(self) -> Held:
        started, position = time.monotonic(), self._position()
        with self._opener() as view:
            found = view.load()
        filled = tuple(name for name in found.table.column_names if found.table.column(name).null_count < found.table.num_rows)
        now = time.time()
        return Held(found.table, found.coverage, found.truncated, now, time.monotonic() - started, position, now, filled)

    def _same(self, held: Held) -> bool:
        """True where the store holds what it held, and time alone cannot have changed the rows."""
        settled = not held.coverage.running or time.time() - held.taken_at < RUNNING_S
        return settled and held.position is not None and self._position() == held.position

    def _refresh(self, taking: Future[Held]) -> None:
        try:
            before = self._held
            held = replace(before, seen_at=time.time()) if before is not None and self._same(before) else self._take()
        except FAILURES as error:
            self._error = error
            taking.set_exception(error)
            return
        with self._lock:
            self._held, self._error = held, None
        taking.set_result(held)
