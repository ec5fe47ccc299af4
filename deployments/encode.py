"""Stage encode_video: pulls the stream of frames into ffmpeg while inference goes on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any, cast

import ray
from ray import serve
from ray.exceptions import ActorDiedError, ActorUnavailableError
from ray.serve.handle import DeploymentHandle, DeploymentResponseGenerator

from deployments.artifacts import video_name
from deployments.config import StageConfig, replica_id
from deployments.defects import Reel
from deployments.flow import CreditListener
from deployments.lifeline import while_alive
from deployments.media.encode import EncodedVideo, VideoWriter
from deployments.messages import ENCODE_VIDEO, RUN_INFERENCE, Frames, Progress, RenderTask, StreamEnd
from deployments.models.protocol import frame_count
from telemetry.context import RequestContext
from telemetry.errors import RequestError
from telemetry.tracing import Stage, stage


@serve.deployment(name=ENCODE_VIDEO)
class EncodeVideo:
    """Owns the handle to inference; writes the file."""

    def __init__(self, config: StageConfig, inference: DeploymentHandle[Any]):
        self._config = config
        self._telemetry = config.telemetry()
        self._faults = config.faults()
        self._inference = inference

    async def render(self, context: RequestContext, task: RenderTask) -> AsyncIterator[Progress | StreamEnd]:
        """Streams progress of both stages, at last the fields; the store then has the video.

        Raises RequestError: those of inference, and encoder_failed, encoder_timeout, asset_not_found, store_unreachable.
        The work stops when whoever asked for it dies.
        """
        async with while_alive(task.lifeline), contextlib.aclosing(self._render(context, task)) as messages:
            async for message in messages:
                yield message

    async def _render(self, context: RequestContext, task: RenderTask) -> AsyncGenerator[Progress | StreamEnd]:
        credit = await CreditListener.open(self._config.flow_host or ray.util.get_node_ip_address())
        handle = self._inference.options(stream=True, method_name="generate")
        frames = cast(
            DeploymentResponseGenerator[Any],
            handle.remote(context, task.parameters, task.portrait, task.speech, credit.address),
        )
        fields: dict[str, Any] = {}
        store = self._config.store()
        total = frame_count(task.audio_s, task.parameters["fps"])
        try:
            with stage(self._telemetry, ENCODE_VIDEO, context) as span:
                known = {**task.parameters, "replica": replica_id()}
                faults = await self._faults.strike(self._telemetry, span, known)
                reel = Reel(faults, frames=total, fps=task.parameters["fps"], timeout_s=self._config.encoder_timeout_s)
                final = store.place(video_name(context.request_id))
                sound = await asyncio.to_thread(self._config.asset, task.audio_hash)
                with sound as audio, self._writer(context, task, reel, audio, final) as writer:
                    done = 0
                    async for message in _pulled(frames, span):
                        match message:
                            case Frames(pixels):
                                await asyncio.to_thread(writer.write, reel.shape(pixels))
                                await credit.grant()
                                done += len(pixels)
                                yield Progress(ENCODE_VIDEO, done, total)
                            case StreamEnd():
                                fields |= message.fields
                            case Progress():
                                yield message
                    encoded = await asyncio.to_thread(writer.finish)
                    span.set(**_facts(encoded))
                with span.waiting():  # before anybody hears of its end: a job that is done has its video
                    await asyncio.to_thread(store.put, video_name(context.request_id), final)
            self._telemetry.events.write_row("encode_complete", span.context, span.fields)
            yield StreamEnd(fields | span.fields)
        finally:
            credit.close()
            frames.cancel()

    def _writer(self, context: RequestContext, task: RenderTask, reel: Reel, audio: Path, final: Path) -> VideoWriter:
        return VideoWriter(
            final,
            width=task.width,
            height=task.height,
            fps=reel.fps,
            frames=reel.frames,
            audio=audio,
            audio_s=task.audio_s,
            sound_late_s=reel.sound_late_s,
            request_id=context.request_id,
            output_size=task.output_size,
            encoder=self._config.encoder,
            timeout_s=reel.timeout_s,
        )


async def _pulled(frames: DeploymentResponseGenerator[Any], span: Stage) -> AsyncIterator[Any]:
    """The messages of the stream; the time until each comes is waiting, not encoding.

    Raises RequestError(replica_lost): an ActorDiedError that went on to the caller would be taken there for the death of the
    encoder's replica, and the caller would wait for ever (seen with Ray 2.60).
    """
    while True:
        with span.waiting():
            try:
                message = await anext(frames)
            except StopAsyncIteration:
                return
            except (ActorDiedError, ActorUnavailableError) as error:
                raise RequestError("replica_lost", "The process that ran inference died.", stage=RUN_INFERENCE) from error
        yield message


def _facts(encoded: EncodedVideo) -> dict[str, Any]:
    facts = encoded.facts
    return {
        "encoder": encoded.encoder,
        "video_format": f"{facts.container}/{facts.video_codec}/{facts.audio_codec}",
        "video_s": facts.video_s,
        "video_fps": facts.fps,
        "video_frames": facts.frames,
        "width": facts.width,
        "height": facts.height,
        "response_bytes": facts.bytes,
    }
