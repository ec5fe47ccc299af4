"""The backend `sonic`: the published model behind our interface, its pitfalls turned into our errors (docs/sonic.md lists them)."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from deployments.models.protocol import SAMPLE_RATE, Portrait, Speech, StepHook, frame_count
from deployments.models.ranges import refuse_outside
from deployments.models.sonic.installed import Installed, unusable
from deployments.models.sonic.process import WorkerGone, WorkerProcess
from deployments.models.sonic.terms import FPS, MOST_FRAMES, PARAMETERS
from telemetry.errors import RequestError

LICENCE = (
    "Sonic (code and weights) is CC BY-NC-SA 4.0: for research and education, not for commercial use. Its videos fall under it."
)

DTYPES = ("fp16", "bf16", "fp32")

_LOOK_S = 0.5
"""Seconds after which a caller that waits is asked again whether it still wants to (`on_step` with the same step)."""

_STOP_S = 60.0
"""Seconds in which a stopped worker must come to its next window, chunk or frame; then it is ended, and the next one loads anew."""

_SAMPLES_A_DRAWN_FRAME = 1_280
"""Sonic draws a frame for each 80 ms of sound, rounded down."""

_LEAST_DRAWN = 6
"""Below 0.48 s of sound its audio windows are empty, and it fails with a matrix of the wrong shape."""

_noticed = threading.Event()


class Sonic:
    """A talking head by the published model, in a worker process. Several threads may call `generate`: they take turns.

    A caller that waits for its turn, for the model to load or between two steps is asked by `on_step` twice a second, with the
    steps done so far (from 0), so that it can cancel.
    """

    name = "sonic"
    parameters: Mapping[str, tuple[float, float]] = PARAMETERS

    def __init__(
        self,
        checkout: str | Path | None = None,
        checkpoints: str | Path | None = None,
        python: str | Path | None = None,
        dtype: str | None = None,
    ) -> None:
        """`checkpoints` lie in the checkout and `python` is this one unless said; `dtype`: fp16, on a CPU fp32."""
        self.version = "sonic"
        self._installed: Installed | None = None
        if checkout is not None:
            folder = Path(checkout)
            self._installed = Installed(folder, Path(checkpoints or folder / "checkpoints"), Path(python or sys.executable))
        self._dtype = dtype
        self._device: str | None = None
        self._turn = threading.Lock()
        self._worker: WorkerProcess | None = None

    def load(self, device: str) -> None:
        """Checks the files, and starts the worker, which loads Sonic on `device` ("cpu", "cuda:0") in the meantime.

        Raises RequestError(invalid_parameter) where Sonic is not set up, not whole, or its Python does not start.
        """
        if self._installed is None:
            raise unusable("its checkout is not set (backends.sonic.checkout)")
        if self._dtype is not None and self._dtype not in DTYPES:
            raise unusable(f"backends.sonic.dtype is {self._dtype!r}, not one of {', '.join(DTYPES)}")
        self._installed.check()
        self.version = self._installed.version()
        self._device = device
        if not _noticed.is_set():
            _noticed.set()
            logging.getLogger(__name__).warning(LICENCE)
        self.close()
        self._worker = self._start()

    def close(self) -> None:
        """Ends the worker; the next `generate` starts a new one."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    @property
    def worker_pid(self) -> int | None:
        """Process id of the worker, where there is one."""
        return None if self._worker is None else self._worker.pid

    def generate(
        self, portrait: Portrait, speech: Speech, parameters: Mapping[str, Any], on_step: StepHook
    ) -> Iterator[npt.NDArray[np.uint8]]:
        """Yields chunks of up to 25 frames (n, h, w, 3) uint8 RGB of the portrait's size; frame_count(speech.seconds, 25) in all.

        Uses inference_steps, dynamic_scale and seed (None counts as 0). All steps run before the first frame; what `on_step` raises
        goes through, after the worker has stopped. Raises RequestError: invalid_parameter (outside `parameters`, or Sonic does not
        load), audio_too_long, face_not_found (its own detector), inference_diverged, out_of_memory, replica_lost (the worker died),
        internal; and RuntimeError before `load`.
        """
        if self._device is None:
            raise RuntimeError("Sonic.generate before Sonic.load")
        refuse_outside(self.name, self.parameters, parameters)
        frames = frame_count(speech.seconds, FPS)
        if frames > MOST_FRAMES:
            most = MOST_FRAMES / FPS
            raise RequestError(
                "audio_too_long", f"sonic takes {most:g} s of speech; this is {speech.seconds:.1f} s.", field="audio"
            )
        steps = int(parameters["inference_steps"])
        with self._my_turn(on_step, steps):
            try:
                yield from self._made(self._ready(on_step, steps), portrait, _order(portrait, speech, parameters, frames), on_step)
            except WorkerGone as gone:
                self.close()
                raise RequestError("replica_lost", f"Sonic's process {gone}.", stage="run_inference") from gone

    @contextmanager
    def _my_turn(self, on_step: StepHook, steps: int) -> Iterator[None]:
        while not self._turn.acquire(timeout=_LOOK_S):
            on_step(0, steps)
        try:
            yield
        finally:
            self._turn.release()

    def _start(self) -> WorkerProcess:
        assert self._installed is not None
        assert self._device is not None
        dtype = self._dtype or ("fp32" if self._device == "cpu" else "fp16")
        try:
            return WorkerProcess(self._installed, device=self._device, dtype=dtype)
        except OSError as error:
            raise unusable(f"its python does not start: {error.strerror}") from error

    def _ready(self, on_step: StepHook, steps: int) -> WorkerProcess:
        """The worker with Sonic loaded. A caller that gives up leaves it loading for the next."""
        worker = self._worker = self._worker or self._start()
        while not worker.loaded:
            try:
                message = worker.hear(_LOOK_S)
            except WorkerGone as gone:
                self.close()
                raise unusable(f"its process {gone}") from gone
            if message is None:
                on_step(0, steps)
            elif message[0]["say"] == "ready":
                worker.loaded = True
            else:
                self.close()
                raise unusable(f"it does not load: {message[0]['reason']}")
        return worker

    def _made(
        self, worker: WorkerProcess, portrait: Portrait, order: tuple[dict[str, Any], bytes], on_step: StepHook
    ) -> Iterator[npt.NDArray[np.uint8]]:
        done, steps = 0, order[0]["steps"]
        ended = False
        worker.ask(*order)
        try:
            while not ended:
                message = worker.hear(_LOOK_S)
                if message is None:
                    on_step(done, steps)
                    continue
                head, payload = message
                if head["say"] == "step":
                    done = head["k"]
                    on_step(done, steps)
                elif head["say"] == "frames":
                    yield _fitted(np.frombuffer(payload, np.uint8).reshape(head["shape"]), portrait)
                else:
                    ended = True
                    self._refuse(head)
        finally:
            if not ended and self._worker is worker:
                self._stop(worker)

    def _refuse(self, end: Mapping[str, Any]) -> None:
        """Raises the error of an order that did not end well."""
        match end["outcome"]:
            case "done":
                return
            case "no_face":
                raise RequestError("face_not_found", "Sonic's own detector found no face in the portrait.", field="portrait")
            case "diverged":
                raise RequestError("inference_diverged", "Sonic drew frames that are not finite.", stage="run_inference")
            case "out_of_memory":
                raise RequestError("out_of_memory", "Sonic has too little memory for this request.", stage="run_inference")
        self.close()  # what it holds now nobody knows
        raise RequestError("internal", f"Sonic failed: {end['reason']}.", stage="run_inference")

    def _stop(self, worker: WorkerProcess) -> None:
        """Returns when the worker has let go of the order, or has been ended."""
        try:
            worker.ask({"do": "stop"})
            until = monotonic() + _STOP_S
            while (left := until - monotonic()) > 0:
                message = worker.hear(left)
                if message is not None and message[0]["say"] == "end":
                    if message[0]["outcome"] == "failed":
                        break
                    return
        except WorkerGone:
            pass  # it has let go of everything
        self.close()


