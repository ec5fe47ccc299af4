"""Sonoscope Generate and Sonoscope Recognize: the work is done by a Sonoscope service, through its Python client."""

from __future__ import annotations

import math
import os
import queue
import threading
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.utils
from comfy_api.input_impl import VideoFromFile

from serve.schema import JobAnswer
from sonoscope.client import Client
from telemetry import fields

from .media import pictures, speech

LOOK_S = 0.2
"""Seconds between two looks at ComfyUI's cancel button."""
URL = os.environ.get("SONOSCOPE_URL", "http://127.0.0.1:8000")
OFFERED = ("inference_steps", "dynamic_scale", "min_resolution", "expand_ratio", "fps", "keep_resolution", "model_name")


def _widget(name: str) -> tuple[Any, dict[str, Any]]:
    field = fields.BY_NAME[name]
    about: dict[str, Any] = {"default": field.default, "tooltip": field.help}
    if field.choices:
        return list(field.choices), about
    if field.dtype == "bool":
        return "BOOLEAN", about
    about |= {"min": field.minimum, "max": field.maximum, "step": field.multiple_of or (1 if field.dtype == "int" else 0.01)}
    return ("INT" if field.dtype == "int" else "FLOAT"), about


class SonoscopeGenerate:
    """A talking-head video of a picture and speech."""

    CATEGORY = "Sonoscope"
    FUNCTION = "generate"
    RETURN_TYPES = ("VIDEO", "STRING", "FLOAT", "STRING")
    RETURN_NAMES = ("video", "job_id", "audio_drift_ms", "sync_reason")
    OUTPUT_TOOLTIPS = (
        "the video with its sound",
        "`sonoscope record` shows what happened",
        "sound against lips, absolute; NaN where it was not measured",
        "why it was or was not measured",
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802  (ComfyUI's name)
        """The inputs, with the ranges and defaults of the service's own table."""
        required = {"portrait": ("IMAGE",), "audio": ("AUDIO",), **{name: _widget(name) for name in OFFERED}}
        seed = ("INT", {"default": 0, "min": 0, "max": 2**31 - 1, "control_after_generate": True})
        return {"required": required | {"seed": seed}, "optional": {"url": ("STRING", {"default": URL})}}

    def generate(self, portrait: Any, audio: Any, url: str = URL, **parameters: Any) -> tuple[Any, str, float, str]:
        """Makes the video. A cancel in ComfyUI cancels the job. Raises ServiceError where the service refuses or fails."""
        images = pictures(portrait)
        if len(images) != 1:
            raise ValueError(f"portrait holds {len(images)} pictures; connect one.")
        with Client(url) as client:
            accepted = client.submit(images[0], speech(audio), **parameters)
            job = _followed(client, accepted.job_id)
            # ComfyUI reads a VIDEO when a later node wants it; its temporary folder is emptied at ComfyUI's next start.
            path = Path(_folder()) / f"sonoscope_{job.request_id}.mp4"
            client.download(job.request_id, path)
        assert job.result is not None
        measured = job.result.outcomes
        drift_ms = measured.get("audio_drift_ms")
        return VideoFromFile(str(path)), job.job_id, math.nan if drift_ms is None else drift_ms, str(measured.get("sync_reason"))


class SonoscopeRecognize:
    """What is on each picture of a batch."""

    CATEGORY = "Sonoscope"
    FUNCTION = "recognize"
    RETURN_TYPES = ("STRING", "STRING", "FLOAT")
    RETURN_NAMES = ("label_en", "label_zh", "score")
    OUTPUT_IS_LIST = (True, True, True)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802  (ComfyUI's name)
        """The inputs."""
        return {"required": {"image": ("IMAGE",)}, "optional": {"url": ("STRING", {"default": URL})}}

    def recognize(self, image: Any, url: str = URL) -> tuple[list[str], list[str], list[float]]:
        """Labels in English and Chinese, "" and 0.0 where nobody is sure. Raises RuntimeError for a picture that failed."""
        comfy.model_management.throw_exception_if_processing_interrupted()
        with Client(url) as client:
            results = client.recognize(pictures(image)).results
        for number, one in enumerate(results):
            if one.error is not None:
                raise RuntimeError(f"Picture {number}: {one.error.type}: {one.error.message} {one.error.hint}")
        en = ["" if one.label is None else one.label.en for one in results]
        zh = ["" if one.label is None else one.label.zh for one in results]
        return en, zh, [one.score or 0.0 for one in results]


def _folder() -> str:
    import folder_paths  # ComfyUI's own, a module of its root folder

    folder = folder_paths.get_temp_directory()
    Path(folder).mkdir(parents=True, exist_ok=True)
    return folder


def _followed(client: Client, job_id: str) -> JobAnswer:
    """The job at its end, its steps on ComfyUI's progress bar. Raises ServiceError, or ComfyUI's own exception after a cancel."""
    news: queue.Queue[JobAnswer | BaseException] = queue.Queue()

    def wait() -> None:
        try:
            news.put(client.wait(job_id, on_change=news.put))
        except BaseException as error:  # raised again by the thread that waits
            news.put(error)

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    bar, job = None, None
    while job is None or job.result is None:
        try:
            comfy.model_management.throw_exception_if_processing_interrupted()
        except BaseException:
            client.cancel(job_id)
            waiting.join()
            raise
        try:
            seen = news.get(timeout=LOOK_S)
        except queue.Empty:
            continue
        if isinstance(seen, BaseException):
            raise seen
        job = seen
        if job.steps:
            total = job.steps + (job.frames_total or 0)
            bar = bar or comfy.utils.ProgressBar(total)
            bar.update_absolute((job.step or 0) + (job.frames or 0), total)
    waiting.join()
    return job


NODE_CLASS_MAPPINGS = {"SonoscopeGenerate": SonoscopeGenerate, "SonoscopeRecognize": SonoscopeRecognize}
NODE_DISPLAY_NAME_MAPPINGS = {"SonoscopeGenerate": "Sonoscope Generate", "SonoscopeRecognize": "Sonoscope Recognize"}
