"""Runs the published Sonic in a process of its own, with the user's Python; imports nothing of ours but `wire.py` beside it.

A process of its own because Sonic keeps its settings in a class, seeds the global generators, and imports as `src`. It reads orders
from standard input (a socket) and answers there; when the adapter dies, the socket ends and so does this process.
"""

from __future__ import annotations

import importlib
import json
import os
import queue
import resource
import shutil
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

FRAMES_A_MESSAGE = 25


class _Stopped(Exception):
    """The adapter said stop."""


class _Drawn(Exception):
    """Thrown out of `Sonic.process` with the video, so that its own writing (a shell string with ffmpeg) never runs."""

    def __init__(self, video: Any):
        super().__init__()
        self.video = video


class _Steps:
    """In place of the pipeline's progress bar, which moves once a step."""

    def __init__(self, total: int, say: Callable[..., None]):
        self._total, self._say, self._done = total, say, 0

    def __enter__(self) -> _Steps:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def update(self, count: int = 1) -> None:
        """Called by the pipeline after each step."""
        self._done += count
        self._say("step", k=self._done, n=self._total)


class Worker:
    """One loaded Sonic, one order at a time."""

    def __init__(self, connection: socket.socket, settings: dict[str, Any], wire: Any):
        self._connection, self._wire = connection, wire
        self._home = Path(settings["home"])
        self._stop = threading.Event()
        self._orders: queue.Queue[tuple[dict[str, Any], bytearray]] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()
        self._sonic, self._config = self._load(settings)
        self._say("ready")

    def _say(self, what: str, payload: Any = b"", **more: Any) -> None:
        self._wire.send(self._connection, {"say": what, **more}, payload)

    def _listen(self) -> None:
        while True:
            try:
                head, payload = self._wire.receive(self._connection)
            except EOFError:
                # Whoever asked is gone, perhaps killed: nobody waits for what the main thread still computes, nor cleans up.
                shutil.rmtree(self._home, ignore_errors=True)
                os._exit(0)
            if head["do"] == "stop":
                self._stop.set()
            else:
                self._stop.clear()
                self._orders.put((head, payload))

    def _load(self, settings: dict[str, Any]) -> tuple[Any, Any]:
        sys.path.insert(0, settings["checkout"])
        module: Any = importlib.import_module("sonic")
        # Its checkpoints lie where we say, not below the checkout; its config was read from there when it was imported.
        module.BASE_DIR = str(self._home)
        module.tqdm = lambda items, **_: items
        module.save_videos_grid = _keep
        config = module.Sonic.config
        config.weight_dtype = settings["dtype"]
        sonic = module.Sonic(settings["device_id"], enable_interpolate_frame=True)
        sonic.pipe.progress_bar = lambda iterable=None, total=0: _Steps(total, self._say)
        # Where it may stop: after each window of a step, each chunk of the decoder, each frame between two.
        for owner, name in ((sonic.pipe.scheduler, "step"), (sonic.pipe.vae, "decode"), (sonic.rife, "inference")):
            setattr(owner, name, self._stoppable(getattr(owner, name)))
        sonic.face_det = _largest(sonic.face_det)
        return sonic, config

    def _stoppable(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def stoppable(*arguments: Any, **named: Any) -> Any:
            if self._stop.is_set():
                raise _Stopped
            return work(*arguments, **named)

        return stoppable

    def run(self) -> None:
        """Works off orders for ever. What nobody foresaw is told and ends the process: its state is then unknown."""
        while True:
            order, payload = self._orders.get()
            try:
                self._say("end", outcome=self._make(order, payload), **_memory())
            except Exception as error:
                self._say("end", outcome="failed", reason=reason_of(error), **_memory())
                raise

    def _make(self, order: dict[str, Any], payload: bytearray) -> str:
        import torch

        portrait, speech = self._inputs(order, payload)
        self._config.seed = order["seed"]  # given as `seed=`, 0 would be ignored
        try:
            code = self._sonic.process(
                portrait,
                speech,
                str(self._home / "never.mp4"),
                min_resolution=order["min_resolution"],
                inference_steps=order["steps"],
                dynamic_scale=order["dynamic_scale"],
            )
        except _Stopped:
            return "stopped"
        except _Drawn as drawn:
            return self._hand_over(drawn.video, order["frames"])
        except (RuntimeError, MemoryError) as error:
            if not _is_full(error):
                raise
            torch.cuda.empty_cache()
            return "out_of_memory"
        if code == -1:
            return "no_face"
        raise RuntimeError(f"Sonic.process ended with {code} and without a video: this checkout writes its video in another way")

    def _inputs(self, order: dict[str, Any], payload: bytearray) -> tuple[str, str]:
        import numpy as np
        from PIL import Image

        soundfile = importlib.import_module("soundfile")  # librosa, which Sonic reads sound with, brings it

        height, width = order["size"]
        pixels = np.frombuffer(payload, np.uint8, height * width * 3).reshape(height, width, 3)
        samples = np.frombuffer(payload, np.float32, offset=pixels.nbytes)
        portrait, speech = str(self._home / "portrait.png"), str(self._home / "speech.wav")
        Image.fromarray(pixels).save(portrait)
        soundfile.write(speech, samples, order["rate"], subtype="FLOAT")
        return portrait, speech

    def _hand_over(self, video: Any, frames: int) -> str:
        """Sends `frames` frames of the video, (1, 3, t, h, w) from 0 to 1, as bytes (n, h, w, 3)."""
        import torch

        if video.shape[2] < frames:
            raise RuntimeError(f"Sonic drew {video.shape[2]} frames where {frames} were wanted")
        if not torch.isfinite(video).all():
            return "diverged"
        for start in range(0, frames, FRAMES_A_MESSAGE):
            if self._stop.is_set():
                return "stopped"
            part = video[0, :, start : min(start + FRAMES_A_MESSAGE, frames)].permute(1, 2, 3, 0)
            # As Sonic itself turns them into bytes (src/utils/util.py): cut off, not rounded.
            made = (part * 255).to(torch.uint8).contiguous().numpy()
            self._say("frames", memoryview(made).cast("B"), shape=list(made.shape))
        return "done"


def _is_full(error: Exception) -> bool:
    """True for a device or a host without memory; torch tells of the host's in words only."""
    torch = sys.modules["torch"]
    return isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(error)


def _keep(video: Any, *_: Any, **__: Any) -> None:
    raise _Drawn(video)


def _largest(detect: Callable[..., Any]) -> Callable[..., Any]:
    """The detector, taking the largest face; with `maxface` it takes the last one that is larger than the first."""

    def largest(picture: Any, maxface: bool = False) -> Any:
        points, scores, boxes = detect(picture, maxface=False)
        if not maxface or len(boxes) < 2:
            return points, scores, boxes
        best = max(range(len(boxes)), key=lambda i: boxes[i][2] * boxes[i][3])
        return [points[best]], [scores[best]], [boxes[best]]

    return largest


def reason_of(error: BaseException) -> str:
    """Type and first line of an error, bounded."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__


def _memory() -> dict[str, float]:
    """Peaks of this process so far, MB."""
    torch = sys.modules["torch"]
    peak = {"peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    if torch.cuda.is_available():
        peak["device_memory_mb"] = torch.cuda.max_memory_allocated() / 2**20
    return peak


def main() -> None:
    """Loads as the first argument says (JSON), then serves the socket on standard input."""
    here = str(Path(__file__).parent)
    sys.path[:] = [entry for entry in sys.path if entry != here]  # `sonic` must be found in the checkout, not here
    sys.path.insert(0, here)
    wire = importlib.import_module("wire")
    sys.path.remove(here)
    connection = socket.socket(fileno=os.dup(0))
    try:
        worker = Worker(connection, json.loads(sys.argv[1]), wire)
    except Exception as error:
        wire.send(connection, {"say": "unusable", "reason": reason_of(error)})
        raise
    worker.run()


if __name__ == "__main__":
    main()
