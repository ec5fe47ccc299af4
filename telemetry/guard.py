"""Telemetry can never fail a request: the one place of the project that catches every exception."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from types import TracebackType
from typing import ParamSpec, TypeVar

from telemetry.losses import count_error

_P = ParamSpec("_P")
_R = TypeVar("_R")

_log = logging.getLogger("sonoscope.telemetry")
_reported: set[str] = set()


class guard:  # noqa: N801 - reads as a statement: `with guard("finish")`
    """Swallows every Exception of the block or of the decorated function (which then returns None), and counts it.

    The log line comes once for each `what`: a backend that is broken for a day must not fill a disk. A BaseException that is not an
    Exception (cancellation, interrupt) passes. A class and not a generator: 0.2 µs instead of 0.9 µs on the hot path.
    """

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        if not isinstance(error, Exception):
            return False
        count_error(f"{self._what}: {type(error).__name__}: {error}")
        if self._what not in _reported:
            _reported.add(self._what)
            _log.warning("telemetry failed in %s; the request goes on; logged once", self._what, exc_info=error)
        return True

    def __call__(self, function: Callable[_P, _R]) -> Callable[_P, _R | None]:
        """The function under this guard."""

        @functools.wraps(function)
        def guarded(*args: _P.args, **kwargs: _P.kwargs) -> _R | None:
            with self:
                return function(*args, **kwargs)
            return None

        return guarded
