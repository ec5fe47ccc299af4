"""Which traces are kept where not all of them are wanted: every error, everything slow, and a share of the rest.

Only traces are sampled, never events, and only whole ones whose record span is here. What is kept says for how many it stands
(`sampling_weight`), so that estimates from traces alone stay unbiased: 1 for what is always kept, 1/share for the rest.
"""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Mapping
from typing import Any

from telemetry import fields

LIKE = ("operation", "model_name", "device", "inference_steps", "min_resolution", "fps")
"""Requests with the same values of these have comparable stage times, once divided by the length of their audio."""
WINDOW = 200
"""Latest requests of a kind that say what is usual."""
ENOUGH = 8
"""Fewer say nothing: then nothing counts as slow."""
KINDS = 1000
"""Kinds of requests that are remembered; settings drawn at random must not fill the memory."""


class Sampler:
    """`share`: of what is neither an error nor slow, 0 < share <= 1; chosen by the trace id, the same on every node and try."""

    def __init__(self, share: float) -> None:
        if not 0.0 < share <= 1.0:
            raise ValueError(f"the share of traces to keep is {share}, not above 0 and up to 1")
        self._share = share
        self._usual: dict[tuple[Any, ...], deque[float]] = {}

    def decide(self, trace_id: str, span: Mapping[str, Any], values: Mapping[str, Any]) -> tuple[bool, float]:
        """Whether the trace of this record span is kept, and for how many it stands. `values`: the span's attributes."""
        slow = [self._is_slow(stage, values) for stage in fields.STAGES]  # a list: every stage is remembered
        if span.get("status", {}).get("code") == 2 or values.get("status", "ok") != "ok" or any(slow):
            return True, 1.0
        return int(trace_id[-14:], 16) < self._share * 2**56, 1.0 / self._share

    def _is_slow(self, stage: str, values: Mapping[str, Any]) -> bool:
        """Above nine tenths of like requests and more than 1.2 times their median: as `sonoscope record` says it."""
        ms, audio_s = values.get(f"{stage}_ms"), values.get("audio_s")
        if not isinstance(ms, int | float) or not isinstance(audio_s, int | float) or audio_s <= 0:
            return False
        key = (stage, *(values.get(name) for name in LIKE))
        if key not in self._usual and len(self._usual) >= KINDS:
            self._usual.pop(next(iter(self._usual)))
        before = self._usual.setdefault(key, deque(maxlen=WINDOW))
        pace = ms / audio_s
        ordered = sorted(before)
        before.append(pace)
        if len(ordered) < ENOUGH:
            return False
        return bisect.bisect_left(ordered, pace) >= 0.9 * len(ordered) and pace > 1.2 * ordered[len(ordered) // 2]
