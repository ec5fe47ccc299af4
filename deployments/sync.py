"""Stage measure_sync: what the FINISHED file says. It sees the file and nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

from ray import serve

from deployments.artifacts import curve_name, video_name
from deployments.config import StageConfig
from deployments.messages import MEASURE_SYNC, StageAnswer
from deployments.meter.measure import container_facts
from deployments.meter.stage import Meter, outcomes, sampled
from telemetry.context import RequestContext
from telemetry.stages import Stage
from telemetry.tracing import stage


@serve.deployment(name=MEASURE_SYNC)
class MeasureSync:
    """Measures a video by its request id. The container's facts are always there; the mouth only where it is asked for."""

    def __init__(self, config: StageConfig):
        self._config = config
        self._telemetry = config.telemetry()
        self._faults = config.faults()
        self._meter = Meter()

    async def __call__(self, context: RequestContext) -> StageAnswer:
        """Raises RequestError: deadline_exceeded, store_unreachable; FileNotFoundError where the video was removed."""
        with stage(self._telemetry, MEASURE_SYNC, context) as span:
            context.check_deadline(MEASURE_SYNC)
            await self._faults.strike(self._telemetry, span)
            span.set(**await asyncio.to_thread(self._measured, context, span))
        self._telemetry.events.write_row("sync_measured", span.context, span.fields)
        return StageAnswer(span.fields)

    def _measured(self, context: RequestContext, span: Stage) -> dict[str, Any]:
        store, curve = self._config.store(), curve_name(context.request_id)
        with store.held(video_name(context.request_id)) as path:
            if not self._config.sync_measure or not sampled(context.request_id, self._config.sync_sample):
                facts = container_facts(path)
                known = {name: facts[name] for name in ("duration_drift_ms", "frozen_tail_ms", "audio_start_ms")}
                return known | {"sync_reason": "not_sampled" if self._config.sync_measure else "off"}
            place = store.place(curve)
            found = self._meter.run(path, context, place)
        if found.curve is not None:
            store.put(curve, place)
        if found.face_share is not None:
            span.event("face_tracked", face_share=found.face_share, truncated=found.truncated)
        if found.audio_offset_ms is not None:
            span.event("sync_found", offset_start_ms=found.offset_start_ms, offset_end_ms=found.offset_end_ms)
        return outcomes(found)
