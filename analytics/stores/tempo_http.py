"""Tempo's HTTP interface: GET only (it ignores parameters in a body), and each way to fail has a type."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any, Self

import httpx
import orjson

_MESSAGE = 300
"""Characters of a server's words that an error repeats."""

_CUT_TO_NOTHING = "start must be before end"
"""Tempo 3 says so of a right window whose start is where it cuts the end to, 30 s ago: there is nothing to be seen in it."""


class TempoError(OSError):
    """Tempo did not answer the question. The subclasses say why; the message says what to do."""


class BadQuery(TempoError):
    """The server refused the question itself (400): its syntax, its window, its limits."""


class TooLarge(TempoError):
    """The answer is larger than Tempo's parts may send each other: ask for less at a time."""


class TimedOut(TempoError):
    """No whole answer within the time."""


class Refused(TempoError):
    """Tempo, or a gateway before it, wants credentials or other ones (401, 403)."""


class Unreachable(TempoError):
    """Nobody listens at the address, or what listens is no Tempo."""


class Busy(TempoError):
    """Too many requests at once (429, 503): later."""


class NotFound(TempoError):
    """No such trace, or no such route at this version (404)."""


class Client:
    """One Tempo. Safe to use from several threads."""

    def __init__(
        self,
        url: str,
        *,
        tenant: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 60.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        own = {"X-Scope-OrgID": tenant} if tenant else {}
        self._http = httpx.Client(headers={**(headers or {}), **own}, timeout=timeout_s, transport=transport)
        self._timeout_s = timeout_s
        # A store is often made for one question and never closed.
        self.close = weakref.finalize(self, self._http.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, path: str, params: Mapping[str, str | int] | None = None) -> dict[str, Any]:
        """The JSON answer; empty for a window that lies behind what Tempo lets see. Raises a TempoError."""
        try:
            answer = self._http.get(self.url + path, params=dict(params or {}), headers={"Accept": "application/json"})
        except httpx.TimeoutException as error:
            raise TimedOut(f"{self.url} gave no answer within {self._timeout_s:g} s: ask for a shorter range") from error
        except (httpx.TransportError, httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise Unreachable(f"{self.url} does not answer: {error}") from error
        if answer.status_code == 400 and _CUT_TO_NOTHING in answer.text:
            return {}
        if answer.status_code != 200:
            raise _failure(self.url, path, answer)
        try:
            body = orjson.loads(answer.content)
        except orjson.JSONDecodeError as error:
            raise Unreachable(f"{self.url}{path} answers, but not as Tempo does: {answer.text[:80]!r}") from error
        if not isinstance(body, dict):
            raise Unreachable(f"{self.url}{path} answers, but not as Tempo does")
        return body


def _failure(url: str, path: str, answer: httpx.Response) -> TempoError:
    """The error that a status and its text mean; Tempo writes text/plain."""
    status, words = answer.status_code, answer.text.strip()[:_MESSAGE]
    said = f"{url}{path}: {status} {words}".rstrip()
    if "larger than the max" in words or status in (413, 422):
        return TooLarge(said)
    match status:
        case 400:
            return BadQuery(said)
        case 401 | 403:
            return Refused(f"{said} (credentials go into the store's headers, a tenant into X-Scope-OrgID)")
        case 404:
            return NotFound(said)
        case 408 | 504:
            return TimedOut(said)
        case 429 | 503:
            return Busy(said)
        case _:
            return TempoError(said)
