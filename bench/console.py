"""How long does the server take for the console's first paint, and for an interaction? Seconds, and ratios to a bare query.

    python -m bench.console [--tiny]

Each size runs in a process of its own, over the rows of tests/planted_incidents.py as a Parquet file, through Streamlit's AppTest:
the page's whole run on the server, its figures made ready to be sent, without the network and without the browser. Cold: the rows
are read for the first time. Warm: the rows are held already, the viewer is new. The rival is the same counts and percentiles asked
of DuckDB by hand, over the rows in its own memory. The aims at a million rows: a first paint in 2 s, an interaction in 0.5 s.
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
from pathlib import Path

import duckdb
from streamlit.testing.v1 import AppTest

from tests.planted_incidents import incident

SIZES = (10_000, 100_000, 1_000_000)
BAD = "audio_drift_ms > 100.0"
FILTER, BY_HAND = "inference_steps > 20", "inference_steps > 20"
OVERVIEW = """SELECT count(*), count(*) FILTER (status = 'ok') / count(*), quantile_cont(latency_s, [0.5, 0.95, 0.99]),
                     quantile_cont(run_inference_ms, [0.5, 0.95, 0.99]), quantile_cont(encode_video_ms, [0.5, 0.95, 0.99]),
                     count(*) FILTER (audio_drift_ms > 100) FROM rows WHERE """


def timed(work: Callable[[], object]) -> float:
    """Seconds of the wall clock."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


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
    if app.exception or app.error or not app.header:
        raise RuntimeError(str([*app.exception, *app.error]))


def measure(rows: Path) -> dict[str, float]:
    """Seconds of each step over the rows of a file, in this process, which has drawn nothing before."""
    os.environ["SONOSCOPE_ROWS"] = str(rows)
    found: dict[str, float] = {}
    found["overview, cold"] = timed(lambda: ran(opened("overview")))
    app = opened("overview")
    found["overview, warm"] = timed(lambda: ran(app))
    app.sidebar.text_input[0].set_value(FILTER)
    found["overview, another filter"] = timed(lambda: ran(app))
    app = opened("parameters")
    found["parameters, first"] = timed(lambda: ran(app))
    app.selectbox(key="choose-parameter").set_value("min_resolution")
    found["parameters, another parameter"] = timed(lambda: ran(app))
    app = opened("why")
    found["why, without a question"] = timed(lambda: ran(app))
    app.main.text_input[0].set_value(BAD)
    found["why, the contrast"] = timed(lambda: ran(app))
    if not any(one.value.startswith("**host = h3") for one in app.markdown):
        raise RuntimeError("the contrast did not name the planted host")
    found["why, the same again"] = timed(lambda: ran(app))
    found["failures, first"] = timed(lambda: ran(opened("failures")))
    found["capacity, first"] = timed(lambda: ran(opened("capacity")))
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE rows AS SELECT * FROM read_parquet(?)", [str(rows)])
        for name, where in (("overview, warm", "true"), ("overview, another filter", BY_HAND)):
            found[f"by hand: {name}"] = min(
                timed(lambda where=where: connection.execute(OVERVIEW + where).fetchall()) for _ in range(3)
            )
    return found


def main() -> None:
    """Prints a table of steps by sizes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--rows", type=Path, help="measure this file and print JSON")
    asked = parser.parse_args()
    if asked.rows:
        print(json.dumps(measure(asked.rows)))
        return
    sizes = (2_000,) if asked.tiny else SIZES
    found: dict[int, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            print(f"{size:,} requests …", file=sys.stderr, flush=True)
            rows = Path(folder) / f"{size}.parquet"
            incident("host", size).frame.to_parquet(rows)
            command = [sys.executable, "-m", "bench.console", "--rows", str(rows)]
            env = {**os.environ, "SONOSCOPE_DATA_DIR": folder}
            done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
            found[size] = json.loads(done.stdout.splitlines()[-1])
    print(f"{'seconds on the server':<32}" + "".join(f"{size:>12,}" for size in sizes))
    for step in found[sizes[0]]:
        print(f"{step:<32}" + "".join(f"{found[size][step]:>12.3f}" for size in sizes))
    for step in ("overview, warm", "overview, another filter"):
        print(
            f"{'ratio: ' + step:<32}" + "".join(f"{found[size][step] / found[size][f'by hand: {step}']:>12.1f}" for size in sizes)
        )


if __name__ == "__main__":
    main()
