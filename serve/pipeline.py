"""One request through the stages. Knows the order of the DAG and the errors of Ray; nothing of jobs and HTTP."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from ray.exceptions import ActorDiedError, ActorUnavailableError, OutOfMemoryError, OwnerDiedError, RayTaskError, TaskCancelledError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle, DeploymentResponseGenerator

from deployments.flow import CreditAddress
from deployments.messages import (
    ENCODE_VIDEO,
    LOAD_AUDIO,
    MEASURE_SYNC,
    PREPROCESS_IMAGE,
    RUN_INFERENCE,
    Progress,
    RenderTask,
    StageAnswer,
    StreamEnd,
)
from telemetry.context import RequestContext
from telemetry.errors import RequestError

Handle = DeploymentHandle[Any]
OnProgress = Callable[[Progress], Awaitable[None]]
OnFields = Callable[[Mapping[str, Any], tuple[str, ...]], None]
"""`on_fields(fields, advice)` after each stage: what it adds to the request's row, so that a later failure loses nothing."""


@dataclass(frozen=True)
class Stages:
    """Handles to the deployments that a generation goes through."""

    load_audio: Handle
    preprocess_image: Handle
    encode_video: Handle
    measure_sync: Handle
    lifeline: CreditAddress | None = None
    """Where the long stages notice that the caller is dead."""


class PixelBudget:
    """Bounds the pixels x seconds of video that are in flight."""

    def __init__(self, limit: float):
        self._limit = limit
        self._used = 0.0
        self._changed = asyncio.Condition()

    @contextlib.asynccontextmanager
    async def hold(self, amount: float) -> AsyncIterator[None]:
        """Waits until `amount` fits (one that is larger than the whole budget goes alone), and holds it."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._used == 0 or self._used + amount <= self._limit)
            self._used += amount
        try:
            yield
        finally:
            async with self._changed:
                self._used -= amount
                self._changed.notify_all()


async def generate(
    stages: Stages,
    context: RequestContext,
    parameters: Mapping[str, Any],
    budget: PixelBudget,
    on_fields: OnFields,
    on_progress: OnProgress,
) -> None:
    """Runs load_audio and preprocess_image side by side, then inference into the encoder, then the measurement.

    Raises RequestError with the stage in it; a cancelled call cancels what runs.
    """
    audio, picture = await _inputs(stages, context, parameters, on_fields)
    audio_s = audio.fields["audio_s"]
    on_fields(*_corrected(parameters, audio_s))
    width, height = picture.size
    roi = (picture.fields["roi_width"], picture.fields["roi_height"])
    task = RenderTask(
        parameters={**parameters, "duration_s": audio_s},
        portrait=picture.product,
        speech=audio.product,
        audio_hash=str(context.identity["audio_hash"]),
        audio_s=audio_s,
        width=width,
        height=height,
        output_size=roi if parameters["keep_resolution"] else None,
        lifeline=stages.lifeline,
    )
    async with budget.hold(width * height * audio_s):
        await _render(stages, context, task, on_fields, on_progress)
    on_fields(*await _measure(stages, context))


async def _inputs(
    stages: Stages, context: RequestContext, parameters: Mapping[str, Any], on_fields: OnFields
) -> tuple[StageAnswer, StageAnswer]:
    """Both input stages side by side; the first failure stops the other."""

    async def run(name: str, handle: Handle, *arguments: Any) -> StageAnswer:
        with ray_errors(name):
            answer = await handle.remote(context, *arguments)
        on_fields(answer.fields, answer.advice)
        return answer

    identity = context.identity
    shape = (parameters["expand_ratio"], parameters["min_resolution"])
    async with _first_failure(), asyncio.TaskGroup() as group:
        audio = group.create_task(run(LOAD_AUDIO, stages.load_audio, identity["audio_hash"]))
        picture = group.create_task(run(PREPROCESS_IMAGE, stages.preprocess_image, identity["portrait_hash"], *shape))
    return audio.result(), picture.result()


async def _render(stages: Stages, context: RequestContext, task: RenderTask, on_fields: OnFields, on_progress: OnProgress) -> None:
    handle = stages.encode_video.options(stream=True, method_name="render")
    stream = cast(DeploymentResponseGenerator[Any], handle.remote(context, task))
    try:
        with ray_errors(RUN_INFERENCE):
            async for message in stream:
                if isinstance(message, StreamEnd):
                    on_fields(message.fields, ())
                else:
                    await on_progress(message)
    finally:
        stream.cancel()


async def _measure(stages: Stages, context: RequestContext) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """The measurement's fields. The video is there: a measurement that fails is an outcome, not a failed request."""
    try:
        with ray_errors(MEASURE_SYNC):
            answer = await stages.measure_sync.remote(context)
    except RequestError as error:
        if error.type in ("deadline_exceeded", "cancelled"):
            raise
        return {"sync_reason": "failed"}, ()
    return answer.fields, answer.advice


def _corrected(parameters: Mapping[str, Any], audio_s: float) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The length as used: the audio's; what was asked for is kept where it differs by more than a frame."""
    asked = parameters.get("duration_s")
    if asked is None or abs(asked - audio_s) <= 1 / parameters["fps"]:
        return {"duration_s": audio_s}, ()
    return {"duration_s": audio_s, "requested_duration_s": asked}, ("duration_corrected",)


@contextlib.contextmanager
def ray_errors(stage: str):
    """Turns what Ray raises into the table's errors, with the stage where it happened."""
    try:
        yield
    except RayTaskError as error:
        cause = error.cause
        if isinstance(cause, RequestError):
            cause.stage = cause.stage or stage
            raise cause from None
        if isinstance(cause, (ActorDiedError, ActorUnavailableError, OwnerDiedError)):
            raise _lost(_stage_of(error, stage)) from error
        raise RequestError("internal", f"{stage} failed: {type(cause).__name__}.", stage=stage) from error
    except (ActorDiedError, ActorUnavailableError, OwnerDiedError, DeploymentUnavailableError) as error:
        raise _lost(stage) from error
    except OutOfMemoryError as error:
        raise RequestError("out_of_memory", f"The host ran out of memory in {stage}.", stage=stage) from error
    except BackPressureError as error:
        raise RequestError("overloaded", f"{stage} has too many requests waiting.", stage=stage) from error
    except TaskCancelledError as error:
        raise RequestError("cancelled", f"{stage} was cancelled.", stage=stage) from error


def _stage_of(error: RayTaskError, stage: str) -> str:
    """Where the actor died: the encoder reports the death of the inference replica that it was reading from."""
    return stage if ENCODE_VIDEO not in str(error.function_name) else RUN_INFERENCE


def _lost(stage: str) -> RequestError:
    return RequestError("replica_lost", f"The process that ran {stage} died.", stage=stage)


@contextlib.asynccontextmanager
async def _first_failure() -> AsyncIterator[None]:
    """Raises the one error that ended a task group instead of the group."""
    try:
        yield
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
