"""How much does drawing cost beside encoding? Prints ms a frame of both and their ratio, at 512 and 1024 px, on the same cores.

    taskset -c 0 python -m bench.render [seconds]

Drawing is `lite` from coefficients to uint8 frames; encoding is libx264 veryfast by the ffmpeg of imageio-ffmpeg, fed through a
pipe as in the service. Both use the cores that this process may use; each is the fastest of three runs, because others share the
machine.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
import torch
from PIL import Image
from scipy.io import wavfile

from deployments.models.facemesh import FaceMesh, Pixels
from deployments.models.lite_motion import SignalMotion
from deployments.models.lite_render import Scene, prepare, render
from deployments.models.protocol import Speech, frame_count

MEDIA = Path(__file__).parents[1] / "sonoscope" / "media"
FPS = 25.0
RUNS = 3


def scene_of(size: int) -> tuple[Scene, float]:
    """The astronaut's portrait at `size` px, made ready, and the seconds that it took."""
    picture = np.asarray(Image.open(MEDIA / "portrait_astronaut.png").convert("RGB"))[20:260, 100:340]
    pixels = cv2.resize(picture, (size, size), interpolation=cv2.INTER_CUBIC).astype(np.uint8)
    finder = FaceMesh()
    mesh, _ = finder.fit(pixels, finder.detect(pixels)[0])
    start = time.perf_counter()
    return prepare(pixels, mesh, torch.device("cpu")), time.perf_counter() - start


def encode(frames: list[Pixels], threads: int) -> None:
    """Pipes the frames through libx264 veryfast into nothing."""
    height, width = frames[0].shape[1:3]
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(FPS), "-i", "-"]
    x264 = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-pix_fmt", "yuv420p", "-threads", str(threads)]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", *raw, *x264, "-f", "null", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as ffmpeg:
        assert ffmpeg.stdin is not None
        for chunk in frames:
            ffmpeg.stdin.write(chunk.data)
        ffmpeg.stdin.close()


def fastest(work: Callable[[], object]) -> float:
    """Seconds of the fastest of RUNS."""
    seconds = []
    for _ in range(RUNS):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def main(seconds: float) -> None:
    """Prints one line a size."""
    cores = len(os.sched_getaffinity(0))
    torch.set_num_threads(cores)
    _, samples = wavfile.read(MEDIA / "speech_en.wav")
    speech = Speech(samples[: round(seconds * 16_000)].astype(np.float32) / np.float32(32768))
    n = frame_count(speech.seconds, FPS)
    parameters = {"inference_steps": 25, "dynamic_scale": 1.0, "fps": FPS, "seed": 0}
    motion = fastest(lambda: SignalMotion().motion(speech, parameters, n, lambda k, steps: None))
    coefficients = SignalMotion().motion(speech, parameters, n, lambda k, steps: None)
    print(f"{n} frames, {cores} core(s); motion {motion * 1e3 / n:.2f} ms a frame")
    for size in (512, 1024):
        scene, ready = scene_of(size)
        frames = list(render(scene, coefficients))
        drawing = fastest(lambda scene=scene: list(render(scene, coefficients))) * 1e3 / n
        encoding = fastest(lambda frames=frames: encode(frames, cores)) * 1e3 / n
        share = drawing / encoding
        print(f"{size} px: drawing {drawing:.2f} ms, encoding {encoding:.2f} ms, ratio {share:.2f}; prepared in {ready:.2f} s")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 4.0)
