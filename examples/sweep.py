"""A real sweep: settings drawn at random for every portrait and recording, made by the running service, kept as request rows.

    sonoscope up -d                       # SONOSCOPE_FAULTS_FILE=PLAN: with known defects
    python examples/sweep.py --out rows.parquet [--runs 200] [--portraits DIR] [--recordings DIR]

Each pair of portrait and recording is a block; within it the settings are drawn independently of each other and of the order, so
that differences between settings are what the settings cause. Rows say `experiment`, `block`, `randomized`. It prints how many
requests a minute and what share of them the meter answered.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet
from rich.progress import track

from analytics.filters import parse
from analytics.requests import load
from analytics.stores.local import LocalStore
from serve.settings import Settings
from sonoscope.client import Client
from sonoscope.run import read_run
from telemetry.errors import RequestError

MEDIA = Path(__file__).parents[1] / "sonoscope" / "media"
GRID: dict[str, tuple[Any, ...]] = {
    "inference_steps": (1, 2, 5, 10, 20, 25, 40),
    "dynamic_scale": (0.5, 0.8, 1.0, 1.2, 1.6, 2.0),
    "fps": (20.0, 24.0, 25.0, 30.0),
    "min_resolution": (128, 192, 256, 384),
}
PICTURES = (".png", ".jpg", ".jpeg")
SOUNDS = (".wav", ".flac")


def orders(portraits: list[Path], recordings: list[Path], runs: int, seed: int) -> Iterator[tuple[str, Path, Path, dict[str, Any]]]:
    """(block, portrait, recording, settings) in random order; the blocks are used equally often."""
    rng = random.Random(seed)
    pairs = [(f"{p.stem}/{r.stem}"[:128], p, r) for p in portraits for r in recordings]
    chosen = [pairs[number % len(pairs)] for number in range(runs)]
    rng.shuffle(chosen)
    for block, portrait, recording in chosen:
        yield block, portrait, recording, {name: rng.choice(levels) for name, levels in GRID.items()}


def main() -> None:
    """Runs the sweep and writes its rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--portraits", type=Path, default=MEDIA)
    parser.add_argument("--recordings", type=Path, default=MEDIA)
    parser.add_argument("--experiment", default="sweep")
    parser.add_argument("--department", default="", help="stated as X-Department, which a fault plan can choose by")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    settings = Settings()
    run = read_run(settings.data_dir)
    if run is None or not run.alive:
        sys.exit("no service runs here: start one with `sonoscope up -d`")
    portraits = sorted(path for path in asked.portraits.iterdir() if path.suffix.lower() in PICTURES)
    recordings = sorted(path for path in asked.recordings.iterdir() if path.suffix.lower() in SOUNDS)
    started, failed = time.monotonic(), Counter[str]()
    headers = {"X-Department": asked.department} if asked.department else None
    with Client(run.url, headers=headers) as client:
        planned = list(orders(portraits, recordings, asked.runs, asked.seed))
        for block, portrait, recording, chosen in track(planned, "sweep"):
            labels = {"experiment": asked.experiment, "block": block, "randomized": True}
            try:
                client.generate(portrait, recording, **chosen, **labels)
            except RequestError as error:
                failed[error.type] += 1
    found = load(LocalStore(settings.journal_dir), where=parse(f'experiment = "{asked.experiment}"')).table
    pyarrow.parquet.write_table(found, asked.out, compression="zstd")
    minutes = (time.monotonic() - started) / 60
    reasons = Counter(found["sync_reason"].to_pylist())
    print(f"{asked.runs} requests in {minutes:.1f} min, failed: {dict(failed)}, sync_reason: {dict(reasons)}")
    print(f"{asked.out}: {found.num_rows} rows, {asked.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
