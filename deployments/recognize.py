"""Recognition of pictures: decoded side by side, classified in batches, each with a trace of its own."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ray import serve

from deployments.batching import Batcher
from deployments.config import StageConfig, replica_id
from deployments.media.picture import DecodedPicture, decode_picture
from deployments.media.sandbox import shared
from deployments.messages import PREPROCESS_IMAGE, RECOGNIZE, RUN_INFERENCE, PictureAnswer, PictureTask
from deployments.models.recogniser import Prepared, Recogniser, Recognition
from deployments.models.recogniser_lite import EfficientNetLite
from deployments.models.recogniser_protocol import Classifier, Frame
from telemetry.batches import batch_span
from telemetry.context import RequestContext
from telemetry.errors import RequestError
from telemetry.tracing import stage

BATCH = 16
"""Pictures in a batch at most. On one core a batch of 16 costs as much for each picture as one alone (14 and 15 ms): it saves
calls, not arithmetic, so a larger one would only delay."""

_Member = tuple[Prepared, RequestContext]

_KINDS = {"1": (1, "bool"), "L": (1, "uint8"), "P": (1, "uint8"), "LA": (2, "uint8"), "PA": (2, "uint8"), "RGBA": (4, "uint8"),
          "CMYK": (4, "uint8"), "I": (1, "int32"), "F": (1, "float32")}  # fmt: skip
"""Pillow's modes: channels and type of the pixels in the file; a palette is one channel."""


def load_classifier(config: StageConfig) -> Classifier:
    """The network that the settings name. Raises ModelMismatch, OSError."""
    threads = config.torch_threads or 1
    if config.recognize_dir is None:
        return EfficientNetLite(config.data_dir / "models", threads=threads)
    from deployments.models.recogniser_modelscope import ModelScopeRecogniser

    return ModelScopeRecogniser(config.recognize_dir, device=pick_device(config), threads=threads)


def pick_device(config: StageConfig) -> str:
    """Where the network runs: a ModelScope network as the talking heads do, EfficientNet-Lite on the CPU."""
    if config.recognize_dir is None:
        return "cpu"
    from deployments import inference  # torch: only where the network is one of torch

    return inference.pick_device(config.device)


class Pictures:
    """What the deployment does, without Ray. `about`: replica, host and device, which stand on every span of inference."""

    def __init__(self, config: StageConfig, recogniser: Recogniser, about: Mapping[str, Any]) -> None:
        self._config = config
        self._telemetry = config.telemetry()
        self._faults = config.faults()
        self._recogniser = recogniser
        self._about = {**about, "model_version": recogniser.classifier.version}
        # As many decoders at a time as there are cores: more would only hold memory.
        self._preparing = ThreadPoolExecutor(len(os.sched_getaffinity(0)), "prepare")
        self._classifying = ThreadPoolExecutor(1, "classify")
        self._batches = Batcher(self._classify, BATCH)

    async def run(self, tasks: Sequence[PictureTask]) -> list[PictureAnswer]:
        """One answer a task, in their order; the error of one is in its answer and does not touch the others."""
        return list(await asyncio.gather(*(self._one(task) for task in tasks)))

    async def _one(self, task: PictureTask) -> PictureAnswer:
        fields: dict[str, Any] = {}
        try:
            picture, prepared = await self._prepare(task, fields)
            found = await self._infer(task, prepared, fields)
        except RequestError as error:
            error.field = "image" if error.field == "portrait" else error.field
            return PictureAnswer(fields, error=error)
        return PictureAnswer(fields, advice=found.warnings, told=_told(found, picture))

    async def _prepare(self, task: PictureTask, fields: dict[str, Any]) -> tuple[DecodedPicture, Prepared]:
        """Decodes and looks for faces, in stage preprocess_image; what is known of the picture is added to `fields` at once."""
        log = self._telemetry.events.write_row
        span = stage(self._telemetry, PREPROCESS_IMAGE, task.context)
        try:
            with span:
                known = {"input": "image", "image_hash": task.image_hash, "file_size": task.bytes, **task.name}
                log("input_start", span.context, known)
                try:
                    task.context.check_deadline(PREPROCESS_IMAGE)
                    await self._faults.strike(self._telemetry, span)
                    loop = asyncio.get_running_loop()
                    picture = await loop.run_in_executor(self._preparing, self._decoded, task.image_hash)
                    facts = _facts(picture)
                    span.set(**{name: facts[name] for name in facts if name.startswith("input_")})
                    prepared = await loop.run_in_executor(self._preparing, self._recogniser.prepare, picture.pixels)
                except RequestError as error:
                    blank = {"tensor_constant": True} if error.type == "image_blank" else {}
                    log("input_error", span.context, known | blank | {"error_type": error.type, "duration_ms": span.ms})
                    raise
                log("input_success", span.context, known | facts | {"duration_ms": span.ms})
                span.set(
                    faces=prepared.faces,
                    crop_dropped_share=prepared.view.dropped_share,
                    input_brightness=prepared.view.brightness,
                )
        finally:
            fields |= span.fields
        made = _tensor(prepared, self._recogniser.classifier.frame) | {"duration_ms": span.ms, "image_hash": task.image_hash}
        log("preprocess_complete", span.context, span.fields | made)
        return picture, prepared

    def _decoded(self, image_hash: str) -> DecodedPicture:
        with self._config.asset(image_hash) as path:
            return decode_picture(path, self._config.picture_limits)

    async def _infer(self, task: PictureTask, prepared: Prepared, fields: dict[str, Any]) -> Recognition:
        """Waits for the batch, in stage run_inference of this request; the batch has a span of its own."""
        span = stage(self._telemetry, RUN_INFERENCE, task.context, **self._about)
        try:
            with span:
                task.context.check_deadline(RUN_INFERENCE)
                await self._faults.strike(self._telemetry, span)
                found, seconds, batch = await self._batches.submit((prepared, span.context))
                span.waited(max(0.0, span.ms / 1e3 - seconds))
                span.set(**batch, **_outcomes(found), device_s=seconds)
        finally:
            fields |= span.fields
        more = {"logits_dim": found.logits, "duration_ms": span.ms, "image_hash": task.image_hash}
        self._telemetry.events.write_row("inference_complete", span.context, span.fields | more)
        return found

    async def _classify(self, members: Sequence[_Member]) -> list[tuple[Recognition, float, Mapping[str, Any]]]:
        """For each member its answer, its share of the time (s), and what it should know of the batch."""
        about = {name: self._about[name] for name in ("replica", "model_version")}
        with batch_span(self._telemetry, "recognize_batch", [context for _, context in members], **about) as batch:
            loop = asyncio.get_running_loop()
            started = loop.time()
            work = [prepared for prepared, _ in members]
            found = await loop.run_in_executor(self._classifying, self._recogniser.classify, work)
            seconds = (loop.time() - started) / len(members)
        return [(one, seconds, batch) for one in found]


