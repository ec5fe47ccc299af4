"""A day's jobs compressed into minutes: throughput, and the door under load. What grows in the long run: bench/soak.py.

    python -m bench.load [--tiny] [--jobs 200] [--seconds 2] [--resolution 256]

Prints (1) videos a second against what the cores could do on the stages' CPU time, measured here and now, each stage alone; (2) the
99th percentile of handing a job in (by asset ids) against that of `GET /healthz`, which does nothing, in turns under the same load.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import httpx
import psutil
import torch

from bench.pipeline import clip, cores, run_alone
from bench.ratios import keep
from deployments.cache import PortraitCache
from deployments.media.picture import PictureLimits
from deployments.models.lite import Lite
from deployments.preprocess import Preprocessor
from sonoscope.run import Run, marked_processes, read_run


@dataclass
class Load:
    """A running service, and the order that is sent to it again and again."""

    run: Run
    folder: Path
    order: dict[str, Any]

    def submit(self, client: httpx.Client) -> float:
        """Hands a job in; seconds until it is acknowledged."""
        start = time.perf_counter()
        answer = client.post("/generate", json={"prompt": self.order}, headers={"Prefer": "respond-async"})
        took = time.perf_counter() - start
        answer.raise_for_status()
        return took

    def unfinished(self, client: httpx.Client, most: int = 1) -> int:
        """How many jobs have not ended, counted up to `most`: a look at all of them would itself be load."""
        return sum(len(client.get("/jobs", params={"state": state, "limit": most}).json()) for state in ("queued", "running"))


def cpu_of_a_job(folder: Path, portrait: Path, audio: Path, resolution: int) -> float:
    """CPU seconds of the stages of one job, each alone in this process, the picture from the cache as in the service."""
    torch.set_num_threads(max(1, cores() // 2))
    lite = Lite()
    lite.load("cpu")
    (folder / "own-cache").mkdir()
    preprocessor = Preprocessor(PortraitCache(folder / "own-cache", 2**28), PictureLimits())
    runs = [sum(run_alone(lite, preprocessor, folder, portrait, audio, resolution).cpu.values()) for _ in range(4)]
    return statistics.median(runs[1:])


def spent(load: Load) -> dict[str, float]:
    """CPU seconds so far of each process of the service (children that have ended with their parent), and of this one."""
    found = {"this benchmark": sum(psutil.Process().cpu_times()[:2])}
    for process in marked_processes(load.run.run_id):
        try:
            words, times = process.cmdline(), process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        name = words[0] if "::" in words[0] else " ".join(Path(word).name for word in words[:8] if not word.startswith("-"))
        found[f"{name} ({process.pid})"] = sum(times[:4])
    return found


def throughput(load: Load, jobs: int) -> tuple[float, list[float], list[float], dict[str, float]]:
    """Seconds for all jobs, the times of submits and of the no-op route in turns under that load, and CPU seconds by process."""
    submits: list[float] = []
    idle: list[float] = []
    with httpx.Client(base_url=load.run.url, timeout=60) as client:
        for _ in range(2):
            load.submit(client)
        while load.unfinished(client):
            time.sleep(0.2)
        start, before_cpu = time.perf_counter(), spent(load)
        for _ in range(jobs):
            submits.append(load.submit(client))
            before = time.perf_counter()
            client.get("/healthz").raise_for_status()
            idle.append(time.perf_counter() - before)
        while load.unfinished(client):
            time.sleep(0.2)
        took = time.perf_counter() - start
        used = {name: seconds - before_cpu.get(name, 0.0) for name, seconds in spent(load).items()}
        ended = client.get("/jobs", params={"limit": jobs}).json()
    failed = [job for job in ended if job["state"] != "succeeded"]
    if failed:
        raise SystemExit(f"{len(failed)} of {jobs} jobs failed: {failed[0]['error']}")
    return took, submits, idle, used


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def report(
    asked: argparse.Namespace, cpu_s: float, took: float, submits: list[float], idle: list[float], used: dict[str, float]
) -> None:
    could = cores() / cpu_s
    did = asked.jobs / took
    print(f"{cores()} cores, {asked.jobs} jobs of {asked.seconds:g} s at {asked.resolution} px")
    print(f"CPU time of a job's stages alone {cpu_s:.2f} s -> the cores could make {could:.2f} videos a second")
    print(f"the service made                 {did:.2f} videos a second = {did / could:.2f} of that")
    for label, values in (("submit", submits), ("no-op route", idle)):
        print(f"{label:<12} median {statistics.median(values) * 1e3:6.1f} ms, p99 {percentile(values, 0.99) * 1e3:6.1f} ms")
    print(f"p99 of submit / p99 of the no-op route = {percentile(submits, 0.99) / percentile(idle, 0.99):.2f}")
    keep("videos a second of the whole service", did / could, "the cores on the stages' CPU time alone", at_least=0.95)
    keep("p99 of handing a job in", percentile(submits, 0.99) / percentile(idle, 0.99), "the no-op route", at_most=2.0)
    print(f"CPU seconds of {cores() * took:.0f} that there were:")
    for name, seconds in sorted(used.items(), key=lambda item: -item[1])[:15]:
        print(f"  {seconds:6.1f}  {name}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="three jobs of half a second: does it still run?")
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a clip")
    parser.add_argument("--resolution", type=int, default=256)
    asked = parser.parse_args()
    if asked.tiny:
        asked.jobs, asked.seconds, asked.resolution = 3, 0.5, 128
    with tempfile.TemporaryDirectory() as name, as_file(files("sonoscope") / "media") as media:
        folder = Path(name)
        env = {**os.environ, "SONOSCOPE_DATA_DIR": name, "SONOSCOPE_PORT": "0", "SONOSCOPE_DASHBOARD": "false"}
        env |= {"SONOSCOPE_CONSOLE": "false", "SONOSCOPE_MAX_JOBS_QUEUED": str(2 * asked.jobs + 100)}
        (folder / "assets").mkdir()
        portrait = folder / "assets" / "portrait"
        portrait.write_bytes((media / "portrait_astronaut.png").read_bytes())
        audio = clip(folder / "clip.wav", media / "speech_en.wav", asked.seconds)
        cpu_s = cpu_of_a_job(folder, portrait, audio, asked.resolution)
        subprocess.run([sys.executable, "-m", "sonoscope", "up", "-d"], env=env, check=True, stdout=subprocess.DEVNULL)
        try:
            run = read_run(folder)
            assert run is not None
            with httpx.Client(base_url=run.url, timeout=60) as client:
                ids = [client.post("/assets", files={"file": path.read_bytes()}).json()["asset_id"] for path in (portrait, audio)]
            order = {"portrait_image": ids[0], "audio_clip": ids[1], "min_resolution": asked.resolution, "seed": 1}
            load = Load(run, folder, order)
            report(asked, cpu_s, *throughput(load, asked.jobs))
        finally:
            subprocess.run([sys.executable, "-m", "sonoscope", "down"], env=env, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
