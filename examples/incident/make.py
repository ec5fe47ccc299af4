"""The incident that ships: requests of a service with one genuine fault, and the replay that confirms its cause.

    python -m examples.incident.make DATA_DIR [--for SECONDS]      # again until it says that all are there
    python -m examples.incident.pack DATA_DIR                      # what the repository keeps of it

Four departments ask for videos of three portraits (and their mirror images) and four pieces of speech, each with the settings that
its templates have. The plan of defects muxes the sound of every 30 fps video 160 ms late (`deployments/faults.py`); `games` asks
for 30 fps most often, but the others do, too. A few pictures have no face and a few recordings are silent. What is made says so:
`experiment` is "incident" or "incident-replay". A service is started on DATA_DIR for the time of the call.

What ships (`data/`) is what two idle cores made in five minutes: all 300, and the replay of 8 of the late ones at 25 fps and as
they were, twice each.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import wave
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from analytics.requests import load
from analytics.stores.local import LocalStore
from sonoscope.client import Client
from sonoscope.commands.trial import finished_of
from sonoscope.experiments.plan import Notebook, Plan, Run, run_ids
from sonoscope.experiments.replayed import plan_of
from sonoscope.experiments.runner import Runner
from sonoscope.run import read_run

MEDIA = Path(__file__).parents[2] / "sonoscope" / "media"
FAULTS = "- {fault: audio_late, late_ms: 160, when: {parameters: {fps: 30}}}\n"
NAME, REPLAY = "incident", "incident-replay"
REQUESTS, REPLAYED, REPEATS = 300, 8, 2
PIECES = (("speech_en.wav", 0.0, 3.7), ("speech_en.wav", 1.6, 5.4), ("speech_en.wav", 3.3, 7.1), ("speech_zh.wav", 0.0, 4.2))
NO_FACE, SILENT = 0.04, 0.03
DEPARTMENTS: dict[str, tuple[float, float]] = {
    "press": (0.35, 0.1),
    "games": (0.25, 0.7),
    "claims": (0.2, 0.12),
    "film": (0.2, 0.2),
}
"""Its share of the requests, and how often it asks for 30 fps."""


def inputs(folder: Path) -> tuple[list[Path], list[Path], Path, Path]:
    """Portraits, pieces of speech, a picture without a face, and silence."""
    folder.mkdir(parents=True, exist_ok=True)
    portraits: list[Path] = []
    for path in sorted([*MEDIA.glob("*.png"), *MEDIA.glob("*.jpg")]):
        mirrored = folder / f"{path.stem}_mirrored.png"
        with Image.open(path) as picture:
            small = ImageOps.contain(picture.convert("RGB"), (640, 640))
            ImageOps.mirror(small).save(mirrored)
        portraits += [path, mirrored]
    pieces: list[Path] = []
    for name, start, end in PIECES:
        with wave.open(str(MEDIA / name)) as sound:
            rate = sound.getframerate()
            sound.setpos(int(start * rate))
            samples = sound.readframes(int((end - start) * rate))
        pieces.append(_wav(folder / f"{Path(name).stem}_{start:g}.wav", samples, rate))
    silence = _wav(folder / "silence.wav", bytes(2 * 16_000 * 3), 16_000)
    plain = folder / "wall.png"
    shades = np.linspace(90, 180, 400 * 400).reshape(400, 400, 1).repeat(3, axis=2).astype(np.uint8)
    Image.fromarray(shades).save(plain)
    return portraits, pieces, plain, silence


def _wav(path: Path, samples: bytes, rate: int) -> Path:
    with wave.open(str(path), "wb") as sound:
        sound.setparams((1, 2, rate, 0, "NONE", "not compressed"))
        sound.writeframes(samples)
    return path


def settings(rng: random.Random, department: str) -> dict[str, Any]:
    """What a request of the department asks for."""
    at_30 = rng.random() < DEPARTMENTS[department][1]
    return {
        "fps": 30.0 if at_30 else rng.choice((24.0, 25.0, 25.0)),
        "inference_steps": rng.choice((5, 10, 25) if department == "press" else (2, 5, 10, 25)),
        "dynamic_scale": rng.choice((1.0, 1.2, 1.5)),
        "min_resolution": rng.choice((128, 192, 256, 256)),
        "seed": rng.randrange(2**31),
    }


def incident(client: Client, folder: Path) -> Plan:
    """The requests of the four departments, in random order."""
    rng = random.Random(11)
    portraits, pieces, plain, silence = inputs(folder)
    ids = {path: client.upload(path).asset_id for path in (*portraits, *pieces, plain, silence)}
    numbers = iter(run_ids(NAME))
    runs: list[Run] = []
    for _ in range(REQUESTS):
        department = rng.choices(list(DEPARTMENTS), [share for share, _ in DEPARTMENTS.values()])[0]
        portrait, piece, what = rng.choice(portraits), rng.choice(pieces), rng.random()
        if what < NO_FACE:
            portrait = plain
        elif what < NO_FACE + SILENT:
            piece = silence
        made = Run(next(numbers), "", "", ids[portrait], ids[piece], settings(rng, department), {"experiment": NAME}, department)
        runs.append(made)
    return Plan(NAME, "traffic", {}, tuple(runs), {})


def replay(client: Client, store: LocalStore) -> Plan:
    """REPLAYED of the bad requests at 25 fps and as they were: `sonoscope replay` makes the same plan."""
    rows = [row for row in load(store).table.to_pylist() if row["experiment"] == NAME and (row["audio_drift_ms"] or 0) > 100]
    return plan_of(
        REPLAY, {}, rows, {"fps": 25.0}, repeats=REPEATS, limit=REPLAYED, has=lambda id: client.asset(id) is not None,
        rng=random.Random(12),
    )  # fmt: skip


def perform(client: Client, data: Path, plan: Plan, notebook: Notebook, for_s: float) -> int:
    """Makes what is missing for so many seconds; how many requests are still missing."""
    store = LocalStore(data / "journal")
    finished = finished_of(load(store).frame, plan)
    Runner(plan, notebook, client, store, finished).perform(lambda tally, run: None, at_once=3, for_s=for_s)
    missing = len(plan.runs) - len(finished_of(load(store).frame, plan))
    print(f"{plan.experiment}: {len(plan.runs) - missing} of {len(plan.runs)}", flush=True)
    return missing


def main() -> None:
    """Starts the service, goes on with the requests, and stops it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--for", dest="for_s", type=float, default=3600.0)
    parser.add_argument("--requests", type=int, default=REQUESTS, help="so many of the incident's requests are enough")
    parser.add_argument("--keep", action="store_true", help="leave the service running for the next call")
    asked = parser.parse_args()
    data: Path = asked.data.resolve()
    data.mkdir(parents=True, exist_ok=True)
    (data / "faults.yaml").write_text(FAULTS)
    told = {"DATA_DIR": data, "FAULTS_FILE": data / "faults.yaml", "PORT": 0, "DASHBOARD": "false", "CONSOLE": "false"}
    env = {**os.environ, **{f"SONOSCOPE_{name}": str(value) for name, value in told.items()}}
    subprocess.run([sys.executable, "-m", "sonoscope", "up", "-d"], env=env, check=True)
    try:
        run = read_run(data)
        assert run is not None
        with Client(run.url) as client:
            notebook = Notebook(data / "experiments", NAME)
            plan = notebook.read() or incident(client, data / "inputs")
            notebook.keep(plan)
            missing = perform(client, data, replace(plan, runs=plan.runs[: asked.requests]), notebook, asked.for_s)
            if not missing:
                notebook = Notebook(data / "experiments", REPLAY)
                plan = notebook.read() or replay(client, LocalStore(data / "journal"))
                notebook.keep(plan)
                missing = perform(client, data, plan, notebook, asked.for_s)
        print("all are there" if not missing else "not all are there yet: call it again")
    finally:
        if not asked.keep:
            subprocess.run([sys.executable, "-m", "sonoscope", "down"], env=env, check=True)


if __name__ == "__main__":
    main()