@serve.deployment(name=RECOGNIZE)
class Recognize:
    """Takes the pictures of one HTTP request; they share batches with those of others."""

    def __init__(self, config: StageConfig):
        recogniser = Recogniser(load_classifier(config), floor=config.recognize_floor)
        device = pick_device(config)
        self._pictures = Pictures(config, recogniser, {"replica": replica_id(), "host": socket.gethostname(), "device": device})
        shared().warm("picture")

    async def __call__(self, tasks: list[PictureTask]) -> list[PictureAnswer]:
        """One answer a task, in their order; an error is in its answer."""
        return await self._pictures.run(tasks)


def _facts(picture: DecodedPicture) -> dict[str, Any]:
    """What the file was: for the row (`input_…`), and for the event beside it."""
    height, width = picture.pixels.shape[:2]
    channels, dtype = _KINDS.get(picture.mode, (1, "uint16") if picture.mode.startswith("I;16") else (3, "uint8"))
    return {
        "input_width": width,
        "input_height": height,
        "input_channels": channels,
        "input_format": f"{picture.format}/{picture.mode}",
        "shape": f"{height}x{width}x{channels}",
        "channels": channels,
        "dtype": dtype,
        "orientation": picture.orientation,
        "had_alpha": picture.had_alpha,
        "icc": picture.icc,
    }


def _tensor(prepared: Prepared, frame: Frame) -> dict[str, Any]:
    """What the network is given."""
    return {
        "shape": f"{frame.side}x{frame.side}x3",
        "channels": 3,
        "dtype": "float32",
        "scale_ratio": prepared.view.scale,
        "norm_mean": ", ".join(f"{value:g}" for value in frame.mean),
        "norm_std": ", ".join(f"{value:g}" for value in frame.std),
        "tensor_constant": prepared.view.blank,
    }


def _outcomes(found: Recognition) -> dict[str, Any]:
    return {
        "top1_label": found.candidates[0].label.english,
        "top1_score": found.candidates[0].score,
        "top3_labels": [one.label.english for one in found.candidates],
        "low_confidence": found.low_confidence,
    }


def _told(found: Recognition, picture: DecodedPicture) -> dict[str, Any]:
    """What the client is told of its picture."""
    label = found.label
    return {
        "label": None if label is None else {"en": label.english, "zh": label.chinese},
        "score": None if label is None else round(found.candidates[0].score, 4),
        "low_confidence": found.low_confidence,
        "top3": [{"en": one.label.english, "zh": one.label.chinese, "score": round(one.score, 4)} for one in found.candidates],
        "faces": found.faces,
        "crop_dropped_share": round(found.dropped_share, 3),
        "picture": {
            name.removeprefix("input_"): value for name, value in _facts(picture).items() if name not in ("shape", "channels")
        },
    }
