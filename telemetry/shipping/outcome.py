"""What became of a batch, and how long to wait before the next attempt."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Protocol

import httpx

from telemetry.shipping.tail import Line


@dataclass
class Delivery:
    """`delivered` needs no further thought; `refused` never will be taken, with the reason; `later` is to be sent again.

    `split`: the receiver took nothing and will not take it in one piece (413, 400): halve it. `overloaded`: it wants less at once.
    """

    delivered: list[Line] = field(default_factory=list)
    refused: list[tuple[Line, str]] = field(default_factory=list)
    later: list[Line] = field(default_factory=list)
    error: str = ""
    retry_after_s: float | None = None
    split: bool = False
    overloaded: bool = False
    counts: dict[str, int] = field(default_factory=dict)


class Sink(Protocol):
    """Where one kind of line goes."""

    address: str

    def deliver(self, batch: Sequence[Line]) -> Delivery:
        """One attempt. Never raises for what a network or a server does."""
        ...

    def close(self) -> None:
        """Lets connections go."""
        ...


def whole(batch: Sequence[Line], response: httpx.Response) -> Delivery:
    """What an answer that is not 2xx means for the whole batch.

    Only 400 and 413 say something about the content. 429 and 5xx say "later", and the rest (401, 403, 404 …) is a configuration
    that somebody will correct: the lines wait either way.
    """
    error = f"HTTP {response.status_code}: {_reason(response)}"
    if response.status_code in (400, 413):
        return Delivery(later=list(batch), error=error, split=True)
    wait = retry_after(response.headers.get("retry-after"))
    return Delivery(later=list(batch), error=error, retry_after_s=wait, overloaded=response.status_code == 429)


def failed(batch: Sequence[Line], error: httpx.TransportError) -> Delivery:
    """The network or the server did not answer."""
    return Delivery(later=list(batch), error=f"{type(error).__name__}: {error}")


def retry_after(value: str | None) -> float | None:
    """Seconds of a Retry-After header (a number or a date); None where there is none that can be read."""
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, moment.timestamp() - time.time())


def backoff(failures: int, cap_s: float, retry_after_s: float | None = None) -> float:
    """Seconds to wait after so many failures in a row: between half of and the whole of 0.5 s, 1 s, 2 s … `cap_s`.

    Jitter, for a hundred nodes must not come back in one moment. The server's own wish counts, up to ten times the cap.
    """
    wait = min(cap_s, 0.5 * 2 ** min(failures - 1, 16))
    wait *= random.uniform(0.5, 1.0)
    return max(wait, min(retry_after_s, 10 * cap_s)) if retry_after_s is not None else wait


def _reason(response: httpx.Response) -> str:
    text = response.text.strip()
    return text[:500] if text else response.reason_phrase or "no reason given"
