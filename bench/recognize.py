"""Pictures a second through HTTP against a bare loop of the same decoder, detector and network in one process.

    python -m bench.recognize [--tiny] [--seconds 10] [--together 16]

The bare loop takes every core: a thread a core decodes and looks for faces, one classifies batches of 16. It decodes with Pillow in
its own process; the service decodes in bounded children. Prints pictures a second, the ratio, p50 and p99 of the requests, and the
share of the CPU time that telemetry takes (measured here for as many spans and events as a picture leaves).
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

from bench.ratios import keep
from deployments.models.recogniser import Prepared, Recogniser
from deployments.models.recogniser_lite import EfficientNetLite
from sonoscope.run import marked_processes, read_run
from telemetry.batches import batch_span
from telemetry.context import RequestContext
from telemetry.ids import new_traceparent
from telemetry.record import RequestRecord
from telemetry.tracing import setup, stage

BATCH = 16
WIDTHS = (8, 20, 12, 13, 9, 9, 9)


@dataclass(frozen=True)
class Load:
    """What came of one load: pictures a second, and the seconds of each request."""

    rate: float
    times: list[float]
    cpu_s: float
    """CPU seconds of the service for each picture."""

    def quantile(self, share: float) -> float:
        """Of the requests' times, s."""
        return float(np.quantile(self.times, share))


def bare(picture: bytes, models: Path, seconds: float) -> float:
    """Pictures a second of the same work in this process."""
    recogniser = Recogniser(EfficientNetLite(models))
    end = time.monotonic() + seconds
    done = 0

    def prepare(_: int) -> Prepared:
        return recogniser.prepare(np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")))

    started = time.monotonic()
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        batch = pool.map(prepare, range(BATCH))
        while time.monotonic() < end:
            ready, batch = list(batch), pool.map(prepare, range(BATCH))
            recogniser.classify(ready)
            done += len(ready)
        list(batch)
    return done / (time.monotonic() - started)


def over_http(url: str, run_id: str, picture: bytes, *, clients: int, together: int, seconds: float) -> Load:
    """Clients that send `together` pictures a request, one request after the other, for so long."""
    times: list[float] = []
    lock, end = threading.Lock(), time.monotonic() + seconds

    def client() -> None:
        with httpx.Client(base_url=url, timeout=120) as http:
            while True:  # one request at least, however busy the machine is
                started = time.perf_counter()
                files = [("image", ("picture.jpg", picture))] * together
                answer = http.post("/recognize", files=files)
                answer.raise_for_status()
                with lock:
                    times.append(time.perf_counter() - started)
                if time.monotonic() >= end:
                    return

    started, cpu = time.monotonic(), _cpu_s(run_id)
    with ThreadPoolExecutor(clients) as pool:
        for future in [pool.submit(client) for _ in range(clients)]:
            future.result()
    took, done = time.monotonic() - started, len(times) * together
    return Load(done / took, times, (_cpu_s(run_id) - cpu) / done)


def _cpu_s(run_id: str) -> float:
    """CPU seconds of every process of the service so far, and of their children that have ended (the decoders)."""
    return sum(sum(process.cpu_times()[:4]) for process in marked_processes(run_id))


def telemetry_s(folder: Path) -> float:
    """CPU seconds inside telemetry for one picture, measured here and now."""
    telemetry = setup("bench", folder / "telemetry")
    values = {"input_width": 600, "input_height": 400, "input_format": "JPEG/RGB", "image_hash": "a" * 64, "top1_label": "espresso"}
    rounds = 300
    context = RequestContext("bench", new_traceparent(), operation="recognize", identity=values)
    log = telemetry.events.write_row
    start = time.process_time()
    for number in range(rounds):
        record = RequestRecord(telemetry, context, started_ns=time.time_ns(), values=values)
        log("request_received", context, values)
        with stage(telemetry, "preprocess_image", context, **values):
            for name in ("input_start", "input_success", "preprocess_complete"):
                log(name, context, values)
        with stage(telemetry, "run_inference", context, **values):
            log("inference_complete", context, values)
        if number % 4 == 0:  # a batch of four is what 8 clients make
            with batch_span(telemetry, "recognize_batch", [context] * 4):
                pass
        record.finish()
    return (time.process_time() - start) / rounds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="half a second each, 1 and 8 clients: does it still run?")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--together", type=int, default=16, help="pictures a request, where it is several")
    given = parser.parse_args()
    seconds, clients = (0.5, (1, 8)) if given.tiny else (given.seconds, (1, 8, 64))
    with tempfile.TemporaryDirectory() as name, as_file(files("sonoscope") / "media") as media:
        folder, buffer = Path(name), io.BytesIO()
        Image.open(media / "portrait_astronaut.png").convert("RGB").resize((600, 400)).save(buffer, "JPEG", quality=90)
        picture = buffer.getvalue()
        env = {**os.environ, "SONOSCOPE_DATA_DIR": str(folder), "SONOSCOPE_PORT": "0"}
        # 64 clients of 16 pictures are more than the door lets in by default: what is refused is not measured here.
        env |= {"SONOSCOPE_DASHBOARD": "false", "SONOSCOPE_CONSOLE": "false", "SONOSCOPE_MAX_PICTURES_WAITING": "4096"}
        subprocess.run([sys.executable, "-m", "sonoscope", "up", "-d"], env=env, check=True, stdout=subprocess.DEVNULL)
        try:
            run = read_run(folder)
            assert run is not None
            loops = [bare(picture, folder / "models", seconds)]
            print(f"{len(os.sched_getaffinity(0))} cores; a JPEG of 600 x 400 px with a face")
            names = ("clients", "pictures a request", "pictures/s", "of the loop", "p50 ms", "p99 ms", "CPU ms")
            print("".join(f"{name:>{width}}" for name, width in zip(names, WIDTHS, strict=True)))
            rows: list[tuple[int, int, Load]] = []
            for together in (1, given.together):
                over_http(run.url, run.run_id, picture, clients=4, together=together, seconds=seconds / 4)
                for count in clients:
                    load = over_http(run.url, run.run_id, picture, clients=count, together=together, seconds=seconds)
                    rows.append((count, together, load))
                loops.append(bare(picture, folder / "models", seconds))
            loop = statistics.median(loops)
            for count, together, load in rows:
                print(
                    f"{count:>8}{together:>20}{load.rate:>12.1f}{load.rate / loop:>13.2f}"
                    f"{load.quantile(0.5) * 1e3:>9.0f}{load.quantile(0.99) * 1e3:>9.0f}{load.cpu_s * 1e3:>9.1f}"
                )
                keep(
                    f"pictures a second, {count} clients, {together} a request",
                    load.rate / loop,
                    "a bare loop in one process",
                    at_least=0.9 if together > 1 else 0.7,
                )
            print(f"bare loop: {', '.join(f'{one:.1f}' for one in loops)} pictures/s (before, between, after)")
            spent = telemetry_s(folder)
            print(f"telemetry: {spent * 1e3:.2f} ms a picture = {spent / rows[-1][2].cpu_s:.1%} of its CPU time in the last row")
            keep("telemetry of a picture", spent / rows[-1][2].cpu_s, "the picture's CPU time", at_most=0.03)
        finally:
            subprocess.run([sys.executable, "-m", "sonoscope", "down"], env=env, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
