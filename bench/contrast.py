"""How often does the contrast put a planted cause first, how seldom does it find what is not there, and what does it cost?

    python -m bench.contrast [--tiny]

The rival is what a person does by hand with a table of frequencies: for every value of every field (numbers in ten quantile bins)
the difference of its shares, the greatest first. It has no pairs and no notion of chance, so it always finds something. Both rank
the same rows without the outcome's other names. Rows are those of tests/planted_incidents.py.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import pandas as pd

from analytics.questions.contrast import contrast
from bench.ratios import keep
from tests.planted_incidents import CAUSES, Incident, incident

OUTCOME = "audio_drift_ms"
JUDGED = ("audio_drift_ms", "audio_offset_ms", "lip_match", "sync_confidence", "user_score", "duration_drift_ms", "fault_injected",
          "request_id", "trace_id", "error_message")  # fmt: skip
Ranker = Callable[[Incident], set[str]]


def ours(planted: Incident) -> set[str]:
    """The fields of the first explanation and of what says the same."""
    found = contrast(planted.frame, planted.inside, filtered=(OUTCOME,)).differences
    if not found:
        return set()
    return {*found[0].field.split(" & "), *(other.split(" ")[0] for other in found[0].same_as)}


def by_shares(planted: Incident) -> set[str]:
    """The field of the value whose share differs most."""
    best = (0.0, "")
    for name in planted.frame.columns.difference(JUDGED):
        values = planted.frame[name]
        if not pd.api.types.is_bool_dtype(values) and values.dtype.kind in "ifuM":
            numbers = values.astype("int64") if values.dtype.kind == "M" else values
            edges = np.unique(np.nanquantile(numbers, np.linspace(0, 1, 11)[1:-1]))
            values = pd.Series(np.searchsorted(edges, numbers))
        inside, others = (pd.Series(values[rows]).value_counts(normalize=True) for rows in (planted.inside, ~planted.inside))
        best = max(best, (float(inside.sub(others, fill_value=0).max()), name))
    return {best[1]}


def hits(ranker: Ranker, causes: tuple[str, ...], seeds: range, n: int) -> tuple[int, int, float]:
    """How many causes came first (a pair: both of its fields, and only they), of how many, and the processor's seconds for one."""
    found = asked = 0
    spent = 0.0
    for cause in causes:
        for seed in seeds:
            planted = incident(cause, n, seed)
            started = time.process_time()
            fields = ranker(planted)
            spent += time.process_time() - started
            asked += 1
            whole = len(planted.truth) == 1 or cause == "two"
            found += bool(fields & set(planted.truth)) if whole else fields == set(planted.truth)
    return found, asked, spent / asked


def alarms(seeds: range, n: int) -> int:
    """Runs with no cause in which something was found."""
    return sum(bool(ours(incident(None, n, seed, other=0.1))) for seed in seeds)


def speed(n: int) -> tuple[float, float, int]:
    """Processor seconds of both for n rows of about 80 columns."""
    planted, random = incident("host", n, 1), np.random.default_rng(9)
    more = {f"own_{k}": random.normal(size=n) for k in range(22)} | {
        f"tag_{k}": random.choice(list("abcdefgh"), n) for k in range(15)
    }
    wide = Incident(pd.concat([planted.frame, pd.DataFrame(more)], axis=1), planted.truth)
    spent = []
    for ranker in (ours, by_shares):
        times = []
        for _ in range(3):
            started = time.process_time()
            ranker(wide)
            times.append(time.process_time() - started)
        spent.append(min(times))
    return spent[0], spent[1], wide.frame.shape[1]


def main() -> None:
    """Prints the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="a few small runs, to see that it works")
    tiny = parser.parse_args().tiny
    seeds, sizes, rows = (range(1, 2), (1000,), 5_000) if tiny else (range(1, 4), (300, 3000), 100_000)
    for n in sizes:
        print(f"{n} requests, {len(CAUSES)} causes, {len(seeds)} times each: cause first")
        for name, ranker in (("contrast", ours), ("difference of shares", by_shares)):
            found, asked, spent = hits(ranker, CAUSES, seeds, n)
            print(f"  {name:22} {found} of {asked} ({found / asked:.0%}), {spent:.2f} s each")
            keep(f"planted cause ranked first by the {name}, {n} requests", found / asked, "all planted causes")
    runs = range(200, 203 if tiny else 240)
    print(f"no cause at all, {len(runs)} times: something found {alarms(runs, 1000)} times (the difference of shares: always)")
    mine, theirs, columns = speed(rows)
    print(f"{rows} rows x {columns} columns: {mine:.2f} s, difference of shares {theirs:.2f} s: {mine / theirs:.2f} times")
    keep(f"time of the contrast, {rows:,} rows", mine / theirs, "a difference of shares")


if __name__ == "__main__":
    main()
