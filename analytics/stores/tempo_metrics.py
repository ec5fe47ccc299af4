"""Counts by TraceQL metrics: a hint for how wide a slice may be, and totals where nothing but a number is wanted.

Totals come from an instant query. The sum of a range query is none: Tempo widens its window to multiples of the step (658 spans
came out as 666 to 830).
"""

from __future__ import annotations

import math
from typing import Any

from analytics.stores.tempo_http import BadQuery, Client, NotFound, TempoError
from analytics.stores.tempo_slices import STEPS
from analytics.stores.tempo_text import whole


class Metrics:
    """The metrics of one Tempo, if it has them."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def count(self, condition: str, start: int, end: int) -> int | None:
        """Spans that start in [start, end] (seconds, 24 h at most); None where the server has no metrics. Raises TempoError."""
        params = {"q": whole(f"{{ {condition} }} | count_over_time()"), "start": start, "end": max(end, start + 1)}
        try:
            answer = self._client.get("/api/metrics/query", params)
        except (BadQuery, NotFound):  # before 2.6, or a shorter bound on the window
            return None
        # Nothing found: the series is there without a value (2.8: there is no series).
        return sum(int(series.get("value", 0)) for series in answer.get("series") or ())

    def counts(self, condition: str, start: int, end: int) -> tuple[dict[int, int], int] | None:
        """Spans of the step before a second, roughly, and the step in seconds; None where the server cannot say. Never raises."""
        step = max(1, math.ceil((end - start) / STEPS))
        text = f"{{ {condition} }} | count_over_time() with (exemplars=false)"
        params: dict[str, Any] = {"q": whole(text), "start": start, "end": max(end, start + 1), "step": f"{step}s"}
        try:
            series = self._client.get("/api/metrics/query_range", params).get("series") or ()
        except TempoError:  # only a hint: the search itself says what is wrong
            return None
        samples = (sample for one in series for sample in one.get("samples") or ())
        return {int(sample["timestampMs"]) // 1000: int(sample.get("value", 0)) for sample in samples}, step
