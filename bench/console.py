"""How long does the server take to paint a page, and until its answer is there? Seconds, and ratios to a bare query.

    python -m bench.console [--tiny] [--sizes 10000,1000000]

Each size runs in a process of its own, over the rows of tests/planted_incidents.py as a Parquet file, through Streamlit's AppTest:
the page's whole run on the server, its figures made ready to be sent, without the network and without the browser. `painted`: the
run after which the page is on the screen; `answered`: from there until the statistics, which are made in another thread, are on it
too (looked for every half second, as the page does). Wall clock and, in brackets, CPU seconds of the process: on a busy machine
only the second tells. The rival is the same counts and percentiles asked of DuckDB by hand, over the rows in its own memory. The
aims at a million rows: a first paint in 2 s, an interaction in 0.5 s.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import duckdb
from streamlit import config
from streamlit.testing.v1 import AppTest

from bench.ratios import keep
from console import data
from console.waiting import ANSWERS, LOOK_S
from tests.planted_incidents import incident

SIZES = (10_000, 100_000, 1_000_000)
BAD = "audio_drift_ms > 100.0"
FILTER, BY_HAND = "inference_steps > 20", "inference_steps > 20"
OVERVIEW = """SELECT count(*), count(*) FILTER (status = 'ok') / count(*), quantile_cont(latency_s, [0.5, 0.95, 0.99]),
                     quantile_cont(run_inference_ms, [0.5, 0.95, 0.99]), quantile_cont(encode_video_ms, [0.5, 0.95, 0.99]),
                     count(*) FILTER (audio_drift_ms > 100) FROM rows WHERE """


@dataclass(frozen=True)
class Spent:
    """Seconds of the wall clock, and of this process on all cores."""

    wall: float
    cpu: float


def timed(work: Callable[[], object]) -> Spent:
    """What a piece of work takes."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Spent(time.perf_counter() - wall, time.process_time() - cpu)


def opened(page: str, **query: str) -> AppTest:
    """A new viewer of a page, before its first run."""
    app = AppTest.from_string(
        f"from console.frame import draw\nfrom console.views import {page}\ndraw({page}.page)\n", default_timeout=600
    )
    for key, value in {"since": "all", **query}.items():
        app.query_params[key] = value
    return app


def ran(app: AppTest) -> None:
    """One run. Raises RuntimeError where the page fails: a time of nothing is no time."""
    app.run()
    if app.exception or app.error or not (app.header or app.info):
        raise RuntimeError(str([*app.exception, *app.error]))


def answered(app: AppTest) -> None:
    """Looks again every half second until nothing is being made, and draws what is there."""
    while ANSWERS.busy or data.board("all").ready(0.0) is None:
        time.sleep(LOOK_S / 10)
    ran(app)


class Steps:
    """Measures one step after the other; each is a paint and, where the page has an answer to wait for, that answer."""

    def __init__(self) -> None:
        self.found: dict[str, Spent] = {}

    def step(self, name: str, app: AppTest) -> AppTest:
        """A run of the page as it now is."""
        self._note(f"{name}: painted", timed(lambda: ran(app)))
        if data.board("all").ready(0.0) is None or ANSWERS.busy:
            self._note(f"{name}: answered", timed(lambda: answered(app)))
        return app

    def _note(self, name: str, spent: Spent) -> None:
        self.found[name] = spent
        print(f"  {name} {spent.wall:.2f} s ({spent.cpu:.2f} s CPU)", file=sys.stderr, flush=True)


def measure(rows: Path) -> dict[str, Spent]:
    """What each step takes over the rows of a file, in this process, which has drawn nothing before."""
    os.environ["SONOSCOPE_ROWS"] = str(rows)
    config.set_option("server.address", "127.0.0.1")  # who sits at the machine: others are shown nothing
    steps = Steps()
    steps.step("overview, cold", opened("overview"))
    app = steps.step("overview, warm", opened("overview"))
    app.sidebar.text_input[0].set_value(FILTER)
    steps.step("overview, another filter", app)
    app = steps.step("parameters", opened("parameters"))
    answered(app)
    app.selectbox(key="choose-parameter").set_value("min_resolution")
    steps.step("parameters, another parameter", app)
    app = steps.step("why, without a question", opened("why"))
    app.main.text_input[0].set_value(BAD)
    steps.step("why, the contrast", app)
    answered(app)
    if not any(one.value.startswith("**host = h3") for one in app.markdown):
        raise RuntimeError("the contrast did not name the planted host")
    steps.step("why, the same again", app)
    steps.step("failures", opened("failures"))
    app = steps.step("capacity", opened("capacity"))
    answered(app)
    app.number_input(key="load").set_value(60.0)
    steps.step("capacity, another load", app)
    steps.step("compare", opened("compare"))
    steps.step("request, the newest", opened("request"))
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE rows AS SELECT * FROM read_parquet(?)", [str(rows)])
        for name, where in (("overview, warm", "true"), ("overview, another filter", BY_HAND)):
            runs = [timed(lambda where=where: connection.execute(OVERVIEW + where).fetchall()) for _ in range(3)]
            steps.found[f"by hand: {name}"] = min(runs, key=lambda one: one.wall)
    return steps.found


def main() -> None:
    """Prints a table of steps by sizes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="numbers of requests")
    parser.add_argument("--rows", type=Path, help="measure this file and print JSON")
    asked = parser.parse_args()
    if asked.rows:
        print(json.dumps({name: (one.wall, one.cpu) for name, one in measure(asked.rows).items()}))
        return
    sizes = (2_000,) if asked.tiny else tuple(int(size) for size in asked.sizes.split(","))
    found: dict[int, dict[str, Spent]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            print(f"{size:,} requests …", file=sys.stderr, flush=True)
            rows = Path(folder) / f"{size}.parquet"
            incident("host", size).frame.to_parquet(rows)
            command = [sys.executable, "-m", "bench.console", "--rows", str(rows)]
            env = {**os.environ, "SONOSCOPE_DATA_DIR": folder}
            done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
            found[size] = {name: Spent(*one) for name, one in json.loads(done.stdout.splitlines()[-1]).items()}
    print(f"{'seconds on the server (CPU)':<42}" + "".join(f"{size:>16,}" for size in sizes))
    for step in dict.fromkeys(step for size in sizes for step in found[size]):
        cells = [f"{one.wall:.2f} ({one.cpu:.2f})" if (one := found[size].get(step)) else "" for size in sizes]
        print(f"{step:<42}" + "".join(f"{cell:>16}" for cell in cells))
    for step in ("overview, warm", "overview, another filter"):
        ratios = [found[size][f"{step}: painted"].cpu / found[size][f"by hand: {step}"].cpu for size in sizes]
        print(f"{'ratio of CPU: ' + step:<42}" + "".join(f"{ratio:>16.1f}" for ratio in ratios))
        keep(f"console, {step}, {sizes[-1]:,} requests", ratios[-1], "the same counts by hand in DuckDB")


if __name__ == "__main__":
    main()
