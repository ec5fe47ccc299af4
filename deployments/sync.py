"""Stage measure_sync: what the FINISHED file says. It sees the file and nothing else."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from ray import serve

from deployments.config import StageConfig
from deployments.media.probe import duration_drift_ms, probe
from deployments.media.still import frozen_tail_ms
from deployments.messages import MEASURE_SYNC, StageAnswer
from telemetry.context import RequestContext
from telemetry.tracing import stage


def measure(path: Path) -> dict[str, Any]:
    """The container's exact facts and the frozen tail.

    The offset between lips and sound is not measured yet, and says so: `sync_reason` is "off" and `audio_drift_ms` stays empty.
    """
    facts = probe(path)
    return {"duration_drift_ms": duration_drift_ms(facts), "frozen_tail_ms": frozen_tail_ms(path), "sync_reason": "off"}


@serve.deployment(name=MEASURE_SYNC)
class MeasureSync:
    """Measures a video by its request id."""

    def __init__(self, config: StageConfig):
        self._config = config
        self._telemetry = config.telemetry()

    async def __call__(self, context: RequestContext) -> StageAnswer:
        """Raises RequestError(deadline_exceeded)."""
        with stage(self._telemetry, MEASURE_SYNC, context) as span:
            context.check_deadline(MEASURE_SYNC)
            span.set(**await asyncio.to_thread(measure, self._config.video(context.request_id)))
        self._telemetry.events.write_row("sync_measured", span.context, span.fields)
        return StageAnswer(span.fields)
