"""What would a GPU make of a clip? Frames a second of each stage, clips an hour of one device, and how near that is to what the
device's bandwidth and arithmetic allow.

    python -m bench.gpu [--tiny] [--device auto] [--seconds 10]

Both ceilings are measured here: a large copy, and large matrix products. Bytes and operations of a stage are counted while it runs:
every tensor that an operation of torch reads or writes (a lookup: what it takes), and the multiplications of convolutions and
products. Without a GPU the same runs on the CPU, with the threads that the service gives it, against
what this CPU copies and multiplies with as many.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from bench.motion import speech_of
from bench.ratios import keep
from bench.render import FPS, portrait_of
from deployments.device import described, memory, pick_device
from deployments.media.encode import VideoWriter
from deployments.models.facemesh import Pixels
from deployments.models.lite import Lite
from deployments.models.lite_copies import Copies, taken_off
from deployments.models.lite_render import CHUNK, Scene, controls, on_device, on_host, prepare
from deployments.models.motion import LearnedMotion
from deployments.models.protocol import Portrait, Speech, frame_count

RUNS = 3
STEPS = 25
TOGETHER = (1, 8)
PARAMETERS = {"inference_steps": STEPS, "dynamic_scale": 1.0, "fps": FPS, "seed": 0}
_LOOKUPS = {torch.ops.aten.index_select.default, torch.ops.aten.index.Tensor}


class Moved(TorchDispatchMode):
    """Counts the bytes that operations read and write, as the program asks for them; views move nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs the operation and counts."""
        out = func(*args, **(kwargs or {}))
        read = [one for one in tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor)]
        made = [one for one in tree_leaves(out) if isinstance(one, torch.Tensor)]
        if func in _LOOKUPS:  # not the whole table
            self.bytes += sum(map(_size, read[1:])) + 2 * sum(map(_size, made))
        elif func._schema.is_mutable or not _shared(read, made):
            self.bytes += sum(map(_size, read)) + sum(map(_size, made))
        return out


def _size(tensor: torch.Tensor) -> int:
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())


def _shared(read: list[torch.Tensor], made: list[torch.Tensor]) -> bool:
    held = {one.untyped_storage()._cdata for one in read}
    return any(one.untyped_storage()._cdata in held for one in made)


@dataclass(frozen=True)
class Ceilings:
    """What the device does at best: bytes a second of a copy (read and written), operations a second by precision."""

    copied: float
    half: float
    full: float
    off: float
    """Bytes a second from the device to the host; infinite where they are the same."""


@dataclass(frozen=True)
class Stage:
    """A stage of `frames` frames: its seconds, and what was counted."""

    name: str
    frames: int
    seconds: float
    least_s: float = 0.0
    """Seconds by the ceilings; 0 = not counted."""

    @property
    def share(self) -> float:
        return self.least_s / self.seconds


def wait(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def fastest(work: Callable[[], object], device: torch.device, runs: int = RUNS) -> float:
    """Wall seconds of the fastest of `runs`, after one that is not counted."""
    took: list[float] = []
    for _ in range(runs + 1):
        wait(device)
        start = time.perf_counter()
        work()
        wait(device)
        took.append(time.perf_counter() - start)
    return min(took[1:])


def ceilings(device: torch.device, tiny: bool) -> Ceilings:
    """Measured now, on this device, with the threads of this process."""
    gpu = device.type == "cuda"
    n = (8192 if gpu else 2048) // (4 if tiny else 1)
    source = torch.empty(2**30 // (1 if gpu else 4) // (8 if tiny else 1), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copied = 2 * source.numel() / fastest(lambda: target.copy_(source), device)
    rates: list[float] = []
    for dtype in (torch.float16 if gpu else torch.bfloat16, torch.float32):
        matrix = torch.randn((n, n), device=device).to(dtype)
        rates.append(2 * n**3 / fastest(lambda matrix=matrix: matrix @ matrix, device))
    off = float("inf")
    if gpu:
        host = torch.empty(2**28, dtype=torch.uint8, pin_memory=True)
        off = host.numel() / fastest(lambda: host.copy_(source[: host.numel()], non_blocking=True), device)
    half, full = rates
    return Ceilings(copied, half, full, off)


def counted(work: Callable[[], object], most: Ceilings, rate: float) -> tuple[float, float, float]:
    """Bytes, operations, and the seconds that they take at best."""
    with Moved() as moved, FlopCounterMode(display=False) as flops:
        work()
    operations = flops.get_total_flops()
    return moved.bytes, operations, max(moved.bytes / most.copied, operations / rate)


def drawing(scene: Scene, coefficients: np.ndarray) -> Iterator[torch.Tensor | Pixels]:
    """Chunks as the renderer makes them on this device, without their copy to the host."""
    draw = on_host if scene.words.device.type == "cpu" else on_device
    for start in range(0, len(coefficients), CHUNK):
        yield draw(scene, torch.from_numpy(controls(coefficients[start : start + CHUNK], scene.gap)))


def spent(work: Iterator[object]) -> None:
    """Runs an iterator to its end without keeping anything."""
    for _ in work:
        pass


def encoded(frames: list[Pixels], folder: Path) -> tuple[float, str]:
    """Seconds of the service's encoder for the frames, and its name."""
    n, height, width = sum(map(len, frames)), *frames[0].shape[1:3]
    writer = VideoWriter(
        folder / "x.mp4", width=width, height=height, fps=FPS, frames=n, audio=None, audio_s=n / FPS, request_id="bench"
    )
    start = time.perf_counter()
    with writer:
        for chunk in frames:
            writer.write(chunk)
        writer.finish()
    return time.perf_counter() - start, writer.encoder


