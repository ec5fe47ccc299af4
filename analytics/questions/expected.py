"""How long will requests take that were not made yet? The times of past requests like them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from analytics.baseline import ENOUGH, LENGTH
from analytics.filters.sql import quoted
from analytics.requests import Joined

LIKE = ("model_name", "inference_steps", "min_resolution", "fps")
"""Settings that make the work: like requests have the same."""
_OK = "status = 'ok' AND latency_s IS NOT NULL AND coalesce(operation, 'generate') = 'generate'"
_WORK = "latency_s - coalesce(queue_wait_ms, 0) / 1000"
_NUMBERS = f"count(*), quantile_cont({_WORK}, [0.1, 0.5, 0.9]), median(device_s)"
_RATES = f"count(*), quantile_cont(({_WORK}) / audio_s, [0.1, 0.5, 0.9]), median(device_s / audio_s)"


@dataclass(frozen=True)
class Expected:
    """Seconds for all of the requests, one after the other; `low_s` to `high_s` if all went as the fastest or slowest tenth did.

    `like` of the `requests` were estimated from ENOUGH past requests with the same work, `rough` from the time for a second of
    speech, `unknown` not at all (they count 0).
    """

    requests: int
    seconds: float
    low_s: float
    high_s: float
    device_s: float
    like: int
    rough: int
    unknown: int

    def sentence(self) -> str:
        """One line for a person who has to say yes or no."""
        if self.unknown == self.requests:
            return f"{self.requests} requests; how long they take cannot be told: no request of the kind is among the rows."
        parts = [f"{self.like} from the times of like requests"] if self.like else []
        parts += [f"{self.rough} roughly, from the time for a second of speech"] if self.rough else []
        parts += [f"{self.unknown} unknown and not counted"] if self.unknown else []
        times = " to ".join(_span(one) for one in (self.low_s, self.high_s))
        return (
            f"{self.requests} requests, about {_span(self.seconds)} one after the other ({times}), {_span(self.device_s)} of the "
            f"device: {', '.join(parts)}."
        )


def expected(view: Joined, orders: Iterable[Mapping[str, Any]]) -> Expected:
    """What these requests will take. Each order holds the settings of LIKE and `audio_s` (None where it is not known)."""
    kinds: dict[tuple[Any, ...], int] = {}
    for order in orders:
        key = tuple(order.get(name) for name in (*LIKE, "audio_s"))
        kinds[key] = kinds.get(key, 0) + 1
    sums = [0.0, 0.0, 0.0, 0.0]
    counts = {"like": 0, "rough": 0, "unknown": 0}
    for key, count in kinds.items():
        word, numbers = _one(view, key)
        counts[word] += count
        sums = [total + count * number for total, number in zip(sums, numbers, strict=True)]
    low, middle, high, device = sums
    return Expected(sum(kinds.values()), middle, low, high, device, **counts)


def _one(view: Joined, key: tuple[Any, ...]) -> tuple[str, tuple[float, float, float, float]]:
    """How it is known, and low, middle, high and device seconds of one request."""
    settings = dict(zip(LIKE, key, strict=False))
    audio_s = key[-1]
    same = " AND ".join(f"{quoted(name)} IS NOT DISTINCT FROM ${name}" for name in settings)
    if audio_s is not None:
        near = {"shortest": audio_s * (1 - LENGTH), "longest": audio_s * (1 + LENGTH)}
        query = f"SELECT {_NUMBERS} FROM requests WHERE {_OK} AND {same} AND audio_s BETWEEN $shortest AND $longest"
        n, times, device = view.one_row(query, settings | near)
        if n >= ENOUGH:
            return "like", (*times, device or 0.0)
        query = f"SELECT {_RATES} FROM requests WHERE {_OK} AND audio_s > 0 AND model_name IS NOT DISTINCT FROM $model_name"
        n, rates, device = view.one_row(query, {"model_name": settings["model_name"]})
        if n >= ENOUGH:
            low, middle, high = (rate * audio_s for rate in rates)
            return "rough", (low, middle, high, (device or 0.0) * audio_s)
    return "unknown", (0.0, 0.0, 0.0, 0.0)


def _span(seconds: float) -> str:
    """`40 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
