"""How much does drawing cost beside encoding? Prints ms a frame of both and their ratio, at 512 and 1024 px, and where drawing
spends its time.

    python -m bench.render [--tiny] [seconds]

Drawing is `lite` from coefficients to uint8 frames; encoding is libx264 veryfast by the ffmpeg of imageio-ffmpeg, fed through a
pipe as in the service, the pipe included. Both are CPU time of one thread (user and system), which other programs on the machine
disturb less than the clock; each is the least of RUNS.
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
import numpy.typing as npt
import torch
from PIL import Image
from scipy.io import wavfile

from bench.ratios import keep
from deployments.models.facemesh import FaceMesh, Pixels
from deployments.models.lite_motion import SignalMotion
from deployments.models.lite_render import CHUNK, Scene, controls, drawn, prepare, render
from deployments.models.protocol import Portrait, Speech, frame_count

MEDIA = Path(__file__).parents[1] / "sonoscope" / "media"
FPS = 25.0
RUNS = 3


def portrait_of(size: int) -> Portrait:
    """The astronaut's portrait at `size` px with its mesh."""
    picture = np.asarray(Image.open(MEDIA / "portrait_astronaut.png").convert("RGB"))[20:260, 100:340]
    pixels = cv2.resize(picture, (size, size), interpolation=cv2.INTER_CUBIC).astype(np.uint8)
    finder = FaceMesh()
    mesh, _ = finder.fit(pixels, finder.detect(pixels)[0])
    return Portrait(pixels, mesh, f"astronaut {size}")


def scene_of(size: int) -> tuple[Scene, float]:
    """That portrait made ready, and the CPU seconds that it took."""
    portrait = portrait_of(size)
    start = cpu_seconds()
    return prepare(portrait.pixels, portrait.mesh, torch.device("cpu")), cpu_seconds() - start


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


def cpu_seconds() -> float:
    """CPU time of this process and of the children that it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def least(work: Callable[[], object]) -> float:
    """CPU seconds of the cheapest of RUNS."""
    seconds = []
    for _ in range(RUNS):
        start = cpu_seconds()
        work()
        seconds.append(cpu_seconds() - start)
    return min(seconds)


def parts(scene: Scene, coefficients: npt.NDArray[np.float32]) -> dict[str, float]:
    """CPU seconds of drawing by part of the picture, without the copy into frames, over chunks as `render` makes them."""
    spent = {"bands": 0.0, "mouth": 0.0, "eyes": 0.0}
    kinds = ["bands"] * len(scene.bands) + ["mouth"] * len(scene.mouth.patches) + ["eyes"] * len(scene.eyes)
    with torch.inference_mode():
        for start in range(0, len(coefficients), CHUNK):
            weights = torch.from_numpy(controls(coefficients[start : start + CHUNK], scene.gap))
            before = time.process_time()
            for kind, _ in zip(kinds, drawn(scene, weights), strict=False):  # no eyes where nobody blinks
                after = time.process_time()
                spent[kind] += after - before
                before = after
    return spent


def main(seconds: float, sizes: tuple[int, ...]) -> None:
    """Prints two lines a size."""
    torch.set_num_threads(1)
    _, samples = wavfile.read(MEDIA / "speech_en.wav")
    speech = Speech(samples[: round(seconds * 16_000)].astype(np.float32) / np.float32(32768))
    n = frame_count(speech.seconds, FPS)
    parameters = {"inference_steps": 25, "dynamic_scale": 1.0, "fps": FPS, "seed": 0}
    coefficients = SignalMotion().motion(speech, parameters, n, lambda k, steps: None)
    print(f"{n} frames; CPU time of one thread")
    for size in sizes:
        scene, ready = scene_of(size)
        frames = list(render(scene, coefficients))
        drawing = least(lambda scene=scene: list(render(scene, coefficients))) * 1e3 / n
        encoding = least(lambda frames=frames: encode(frames, 1)) * 1e3 / n
        share = drawing / encoding
        print(f"{size} px: drawing {drawing:.2f} ms, encoding {encoding:.2f} ms, ratio {share:.2f}; prepared in {ready:.2f} s")
        keep(f"drawing a frame of {size} px", share, "encoding it (x264)", at_most=1.0)
        spent = {kind: value * 1e3 / n for kind, value in parts(scene, coefficients).items()}
        rest = drawing - sum(spent.values())
        print("  " + ", ".join(f"{kind} {ms:.2f}" for kind, ms in spent.items()) + f", copy into frames {rest:.2f} ms")


if __name__ == "__main__":
    arguments = [argument for argument in sys.argv[1:] if argument != "--tiny"]
    tiny = "--tiny" in sys.argv
    main(float(arguments[0]) if arguments else (1.0 if tiny else 4.0), (256,) if tiny else (512, 1024))
