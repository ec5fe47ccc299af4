"""The full kill matrix on a service of its own: `python -m tests.chaos --jobs 200 --kills 20`. Ends with 1 if a count is wrong."""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.chaos.matrix import Matrix
from tests.chaos.victims import KINDS
from tests.service.conftest import Service


def main() -> int:
    """Starts the service, runs the matrix, prints the count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=float, default=8.0, help="seconds between two kills, at most")
    parser.add_argument("--pause", type=float, default=0.4, help="seconds between two jobs, on average")
    parser.add_argument("--settle", type=float, default=180.0, help="seconds for the last ends")
    asked = parser.parse_args()
    draw = random.Random(asked.seed)
    # The costly ones are rarer: after `service` and `everything` the service needs 20 s to be back.
    kills = [*KINDS, *draw.choices(KINDS, weights=(8, 4, 3, 1, 1), k=max(0, asked.kills - len(KINDS)))]
    draw.shuffle(kills)
    with tempfile.TemporaryDirectory(prefix="sonoscope-chaos-") as name:
        env = {
            **os.environ, "SONOSCOPE_DATA_DIR": name, "SONOSCOPE_CONFIG": f"{name}/none.toml", "SONOSCOPE_PORT": "0",
            "SONOSCOPE_DASHBOARD": "false", "SONOSCOPE_CONSOLE": "false", "SONOSCOPE_JOB_LEASE_S": "6",
            "SONOSCOPE_JOB_ATTEMPTS": "10", "SONOSCOPE_MAX_JOBS_QUEUED": "1000",
        }  # fmt: skip

        def command(*arguments: str) -> None:
            subprocess.run([sys.executable, "-m", "sonoscope", *arguments], env=env, check=True, stdout=subprocess.DEVNULL)

        command("up", "-d")
        try:
            speech = Service.long_speech(1.0)
            matrix = Matrix(
                Path(name), jobs=asked.jobs, kills=kills, seed=asked.seed, restart=lambda: command("up", "-d"), speech=speech
            )
            count = matrix.run(asked.settle, asked.every, asked.pause)
        finally:
            command("down")
    print(count.table())
    return 0 if count.faultless else 1


if __name__ == "__main__":
    sys.exit(main())
