"""What do denoising steps cost, and what do they change? Prints, for each number of steps, the time against the clip's length and
against drawing its frames, and how far the motion is from that of 100 steps.

    taskset -c 0 python -m bench.motion [--tiny]

One core, the shipped English recording looped to 10 s, 512 px. Times are CPU seconds, the least of three runs, because others
share the machine. How good the motion is, against targets, is measured by `python -m deployments.models.training.evaluate`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
import torch

from bench.ratios import keep
from bench.render import FPS, MEDIA, scene_of
from deployments.media.audio import decode_audio
from deployments.models.lite_motion import SignalMotion
from deployments.models.lite_render import COEFFICIENTS, render
from deployments.models.motion import LearnedMotion
from deployments.models.protocol import SAMPLE_RATE, Speech, frame_count

RUNS = 3
OPEN = COEFFICIENTS.index("open")


def least(work: Callable[[], object]) -> float:
    """Least CPU seconds of RUNS."""
    seconds = []
    for _ in range(RUNS):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return min(seconds)


def speech_of(seconds: float) -> Speech:
    """The shipped recording, looped or cut to `seconds`."""
    samples = decode_audio(MEDIA / "speech_en.wav").samples
    n = round(seconds * SAMPLE_RATE)
    return Speech(np.tile(samples, n // len(samples) + 1)[:n])


def main(seconds: float, size: int, steps: tuple[int, ...]) -> None:
    """Prints one line for each number of steps, and one for the rival without a model."""
    torch.set_num_threads(1)
    speech = speech_of(seconds)
    n = frame_count(speech.seconds, FPS)
    learned = LearnedMotion(torch.device("cpu"))

    def motion(count: int) -> np.ndarray:
        parameters = {"inference_steps": count, "dynamic_scale": 1.0, "fps": FPS, "seed": 0}
        return learned.motion(speech, parameters, n, lambda k, of: None)

    settled = motion(100)
    scene, _ = scene_of(size)
    drawing = least(lambda: list(render(scene, settled)))
    print(f"{seconds:g} s clip, {size} px; drawing {drawing:.2f} s")
    for count in steps:
        took = least(lambda count=count: motion(count))
        away = np.abs(motion(count)[:, OPEN] - settled[:, OPEN]).mean()
        print(
            f"{count:3d} steps: {took * 1e3:6.0f} ms, {took / seconds:.4f} of the clip, {took / drawing:.3f} of drawing; "
            f"mean difference of the opening from 100 steps {away:.3f}"
        )
    plain = {"inference_steps": 25, "dynamic_scale": 1.0, "fps": FPS, "seed": 0}
    rival = least(lambda: SignalMotion().motion(speech, plain, n, lambda k, of: None))
    ratio = least(lambda: motion(25)) / rival
    print(f"without a model (SignalMotion, 25 steps): {rival * 1e3:.0f} ms; the model takes {ratio:.1f} times that")
    keep("motion model, 25 steps", ratio, "motion from the signal alone")


if __name__ == "__main__":
    tiny = "--tiny" in sys.argv[1:]
    main(1.0 if tiny else 10.0, 128 if tiny else 512, (1, 5) if tiny else (1, 2, 5, 10, 20, 25, 40, 100))
