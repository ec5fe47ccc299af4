"""Figures of the motion model on voices and texts that it was not trained on, and on real recordings.

    SONOSCOPE_SPEECH_DIR=... python -m deployments.models.training.evaluate [--clips N] [--weights FILE]

Prints Markdown tables; docs/motion_model.md holds them as last printed. The rival in each table is `SignalMotion`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from deployments.models.lite_motion import SignalMotion
from deployments.models.motion import WEIGHTS, LearnedMotion, MotionModel
from deployments.models.protocol import SAMPLE_RATE, Speech, frame_count
from deployments.models.training import targets
from deployments.models.training.data import draw_clip
from deployments.models.training.measures import OPEN, SHUT, jitter, shut_in, silent_frames, widest_in
from deployments.models.training.recordings import recordings
from deployments.models.training.speech import Phone
from deployments.models.training.targets import Style, closures, motion_targets

FPS = 25.0
STEPS = (1, 2, 5, 10, 20, 25, 40, 100)
SEED = 7_000_001

Opening = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """A sound, its sounds' times, and the opening that a middling speaker would show, at FPS."""

    samples: npt.NDArray[np.float32]
    phones: tuple[Phone, ...]
    target: Opening


def held_out(clips: int, rough: bool) -> list[Sample]:
    """Clips of voices and texts never trained on, with the targets of the middling speaker."""
    rng = np.random.default_rng(SEED)
    found = []
    for _ in range(clips):
        clip = draw_clip(rng, held_out=True, rough=rough, style=Style())
        found.append(Sample(clip.samples, clip.phones, middling(clip.phones, len(clip.samples) / SAMPLE_RATE)))
    return found


def middling(phones: Sequence[Phone], seconds: float) -> Opening:
    """`open` (frames,) at FPS of the speaker without any style of their own; shut lips count as 0."""
    curve = motion_targets(phones, seconds, Style(), np.random.default_rng(0))[:, 0]
    times = np.arange(frame_count(seconds, FPS)) / FPS
    return np.maximum(np.interp(times, np.arange(len(curve)) / targets.RATE, curve), 0).astype(np.float64)


def opening(model: MotionModel, samples: npt.NDArray[np.float32], steps: int, seed: int = 0) -> Opening:
    """`open` (frames,) at FPS as `model` gives it."""
    speech = Speech(samples)
    parameters = {"inference_steps": steps, "dynamic_scale": 1.0, "fps": FPS, "seed": seed}
    motion = model.motion(speech, parameters, frame_count(speech.seconds, FPS), lambda k, n: None)
    return motion[:, OPEN].astype(np.float64)


def row(drawn: Sequence[Opening], material: Sequence[Sample]) -> dict[str, float]:
    """The measures of one model on `material`: error, correlation and jitter as means over the clips, the rest over all places."""
    pairs = list(zip(drawn, material, strict=True))
    still = np.concatenate([x[silent_frames(s.samples, FPS, len(x))] for x, s in pairs])
    return {
        "error": _mean([np.abs(x - s.target).mean() for x, s in pairs]),
        "correlation": _mean([np.corrcoef(x, s.target)[0, 1] for x, s in pairs]),
        "closures shut": _mean([shut for x, s in pairs for shut in shut_in(x, FPS, closures(s.phones))]),
        "open vowels shut": _mean([shut for x, s in pairs for shut in shut_in(x, FPS, _middles(s.phones))]),
        "open vowels reach": _mean([wide for x, s in pairs for wide in widest_in(x, FPS, _open_vowels(s.phones))]),
        "above 9 Hz": _mean([jitter(x, FPS) for x in drawn]),
        "silence shut": _mean(still < SHUT),
    }


def _mean(values: Sequence[float] | npt.NDArray[np.bool_]) -> float:
    """nan where there is none: what does not occur is not measured."""
    return float(np.mean(values)) if len(values) else float("nan")


def _open_vowels(phones: Sequence[Phone]) -> list[tuple[float, float]]:
    return [(p.start_s, p.end_s) for p in phones if set(p.symbol) & set("aɑæ") and p.end_s - p.start_s > 0.06]


def _middles(phones: Sequence[Phone]) -> list[tuple[float, float]]:
    """Spans like closures, where the mouth should be open."""
    return [((start + end) / 2 - 0.02, (start + end) / 2 + 0.02) for start, end in _open_vowels(phones)]


def table(head: str, rows: dict[str, dict[str, float]]) -> str:
    """A Markdown table."""
    names = list(next(iter(rows.values())))
    lines = [f"| {head} | {' | '.join(names)} |", f"| --- |{' ---: |' * len(names)}"]
    lines += [f"| {label} | {' | '.join(f'{_figure(values[name])}' for name in names)} |" for label, values in rows.items()]
    return "\n".join(lines)


def _figure(value: float) -> str:
    return "none" if np.isnan(value) else f"{value:.3f}"


def synthetic(learned: MotionModel, clips: int, rough: bool) -> str:
    """The table over steps for held-out synthetic speech."""
    material = held_out(clips, rough)
    rows = {}
    for steps in STEPS:
        seeds = [[opening(learned, s.samples, steps, seed) for s in material] for seed in (0, 1)]
        spread = float(np.mean([np.abs(a - b).mean() for a, b in zip(*seeds, strict=True)]))
        rows[f"learned, {steps}"] = row(seeds[0], material) | {"between seeds": spread}
    for steps in (25, 100):
        rows[f"signal, {steps}"] = row([opening(SignalMotion(), s.samples, steps) for s in material], material) | {
            "between seeds": 0.0
        }
    rows["targets themselves"] = row([s.target for s in material], material) | {"between seeds": 0.0}
    return table("held-out voices and texts, " + ("rough" if rough else "clean"), rows)


def real(learned: MotionModel) -> str:
    """The table for real recordings, with the reason for each that is missing."""
    found, missing = recordings()
    rows: dict[str, dict[str, float]] = {}
    ways: dict[str, Callable[[npt.NDArray[np.float32]], Opening]] = {
        "learned, 1": lambda x: opening(learned, x, 1),
        "learned, 5": lambda x: opening(learned, x, 5),
        "learned, 25": lambda x: opening(learned, x, 25),
        "signal, 25": lambda x: opening(SignalMotion(), x, 25),
        "signal, 100": lambda x: opening(SignalMotion(), x, 100),
    }
    for recording in found:
        sample = Sample(recording.samples, recording.phones, middling(recording.phones, len(recording.samples) / SAMPLE_RATE))
        for label, draw in ways.items():
            rows[f"{recording.name}, {label}"] = row([draw(recording.samples)], [sample])
    return "\n".join([table("real voice", rows), *(f"- not measured: {reason}" for reason in missing)])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=30)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    learned = LearnedMotion(torch.device("cpu"), arguments.weights)
    for rough in (False, True):
        print(synthetic(learned, arguments.clips, rough), end="\n\n", flush=True)
    print(real(learned))


if __name__ == "__main__":
    main()
