"""The drill for real: a dozen incidents made by the service itself with known defects switched on, scored like the staged ones.

    python -m bench.drill_real [--requests 16] [--only KIND …] [--json] [--keep FOLDER]

Starts a service of its own in a folder of its own, makes short clips at 128 to 256 px, a third of them struck, in random order, and
gives the rows of each incident to `diagnose`. Costs about 16 x 12 videos: some minutes on two idle cores.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analytics.filters import parse
from analytics.requests import load
from analytics.stores.local import LocalStore
from bench.drill import Report, Scored, score
from bench.drill_incidents import Incident, Truth
from sonoscope.client import Client
from sonoscope.run import read_run
from telemetry.errors import RequestError

MEDIA = Path(__file__).parents[1] / "sonoscope" / "media"
DEPARTMENTS = ("film", "news", "claims", "games")
SIZES = (128, 192, 256)
PREFIXES = ("scans/april", "scans/may", None)


@dataclass(frozen=True)
class Real:
    """A plan of defects and what a right answer names; `pixels`: the only size that is asked for."""

    plan: str
    truths: tuple[Truth, ...]
    pixels: int | None = None


def _of(department: str, symptom: str) -> tuple[Truth, ...]:
    return (Truth((symptom,), (("department", department),)),)


REAL: dict[str, Real] = {
    "frames relabelled": Real(
        "{fault: frames_relabelled, encoded_fps: 24, when: {department: film}}", _of("film", "frames_relabelled")
    ),
    "sound late": Real("{fault: audio_late, late_ms: 120, when: {department: claims}}", _of("claims", "sound_late")),
    "sound late at a frame rate": Real(
        "{fault: audio_late, late_ms: 160, when: {parameters: {fps: 30}}}", (Truth(("sound_late",), (("fps", None),)),)
    ),
    "tail cut": Real("{fault: tail_cut, seconds: 0.8, when: {department: news}}", _of("news", "tail_cut")),
    "tail frozen": Real("{fault: tail_frozen, seconds: 2.5, when: {department: games}}", _of("games", "frozen_tail"), 256),
    "encoder's deadline short": Real("{fault: encoder_timeout, when: {department: film}}", _of("film", "failed:encoder_timeout")),
    "a slow stage": Real(
        "{fault: slow_stage, stage: preprocess_image, seconds: 2, when: {department: claims}}",
        _of("claims", "slow:preprocess_image"),
    ),
    "memory at high resolution": Real(
        # The service makes such a video once more, smaller: what is wrong with it is that it was ordered larger.
        "{fault: memory_limit, max_pixels: 40000}",
        (Truth(("resolution_lowered",), (("min_resolution", None),)),),
    ),
    "invisible characters in a folder": Real(
        "{fault: invisible_characters, when: {source_prefix: scans/may}}",
        (Truth(("failed:path_invisible_characters",), (("source_prefix", "scans/may"),)),),
    ),
    "a stage fails": Real(
        "{fault: failing_stage, stage: run_inference, error_type: inference_diverged, when: {department: news}}",
        _of("news", "failed:inference_diverged"),
    ),
    "two at once": Real(
        "{fault: audio_late, late_ms: 120, when: {department: claims}}\n"
        "- {fault: tail_cut, seconds: 0.8, when: {department: film}}",
        (*_of("claims", "sound_late"), *_of("film", "tail_cut")),
    ),
    "none": Real("", ()),
}


@contextmanager
def service(folder: Path) -> Iterator[str]:
    """The address of a service in a folder of its own, ended afterwards."""
    plan = folder / "faults.yaml"
    plan.write_text("[]")
    told = {
        "data_dir": folder,
        "port": 0,
        "dashboard": "false",
        "console": "false",
        "faults_file": plan,
        "config": folder / "no.toml",
    }
    env = {**os.environ, **{f"SONOSCOPE_{name.upper()}": str(value) for name, value in told.items()}}
    command = [sys.executable, "-m", "sonoscope"]
    try:
        subprocess.run([*command, "up", "-d"], env=env, check=True, timeout=400, stdout=subprocess.DEVNULL)
        run = read_run(folder)
        assert run is not None
        yield run.url
    finally:
        subprocess.run([*command, "down"], env=env, check=False, timeout=120, stdout=subprocess.DEVNULL)


def made(name: str, real: Real, url: str, folder: Path, count: int, seed: int) -> Incident:
    """The rows of one incident, made now."""
    (folder / "faults.yaml").write_text(f"- {real.plan}" if real.plan else "[]")
    rng = random.Random(f"{name} {seed}")
    label = f"{name} {seed}"
    # A third of the requests has each value that a plan chooses by; what goes with what is drawn.
    orders = [
        {"department": DEPARTMENTS[k % 4] if k % 3 else rng.choice(DEPARTMENTS), "fps": (25.0, 30.0, 24.0)[k % 3],
         "min_resolution": real.pixels or rng.choice(SIZES), "source_prefix": rng.choice(PREFIXES), "seed": rng.randrange(2**31)}
        for k in range(count)
    ]  # fmt: skip
    rng.shuffle(orders)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda order: _send(url, label, order), orders))
    frame = load(LocalStore(folder / "journal"), where=parse(f'experiment = "{label}"')).frame
    return Incident(name, frame.drop(columns=["experiment"]), np.zeros(len(frame), bool), real.truths)


def _send(url: str, label: str, order: dict[str, Any]) -> None:
    values = {name: value for name, value in order.items() if name != "department" and value is not None}
    # Many are meant to fail: what came of them is in the record.
    with Client(url, headers={"X-Department": order["department"]}) as client, contextlib.suppress(RequestError):
        client.generate(MEDIA / "portrait_astronaut.png", MEDIA / "speech_zh.wav", experiment=label, **values)


def main() -> None:
    """Makes the incidents and prints the table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=16)
    parser.add_argument("--only", nargs="+", choices=REAL, default=list(REAL))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", dest="as_json")
    parser.add_argument("--keep", type=Path, help="write the rows of each incident to this folder (Parquet)")
    asked = parser.parse_args()
    report = Report()
    folder = Path(tempfile.mkdtemp(prefix="sonoscope-drill-"))
    try:
        with service(folder) as url:
            for name in asked.only:
                report.scored.append(_told(name, url, folder, asked))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(report.as_dict(), indent=2) if asked.as_json else report.table())


def _told(name: str, url: str, folder: Path, asked: argparse.Namespace) -> Scored:
    started = time.monotonic()
    staged = made(name, REAL[name], url, folder, asked.requests, asked.seed)
    if asked.keep:
        asked.keep.mkdir(parents=True, exist_ok=True)
        staged.frame.to_parquet(asked.keep / f"{name.replace(' ', '_')}.parquet")
    one = score(staged, asked.seed, prefixes=False)
    print(f"{name}: rank {one.rank} ({time.monotonic() - started:.0f} s to make)\n    {one.answer}", file=sys.stderr, flush=True)
    return one


if __name__ == "__main__":
    main()
