"""Runs all benchmarks at small size and writes one table: the machine, what was measured, against what, the ratio, the aim.

    python -m bench.table [--only NAME ...] [--to FILE]

A benchmark that fails, takes too long or lacks its server has a line that says so; then this ends with 1, but for a missing server.
Small sizes show that a ratio is still where it was; the figures at full size are in the pages that the table names.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import torch
from rich.console import Console

from bench.ratios import KEPT, Ratio, read

STORES = ("TEMPO_URL", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "ELASTICSEARCH_URL")
"""Servers of the user's: a benchmark that is not about them must neither pay for shipping nor leave its requests there."""

TO = Path(__file__).parents[1] / "docs" / "benchmarks.md"


@dataclass(frozen=True)
class Benchmark:
    """`asks`: its small size, if not --tiny. `page`: where the figures at full size are. `stores`: it hears of `STORES`."""

    name: str
    page: str
    asks: tuple[str, ...] = ("--tiny",)
    limit_s: float = 300.0
    stores: bool = False


ALL = (
    Benchmark("pipeline", "../README.md"),
    Benchmark("load", "jobs.md", ("--jobs", "12", "--resolution", "256")),
    Benchmark("recognize", "recognition.md"),
    Benchmark("journal", "stores.md", ()),
    Benchmark("render", "faces.md", ("1",)),
    Benchmark("motion", "motion_model.md"),
    Benchmark("gpu", "gpu.md"),
    Benchmark("sync_accuracy", "sync_meter.md", limit_s=600.0),
    Benchmark("read", "query.md"),
    Benchmark("stores", "stores.md"),
    Benchmark("stores_tempo", "tempo.md", stores=True),
    Benchmark("analysis", "analysis.md"),
    Benchmark("coverage", "analysis.md"),
    Benchmark("contrast", "explain.md"),
    Benchmark("capacity", "explain.md"),
    Benchmark("drill", "drill.md", ("--incidents", "52", "--seed", "1", "--quick")),
    Benchmark("console", "console.md"),
    Benchmark("scale_sim", "cluster.md"),
    Benchmark("autoscale", "cluster.md", limit_s=480.0),
    Benchmark("soak", "jobs.md"),
)
"""All that take no input. Not here: `drill_real` (minutes a kind), `recognition_accuracy` (answers, no ratio), `sync_calibration`
and `contact_sheet` (they write files)."""


@dataclass
class Ran:
    """What came of one: its ratios, seconds, and why there are none."""

    benchmark: Benchmark
    seconds: float = 0.0
    ratios: list[Ratio] = field(default_factory=list)
    said: str = ""
    failed: bool = False


def run(one: Benchmark) -> Ran:
    """Runs one benchmark in a process of its own; its last line where it failed."""
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "ratios.jsonl"
        command = [sys.executable, "-m", f"bench.{one.name}", *one.asks]
        began = time.monotonic()
        env = {name: value for name, value in os.environ.items() if one.stores or name not in STORES}
        child = subprocess.Popen(  # stdout and stderr together: the last line is the reason of a failure
            command, env={**env, KEPT: str(kept)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        try:
            printed, _ = child.communicate(timeout=one.limit_s)
        except subprocess.TimeoutExpired:
            child.terminate()  # a benchmark that has a service stops it then
            try:
                child.communicate(timeout=60)
            except subprocess.TimeoutExpired:
                child.kill()
                child.communicate()
            return Ran(one, one.limit_s, read(kept), f"not done after {one.limit_s:g} s", failed=True)
        lines = [line.strip() for line in printed.splitlines() if line.strip()]
        found = Ran(one, time.monotonic() - began, read(kept), failed=child.returncode != 0)
        if found.failed or not found.ratios:
            found.said = lines[-1] if lines else "printed nothing"
        return found


def machine() -> str:
    """One sentence: processor, cores, memory, versions, load."""
    cpuinfo = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
    count, gb = len(os.sched_getaffinity(0)), psutil.virtual_memory().total / 1e9
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return (
        f"{count} cores of {names[0] if names else platform.machine()}, {gb:.0f} GB of memory, {gpu}, {platform.system()} "
        f"{platform.release()}, CPython {platform.python_version()}; load before the first: {os.getloadavg()[0]:.1f}"
    )


def _row(ratio: Ratio, benchmark: str) -> str:
    aim = f"{ratio.aim} {ratio.bound:g}" if ratio.aim else ""
    met = {None: "", True: "met", False: "**missed**"}[ratio.met]
    return f"| {benchmark} | {ratio.what} | {ratio.against} | {ratio.value:.3g} | {aim} | {met} |"


def table(on: str, when: datetime.date, all_ran: Iterable[Ran]) -> str:
    """The page."""
    ran = list(all_ran)
    lines = [
        "# All benchmarks, at small size", "",
        f"Written by `make bench` on {when.isoformat()}: {on}.", "",
        "A ratio is the first thing over the second, measured in one run on the same work. Small sizes show whether something has "
        "changed; fixed costs weigh more in them. The figures at full size are in the pages that the first column names.",
        "", "| benchmark | what | against | ratio | aim | |", "| --- | --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    for one in ran:
        name = f"[{one.benchmark.name}]({one.benchmark.page}) {' '.join(one.benchmark.asks)} ({one.seconds:.0f} s)"
        for number, ratio in enumerate(one.ratios):
            lines.append(_row(ratio, "" if number else name))
        if one.said:
            lines.append(f"| {name} | {'**failed**: ' if one.failed else ''}{one.said.replace('|', '/')} | | | | |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [one.name for one in ALL]
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=f"these alone, no page: {', '.join(names)}")
    parser.add_argument("--to", type=Path, help=f"the page; {TO.name} in docs/ where all run")
    asked = parser.parse_args()
    chosen = [one for one in ALL if not asked.only or one.name in asked.only]
    on, console, ran = machine(), Console(), list[Ran]()
    for number, one in enumerate(chosen, 1):
        with console.status(f"{number} of {len(chosen)}: {one.name}"):
            ran.append(run(one))
        done = ran[-1]
        said = f"failed: {done.said}" if done.failed else f"{len(done.ratios)} ratios" if done.ratios else done.said
        console.print(f"{one.name:<22}{done.seconds:6.0f} s  {said}", highlight=False, markup=False)
    page = table(on, datetime.datetime.now(datetime.UTC).date(), ran)
    to = asked.to or (None if asked.only else TO)
    if to:
        to.write_text(page)
        console.print(f"written: {to}")
    else:
        console.print(page, markup=False)
    sys.exit(any(one.failed for one in ran))


if __name__ == "__main__":
    main()
