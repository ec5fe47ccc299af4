"""One request over HTTP against the same stages run alone in one plain process.

    python -m bench.pipeline [--tiny] [--url http://127.0.0.1:8000]

Prints, for a 10 s clip at 512 px: the whole request over HTTP; (a) the sum of the stages alone; (b) the larger of the slowest stage
alone and all their CPU seconds divided by the cores, which no pipeline on these cores can beat. A 0.5 s clip gives the fixed cost.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from pathlib import Path
from typing import TypeVar

import httpx
import numpy as np
import torch

from analytics.record import Record, load
from analytics.stores.local import LocalStore
from bench.ratios import keep
from deployments.cache import PortraitCache
from deployments.config import StageConfig
from deployments.media.audio import decode_audio
from deployments.media.encode import VideoWriter
from deployments.media.picture import PictureLimits
from deployments.meter.measure import measure
from deployments.models.lite import Lite
from deployments.models.protocol import Speech, frame_count
from deployments.preprocess import Preprocessor
from sonoscope.run import read_run
from telemetry import fields
from telemetry.context import RequestContext
from telemetry.ids import new_traceparent
from telemetry.record import RequestRecord
from telemetry.tracing import setup, stage

T = TypeVar("T")
PARAMETERS = fields.defaults() | {"seed": 1}


def cpu_s() -> float:
    """CPU seconds of this process and of the children that have ended."""
    usage = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in usage)


@dataclass
class Alone:
    """Wall and CPU seconds of the stages, one after the other in this process."""

    wall: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)

    def time(self, name: str, call: Callable[[], T]) -> T:
        wall, cpu = time.perf_counter(), cpu_s()
        result = call()
        self.wall[name], self.cpu[name] = time.perf_counter() - wall, cpu_s() - cpu
        return result

    @property
    def bound(self) -> float:
        """Seconds that no pipeline of these stages on these cores can beat."""
        return max(*self.wall.values(), sum(self.cpu.values()) / cores())


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def run_alone(lite: Lite, preprocessor: Preprocessor, folder: Path, portrait: Path, audio: Path, resolution: int = 512) -> Alone:
    """Every stage by itself, with all cores to itself; frames wait in memory between drawing and encoding."""
    alone, target = Alone(), folder / "alone.mp4"
    config = StageConfig(folder)
    sound = alone.time("load_audio", lambda: decode_audio(audio))
    face, _ = alone.time("preprocess_image", lambda: preprocessor.run(config, portrait.name, 0.18, resolution))
    speech = Speech(sound.samples)
    chunks = alone.time("run_inference", lambda: list(lite.generate(face, speech, PARAMETERS, lambda _k, _n: None)))

    def encode() -> None:
        height, width = face.pixels.shape[:2]
        frames = frame_count(sound.seconds, 25.0)
        writer = VideoWriter(
            target, width=width, height=height, fps=25.0, frames=frames, audio=audio, audio_s=sound.seconds, request_id="bench"
        )
        with writer:
            for chunk in chunks:
                writer.write(chunk)
            writer.finish()

    alone.time("encode_video", encode)
    alone.time("measure_sync", lambda: measure(target))
    target.unlink()
    return alone


def clip(path: Path, speech: Path, seconds: float) -> Path:
    """`seconds` of the speech, from its first word on, repeated where it is too short."""
    with wave.open(str(speech)) as source:
        rate, samples = source.getframerate(), np.frombuffer(source.readframes(source.getnframes()), np.int16)
    start = int(np.argmax(np.abs(samples) > 2000))
    with wave.open(str(path), "wb") as target:
        target.setparams((1, 2, rate, 0, "NONE", "not compressed"))
        target.writeframes(np.resize(samples[start:], int(seconds * rate)).tobytes())
    return path


def over_http(url: str, portrait: Path, audio: Path, repeats: int) -> list[tuple[float, str]]:
    """Wall seconds and request ids of synchronous requests, after two that are not counted."""
    times: list[tuple[float, str]] = []
    with httpx.Client(base_url=url, timeout=120) as client:
        for number in range(repeats + 2):
            start = time.perf_counter()
            data = {"seed": "1"}
            with portrait.open("rb") as picture, audio.open("rb") as sound:
                answer = client.post("/generate", files={"portrait": picture, "audio": sound}, data=data)
            took = time.perf_counter() - start
            if answer.is_error:
                raise SystemExit(f"HTTP {answer.status_code}: {answer.text}")
            if number >= 2:
                times.append((took, answer.json()["request_id"]))
    return times


def telemetry_s(folder: Path, record: Record) -> float:
    """CPU seconds inside telemetry for as many stages, events and records as this request left, measured here and now."""
    telemetry = setup("bench", folder / "telemetry")
    context = RequestContext("bench", new_traceparent(), job_id="bench")
    values = {name: value for name, value in record.request.items() if name not in ("started_at", "ended_at")}
    rounds = 200
    start = time.process_time()
    for _ in range(rounds):
        for name in fields.STAGES:
            with stage(telemetry, name, context) as span:
                span.set(**{key: values[key] for key in list(values)[:8]})
        for event in record.events[:-1]:
            telemetry.events.log_event(event["event_type"], context, audio_s=1.0, input="audio")
        RequestRecord(telemetry, context, started_ns=time.time_ns(), values=values).finish()
    return (time.process_time() - start) / rounds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="a 1 s clip, one repeat: does it still run?")
    tiny = parser.parse_args().tiny
    repeats, seconds = (1, 1.0) if tiny else (5, 10.0)
    with tempfile.TemporaryDirectory() as name, as_file(files("sonoscope") / "media") as media:
        folder = Path(name)
        env = {**os.environ, "SONOSCOPE_DATA_DIR": str(folder), "SONOSCOPE_PORT": "0", "SONOSCOPE_DASHBOARD": "false"}
        (folder / "assets").mkdir()
        portrait = folder / "assets" / "portrait"
        portrait.write_bytes((media / "portrait_astronaut.png").read_bytes())
        long, short = (clip(folder / f"{s}.wav", media / "speech_en.wav", s) for s in (seconds, 0.5))
        torch.set_num_threads(cores())
        lite = Lite()
        lite.load("cpu")
        preprocessor = Preprocessor(PortraitCache(folder / "none", 0), PictureLimits())
        run_alone(lite, preprocessor, folder, portrait, short)
        results = {}
        for label, audio in (("long", long), ("short", short)):
            runs = [run_alone(lite, preprocessor, folder, portrait, audio) for _ in range(repeats)]
            results[label] = sorted(runs, key=lambda one: sum(one.wall.values()))[len(runs) // 2]
        subprocess.run([sys.executable, "-m", "sonoscope", "up", "-d"], env=env, check=True, stdout=subprocess.DEVNULL)
        try:
            run = read_run(folder)
            assert run is not None
            http = {label: over_http(run.url, portrait, audio, repeats) for label, audio in (("long", long), ("short", short))}
            record = load(LocalStore(folder / "journal"), http["long"][-1][1])
            assert record is not None
            report(seconds, results, http, telemetry_s(folder, record))
        finally:
            subprocess.run([sys.executable, "-m", "sonoscope", "down"], env=env, check=True, stdout=subprocess.DEVNULL)


def report(seconds: float, alone: dict[str, Alone], http: dict[str, list[tuple[float, str]]], telemetry: float) -> None:
    """Prints the stages, the ratios and the fixed cost."""
    long, short = alone["long"], alone["short"]
    whole, brief = (statistics.median(took for took, _ in http[label]) for label in ("long", "short"))
    print(f"{cores()} cores, {seconds:g} s clip, 512 px, medians of {len(http['long'])}")
    print(f"{'stage alone':<20}{'wall ms':>10}{'CPU ms':>10}{'0.5 s clip, wall ms':>22}")
    for name in fields.STAGES:
        print(f"{name:<20}{long.wall[name] * 1e3:>10.0f}{long.cpu[name] * 1e3:>10.0f}{short.wall[name] * 1e3:>22.0f}")
    total, cpu = sum(long.wall.values()), sum(long.cpu.values())
    fixed = brief - sum(short.wall.values())
    print(f"(a) sum of the stages       {total:.2f} s")
    slowest, shared = max(long.wall.values()), cpu / cores()
    print(f"(b) the bound               {long.bound:.2f} s   (slowest stage {slowest:.2f}, CPU / cores {shared:.2f})")
    print(f"the whole over HTTP         {whole:.2f} s   = {whole / total:.2f} of (a), {whole / long.bound:.2f} of (b)")
    plain = sum(short.wall.values())
    print(
        f"0.5 s clip                  {brief * 1e3:.0f} ms over HTTP, {plain * 1e3:.0f} ms alone: fixed cost {fixed * 1e3:.0f} ms"
    )
    print(f"without the fixed cost      {(whole - max(fixed, 0)) / long.bound:.2f} of (b)")
    keep(f"request over HTTP, {seconds:g} s clip at 512 px", whole / total, "the stages alone, one after the other")
    keep("  the same", whole / long.bound, "the bound of these cores")
    keep("telemetry of a request", telemetry / cpu, "the request's CPU time", at_most=0.01)
    print(f"of the clip's own length    {whole / seconds:.2f}")
    print(f"telemetry                   {telemetry * 1e3:.2f} ms a request = {telemetry / cpu:.4%} of its CPU time")


if __name__ == "__main__":
    main()