def stages(portrait: Portrait, speech: Speech, device: torch.device, most: Ceilings, folder: Path) -> list[Stage]:
    """Each stage of a clip by itself."""
    learned, n = LearnedMotion(device), frame_count(speech.seconds, FPS)

    def move() -> np.ndarray:
        return learned.motion(speech, PARAMETERS, n, lambda k, of: None)

    coefficients = move()
    half = device.type == "cuda"
    motion = counted(move, most, most.half if half else most.full)
    begun = time.perf_counter()
    scene = prepare(portrait.pixels, portrait.mesh, device)
    prepared = time.perf_counter() - begun
    draw = counted(lambda: spent(drawing(scene, coefficients)), most, most.full)
    for name, (moved, operations, _) in (("motion", motion), ("drawing", draw)):
        print(f"  {name}: {moved / n / 1e6:.2f} MB and {operations / n / 1e9:.3f} G operations a frame")
    found = [
        Stage("motion", n, fastest(move, device), motion[2]),
        Stage("drawing", n, fastest(lambda: spent(drawing(scene, coefficients)), device), draw[2]),
    ]
    chunks = list(drawing(scene, coefficients[: 4 * CHUNK]))
    tensors = [chunk for chunk in chunks if isinstance(chunk, torch.Tensor)]
    if tensors:
        some, size = sum(map(len, tensors)), sum(map(_size, tensors))
        off = fastest(lambda: spent(taken_off(tensors, Copies(device))), device)
        found.append(Stage("copying off", some, off, size / most.off))
    on_the_host = list(taken_off(tensors, Copies(device))) if tensors else [one for one in chunks if isinstance(one, np.ndarray)]
    took, encoder = min(encoded(on_the_host, folder) for _ in range(RUNS))
    found.append(Stage(f"encoding ({encoder})", sum(map(len, on_the_host)), took))
    print(f"  a portrait is made ready, once, on the host: {prepared:.2f} s")
    return found


def clips_an_hour(lite: Lite, portrait: Portrait, speech: Speech, device: torch.device, together: int) -> float:
    """Clips through one device in an hour where so many are at work at a time: motion, drawing, frames on the host."""

    def clip(_: int) -> None:
        spent(lite.generate(portrait, speech, PARAMETERS, lambda k, n: None))

    with ThreadPoolExecutor(together) as pool:
        return 3600 * together / fastest(lambda: list(pool.map(clip, range(together))), device, runs=2 if together > 1 else RUNS)


def measure(size: int, seconds: float, device: torch.device, most: Ceilings, where: str) -> None:
    """Prints and keeps the figures of one size."""
    portrait, speech = portrait_of(size), speech_of(seconds)
    print(f"{size} px, {seconds:g} s clip, {STEPS} steps")
    with tempfile.TemporaryDirectory() as folder:
        found = stages(portrait, speech, device, most, Path(folder))
    least = sum(one.least_s / one.frames for one in found) * frame_count(speech.seconds, FPS)
    aim = 0.5 if device.type == "cuda" else None
    for one in found:
        said = f", {one.share:.2f} of what {where} allows" if one.least_s else ""
        print(f"  {one.name:<24}{one.frames / one.seconds:9.0f} frames a second{said}")
        if one.least_s:
            keep(f"{one.name}, {size} px, frames a second", one.share, f"bandwidth and arithmetic of {where}", at_least=aim)
    lite = Lite()
    lite.load(str(device))
    for together in TOGETHER:
        rate = clips_an_hour(lite, portrait, speech, device, together)
        share = rate * least / 3600
        print(f"  {together} at a time: {rate:.0f} clips an hour, {share:.2f} of what {where} allows")
        keep(f"clips an hour, {size} px, {together} at a time", share, f"bandwidth and arithmetic of {where}", at_least=aim)
    print("  " + ", ".join(f"{name} {value:.0f}" for name, value in memory(str(device)).items()))


def main() -> None:
    """Prints ceilings, stages and clips an hour."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="256 px, a 1 s clip: does it still run?")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda:0")
    parser.add_argument("--seconds", type=float, default=10.0)
    asked = parser.parse_args()
    name = pick_device(asked.device)
    device = torch.device(name)
    gpu = device.type == "cuda"
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // 2))  # as deployments/inference.py does
    where = described(name) if gpu else "this CPU (no GPU was to be had)"
    print(f"{where}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    most = ceilings(device, asked.tiny)
    print(
        f"ceilings: copy {most.copied / 1e9:.1f} GB/s, half {most.half / 1e9:.0f}, float32 {most.full / 1e9:.0f} G operations/s"
        + (f", to the host {most.off / 1e9:.1f} GB/s" if gpu else "")
    )
    for size in (256,) if asked.tiny else (512, 1024):
        measure(size, 1.0 if asked.tiny else asked.seconds, device, most, where)


if __name__ == "__main__":
    main()
