"""An hour at full load: what grows, and whether each bound on disk holds once it has been reached.

    python -m bench.soak [--minutes 60] [--seconds 2] [--resolution 256] [--curves FILE.csv] [--tiny]

Starts a service of its own whose bounds are so small that the load reaches every one of them: the cache of portraits, the age of
results and of uploads, the size of Parquet and of a log. Keeps eight jobs waiting or running, every fifth with a new portrait.
Prints each curve, its median in the first and the last third of what comes after the bounds were reached, and each bound
beside the most that was there. Ends with 1 where a bound was not reached or did not hold, or a job failed.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import httpx
import psutil
from PIL import Image

from bench.pipeline import clip
from bench.ratios import keep
from sonoscope.run import Run, marked_processes, read_run

SAMPLE_S = 10.0
AHEAD = 8
NEW_PORTRAIT_EVERY = 5
CACHE_BYTES = 16 * 2**20
PARQUET_BYTES = 2**20
LOG_BYTES = 2**18
SWEEP_S = 120.0
"""Retention looks once a minute; with what is being made, so much later than its age a file may still be there."""
BARS = "▁▂▃▄▅▆▇█"


def portraits(picture: Path) -> Iterator[bytes]:
    """Endless pictures that differ in one pixel: the same work, another content."""
    image = Image.open(picture).convert("RGB")
    n = 0
    while True:
        image.putpixel((n % image.width, n // image.width), ((n * 37) % 256, 1, 2))
        n += 1
        buffer = io.BytesIO()
        image.save(buffer, "PNG", compress_level=1)
        yield buffer.getvalue()


def size_mb(folder: Path, pattern: str = "**/*") -> float:
    """MB of the files there; a file that goes meanwhile counts nothing."""
    total = 0
    for path in folder.glob(pattern):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue
    return total / 2**20


def oldest_s(folder: Path, pattern: str) -> float:
    """Age of the oldest file, 0 where there is none."""
    now, ages = time.time(), [0.0]
    for path in folder.glob(pattern):
        try:
            ages.append(now - path.stat().st_mtime)
        except FileNotFoundError:
            continue
    return max(ages)


def sample(folder: Path, run: Run, logs: list[Path]) -> dict[str, float]:
    """What may grow: memory (USS, and what the object store holds), open files, processes, disk by folder, ages."""
    found: dict[str, float] = dict.fromkeys(("memory_mb", "store_mb", "open_files", "processes"), 0.0)
    for process in marked_processes(run.run_id):
        try:
            found["memory_mb"] += process.memory_full_info().uss / 2**20
            found["open_files"] += process.num_fds()
            found["processes"] += 1
            if process.name() == "raylet":  # it maps the whole object store
                found["store_mb"] = process.memory_info().shared / 2**20
        except psutil.NoSuchProcess:
            continue
    for name in ("journal", "parquet", "cache", "assets", "videos"):
        found[f"{name}_mb"] = size_mb(folder / name)
    found["databases_mb"] = size_mb(folder, "*.db*")
    written = sizes_mb(logs)
    found["logs_mb"], found["longest_log_mb"] = sum(written), max(written)
    found["oldest_video_s"] = oldest_s(folder / "videos", "*.mp4")
    found["oldest_upload_s"] = oldest_s(folder / "assets", "*")
    return found


def log_folders(folder: Path, run: Run) -> list[Path]:
    """Where this service and its Ray write logs. To be asked once, before there is load: processes come and go under it."""
    found = [folder / "logs"]
    for process in marked_processes(run.run_id):
        try:
            words = process.cmdline() if process.name() == "raylet" else []
        except psutil.NoSuchProcess:
            continue
        found += [Path(word.partition("=")[2]) / "logs" for word in words if word.startswith(("--session_dir=", "--session-dir="))]
    return found


def sizes_mb(folders: list[Path]) -> list[float]:
    """MB of each file in the folders."""
    found: list[float] = []
    for path in (path for folder in folders for path in folder.rglob("*")):
        try:
            found.append(path.stat().st_size / 2**20 if path.is_file() else 0.0)
        except FileNotFoundError:
            continue
    return found


def load(folder: Path, run: Run, asked: argparse.Namespace, portrait: Path, audio: Path) -> tuple[list[dict[str, float]], int]:
    """Keeps the service busy for the asked time; the samples, and how many jobs were handed in."""
    samples: list[dict[str, float]] = []
    logs = log_folders(folder, run)
    fresh, submitted = portraits(portrait), 0
    start, next_sample = time.monotonic(), 0.0
    with httpx.Client(base_url=run.url, timeout=120) as client:

        def upload(content: bytes) -> str:
            return client.post("/assets", files={"file": content}).raise_for_status().json()["asset_id"]

        order: dict[str, Any] = {"audio_clip": upload(audio.read_bytes()), "min_resolution": asked.resolution}
        while (now := time.monotonic() - start) < asked.minutes * 60:
            open_jobs = sum(
                len(client.get("/jobs", params={"state": state, "limit": AHEAD}).json()) for state in ("queued", "running")
            )
            for _ in range(AHEAD - open_jobs):
                if submitted % NEW_PORTRAIT_EVERY == 0:
                    order["portrait_image"] = upload(next(fresh))
                answer = client.post("/generate", json={"prompt": order}, headers={"Prefer": "respond-async"})
                answer.raise_for_status()
                submitted += 1
            if now >= next_sample:
                samples.append({"minute": now / 60, "jobs": float(submitted), **sample(folder, run, logs)})
                next_sample = now + SAMPLE_S
                if len(samples) % 30 == 0:
                    print(f"  {now / 60:5.1f} min, {submitted} jobs, {samples[-1]['memory_mb']:.0f} MB", flush=True)
            time.sleep(0.2)
        while any(client.get("/jobs", params={"state": state, "limit": 1}).json() for state in ("queued", "running")):
            time.sleep(0.5)
    return samples, submitted


def curve(values: list[float], width: int = 40) -> str:
    """The values as a row of bars from 0 to their largest."""
    step = max(1, len(values) // width)
    means = [statistics.fmean(values[start : start + step]) for start in range(0, len(values), step)]
    top = max(means) or 1.0
    return "".join(BARS[min(len(BARS) - 1, int(mean / top * len(BARS)))] for mean in means)


def report(samples: list[dict[str, float]], settled_minute: float) -> None:
    """Each curve, and its medians in the first and last third of the time after the bounds were reached."""
    settled = [one for one in samples if one["minute"] >= settled_minute] or samples
    third = max(1, len(settled) // 3)
    print(f"{'':<16}{'first third':>12}{'last third':>12}  ratio   curve over all {samples[-1]['minute']:.0f} min")
    for name in samples[0]:
        if name in ("minute", "jobs"):
            continue
        first, last = (statistics.median(one[name] for one in part) for part in (settled[:third], settled[-third:]))
        ratio = f"{last / first:.2f}" if first else "-"
        print(f"{name:<16}{first:>12.1f}{last:>12.1f}  {ratio:>5}   {curve([one[name] for one in samples])}")


def held(samples: list[dict[str, float]], bounds: dict[str, tuple[float, float]]) -> bool:
    """Whether each value has reached its bound and never passed it by more than its slack; prints them."""
    fine = True
    for name, (bound, slack) in bounds.items():
        most = max(one[name] for one in samples)
        good = 0.9 * bound <= most <= bound + slack
        fine = fine and good
        print(
            f"{name:<16} bound {bound:8.1f}, at most {most:8.1f} (slack {slack:g}): {'held' if good else 'NOT HELD OR NOT REACHED'}"
        )
    return fine


def failures(folder: Path, run: Run) -> int:
    """Jobs that the service still knows and that did not succeed."""
    with httpx.Client(base_url=run.url, timeout=120) as client:
        return len(client.get("/jobs", params={"state": "failed", "limit": 100}).json())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="a minute of short clips; bounds are not reached: does it still run?")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a clip")
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--keep-s", type=float, default=300.0, help="age at which results and uploads are removed")
    parser.add_argument("--curves", type=Path, metavar="FILE.csv", help="every sample, for a plot of your own")
    asked = parser.parse_args()
    if asked.tiny:
        asked.minutes, asked.seconds, asked.resolution = 0.5, 0.5, 128
    with tempfile.TemporaryDirectory() as name, as_file(files("sonoscope") / "media") as media:
        folder = Path(name)
        env = {
            **os.environ, "SONOSCOPE_DATA_DIR": name, "SONOSCOPE_PORT": "0", "SONOSCOPE_DASHBOARD": "false",
            "SONOSCOPE_CONSOLE": "false", "SONOSCOPE_CACHE_BYTES": str(CACHE_BYTES), "SONOSCOPE_COMPACT_EVERY_S": "20",
            "SONOSCOPE_RETENTION_MAX_BYTES": str(PARQUET_BYTES), "SONOSCOPE_RESULTS_KEEP_S": str(asked.keep_s),
            "SONOSCOPE_ASSETS_KEEP_S": str(asked.keep_s), "SONOSCOPE_LOG_BYTES": str(LOG_BYTES),
        }  # fmt: skip
        audio = clip(folder / "clip.wav", media / "speech_en.wav", asked.seconds)
        subprocess.run([sys.executable, "-m", "sonoscope", "up", "-d"], env=env, check=True, stdout=subprocess.DEVNULL)
        try:
            run = read_run(folder)
            assert run is not None
            samples, submitted = load(folder, run, asked, media / "portrait_astronaut.png", audio)
            failed = failures(folder, run)
        finally:
            subprocess.run([sys.executable, "-m", "sonoscope", "down"], env=env, check=True, stdout=subprocess.DEVNULL)
    if asked.curves:
        with asked.curves.open("w", newline="") as file:
            writer = csv.DictWriter(file, samples[0])
            writer.writeheader()
            writer.writerows(samples)
    print(f"{submitted} jobs of {asked.seconds:g} s at {asked.resolution} px in {asked.minutes:g} min, {failed} failed")
    report(samples, 3 * asked.keep_s / 60)
    bounds = {
        "cache_mb": (CACHE_BYTES / 2**20, 2.0),
        "parquet_mb": (PARQUET_BYTES / 2**20, PARQUET_BYTES / 2**20),  # for a minute after a merge an hour counts twice
        "longest_log_mb": (LOG_BYTES / 2**20, 0.1),
        "oldest_video_s": (asked.keep_s, SWEEP_S),
        "oldest_upload_s": (asked.keep_s, SWEEP_S),
    }
    keep(f"jobs that succeed, {asked.minutes:g} min at full load", 1 - failed / submitted, "jobs", at_least=1.0)
    fine = asked.tiny or held(samples, bounds)
    sys.exit(0 if fine and not failed else 1)


if __name__ == "__main__":
    main()