def _order(portrait: Portrait, speech: Speech, parameters: Mapping[str, Any], frames: int) -> tuple[dict[str, Any], bytes]:
    """What the worker is to make, and its bytes: the picture's, then the sound's.

    Sonic draws a frame for each whole 80 ms and one between each two, so its video ends 40 to 120 ms before its sound. The sound is
    made longer by silence until `frames` frames come out, and what is more is cut off.
    """
    drawn = max(frames // 2 + 1, _LEAST_DRAWN)
    samples = np.zeros(drawn * _SAMPLES_A_DRAWN_FRAME, np.float32)
    taken = min(len(samples), len(speech.samples))
    samples[:taken] = speech.samples[:taken]
    height, width = portrait.pixels.shape[:2]
    head = {
        "do": "make",
        "size": [height, width],
        "rate": SAMPLE_RATE,
        "frames": frames,
        "steps": int(parameters["inference_steps"]),
        "dynamic_scale": float(parameters["dynamic_scale"]),
        "min_resolution": min(height, width),
        "seed": int(parameters["seed"] or 0),
    }
    return head, portrait.pixels.tobytes() + samples.tobytes()


def _fitted(frames: npt.NDArray[np.uint8], portrait: Portrait) -> npt.NDArray[np.uint8]:
    """The frames in the portrait's size: Sonic rounds both sides to multiples of 64."""
    height, width = portrait.pixels.shape[:2]
    if frames.shape[1:3] == (height, width):
        return frames
    way = cv2.INTER_AREA if frames.shape[1] * frames.shape[2] > height * width else cv2.INTER_CUBIC
    return np.stack([cv2.resize(frame, (width, height), interpolation=way) for frame in frames]).astype(np.uint8, copy=False)
