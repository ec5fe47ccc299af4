"""Answers that are kept, and made in the background where they take longer than a page may wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooLate
from dataclasses import dataclass
from typing import Any

from analytics.questions.cache import Cache

KEPT = 64
"""Answers; the largest are 20,000 rows for the capacity (about 4 MB), so that they stay below 256 MB."""
STALE_S = 60.0
"""So long an answer over older rows still stands while the one over the newest rows is being made."""


@dataclass(frozen=True)
class Question:
    """What was asked (`name` with its `options`) of which rows: `asked` is filter and range, `version` the store's state."""

    name: str
    options: tuple[Hashable, ...]
    asked: Hashable
    version: Hashable

    @property
    def key(self) -> str:
        """Two questions with the same key have the same answer."""
        return repr(self)

    @property
    def timeless(self) -> str:
        """The same of whatever rows."""
        return repr((self.name, self.options, self.asked))


class Answers:
    """The last answers by their question; at most `size`, the one unused for longest goes first. Safe in threads."""

    def __init__(self, size: int = KEPT, workers: int = 2) -> None:
        self._kept = Cache[tuple[Any]](size)
        self._latest = Cache[tuple[float, Any]](size)
        self._running: dict[str, Future[Any]] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="answers")

    def now(self, question: Question, work: Callable[[], Any]) -> Any:
        """The answer, made here where it is not kept. Raises what `work` raises."""
        found = self._kept.get(question.key)
        if found is None:
            found = (work(),)
            self._keep(question, found[0])
        return found[0]

    def soon(self, question: Question, work: Callable[[], Any], wait_s: float) -> tuple[Any] | None:
        """The answer as a tuple of one; None where it takes longer than `wait_s`: it is being made, and the next call may have it.

        For STALE_S the answer over older rows stands in for it. Raises what `work` raised.
        """
        found = self._kept.get(question.key)
        if found is not None:
            return found
        with self._lock:
            future = self._running.get(question.key)
            if future is None:
                self._running = {key: one for key, one in self._running.items() if not one.done()}
                future = self._running[question.key] = self._pool.submit(self._make, question, work)
        try:
            answer = future.result(wait_s)
        except TooLate:
            older = self._latest.get(question.timeless)
            return None if older is None or time.monotonic() - older[0] > STALE_S else (older[1],)
        finally:
            if future.done():
                self._forget(question)
        return (answer,)

    def done(self, question: Question) -> bool:
        """True where `soon` would not wait."""
        with self._lock:
            future = self._running.get(question.key)
        return future is None or future.done()

    @property
    def busy(self) -> bool:
        """True while an answer is being made."""
        with self._lock:
            return any(not one.done() for one in self._running.values())

    def clear(self) -> None:
        """Forgets every answer that is not being made."""
        self._kept.clear()
        self._latest.clear()

    def _make(self, question: Question, work: Callable[[], Any]) -> Any:
        answer = work()
        self._keep(question, answer)
        self._forget(question)  # one that failed stays until somebody asks
        return answer

    def _keep(self, question: Question, answer: Any) -> None:
        self._kept.put(question.key, (answer,))
        self._latest.put(question.timeless, (time.monotonic(), answer))

    def _forget(self, question: Question) -> None:
        with self._lock:
            self._running.pop(question.key, None)
