"""Stage load_audio: any recording to 16 kHz mono."""

from __future__ import annotations

import asyncio

from ray import serve

from deployments.config import StageConfig
from deployments.media.audio import DecodedAudio, decode_audio
from deployments.media.sandbox import shared
from deployments.messages import LOAD_AUDIO, StageAnswer
from deployments.models.protocol import Speech
from telemetry.context import RequestContext
from telemetry.errors import RequestError
from telemetry.tracing import stage


@serve.deployment(name=LOAD_AUDIO)
class LoadAudio:
    """Decodes an uploaded recording; the product is a `Speech`."""

    def __init__(self, config: StageConfig):
        self._config = config
        self._telemetry = config.telemetry()
        self._faults = config.faults()
        shared().warm("sound")  # the first recording need not wait until PyAV is loaded

    async def __call__(self, context: RequestContext, asset_id: str) -> StageAnswer:
        """Raises RequestError: asset_not_found, store_unreachable, audio_undecodable, audio_too_short, audio_too_long,
        audio_silent, deadline_exceeded."""
        with stage(self._telemetry, LOAD_AUDIO, context) as span:
            log = self._telemetry.events.log_event
            log("input_start", span.context, input="audio", audio_hash=asset_id)
            context.check_deadline(LOAD_AUDIO)
            try:
                await self._faults.strike(self._telemetry, span)
                audio = await asyncio.to_thread(self._decoded, asset_id)
            except RequestError as error:
                log("input_error", span.context, input="audio", error_type=error.type)
                raise
            span.event("audio_decoded", **_facts(audio))
            span.set(audio_s=audio.seconds)
            facts = {"input": "audio", "audio_s": audio.seconds} | _facts(audio)
            self._telemetry.events.write_row("input_success", span.context, facts)
            product = Speech(audio.samples)
        return StageAnswer(span.fields, product=product)

    def _decoded(self, asset_id: str) -> DecodedAudio:
        with self._config.asset(asset_id) as path:
            return decode_audio(path, self._config.audio_limits)


def _facts(audio: DecodedAudio) -> dict[str, str | int | float]:
    return {"sample_rate": audio.source_rate, "channels": audio.source_channels, "codec": audio.codec, "peak_dbfs": audio.peak_dbfs}
