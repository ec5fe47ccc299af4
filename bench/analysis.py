"""How long does the whole analysis take, beside plain calls of the libraries? Prints seconds, ratios and peak memory.

    python -m bench.analysis [--tiny]

1e5 requests, 8 parameters, 3 outcomes: cold, then from memory; the rival is scipy's Spearman and statsmodels' clustered
regression of the same outcomes on the same parameters over all rows, without interactions, levels, thresholds or settings. Then 1e6
requests for their memory. Each in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pandas as pd

from bench.ratios import keep
from tests.planted import planted

OUTCOMES = ["audio_drift_ms", "latency_s", "lip_match"]


def rows(n: int) -> pd.DataFrame:
    """n planted requests with eight parameters: two more than the planted ones have."""
    made = planted(int(n * 1.6), 1).drop_duplicates("request_id").head(n).reset_index(drop=True)
    rng = np.random.default_rng(2)
    return made.assign(seed=rng.integers(0, 2**31, len(made)), model_name=rng.choice(["lite", "sonic"], len(made)))


def ours(n: int) -> dict[str, float]:
    """Seconds cold and from memory."""
    from analytics.questions.report import analyze

    frame = rows(n)
    started, busy = time.perf_counter(), time.process_time()
    first = analyze(frame, OUTCOMES)
    cold, processor = time.perf_counter() - started, time.process_time() - busy
    started = time.perf_counter()
    again = analyze(frame.copy(deep=True), OUTCOMES)
    assert again is first
    assert any(one.at == 20 for one in first.outcomes[0].thresholds)
    return {
        "cold_s": cold,
        "processor_s": processor,
        "cached_s": time.perf_counter() - started,
        "tested": first.tested,
        "n": len(frame),
    }


def plain(n: int) -> dict[str, float]:
    """Seconds of plain library calls over the same rows."""
    import statsmodels.api as sm
    from scipy.stats import spearmanr

    frame = rows(n)
    started = time.perf_counter()
    names = ["inference_steps", "dynamic_scale", "min_resolution", "duration_s", "expand_ratio"]
    for outcome in OUTCOMES:
        there: Any = frame[[outcome, *names, "device", "keep_resolution", "model_name", "replica", "audio_hash"]].dropna()
        for name in names:
            spearmanr(there[name], there[outcome])
        dummies = pd.get_dummies(there[["device", "keep_resolution", "model_name", "replica"]].astype(str), drop_first=True)
        x = np.column_stack([np.ones(len(there)), there[names].to_numpy(float), dummies.to_numpy(float)])
        groups = there["audio_hash"].factorize()[0]
        sm.OLS(there[outcome].to_numpy(float), x).fit(cov_type="cluster", cov_kwds={"groups": groups})
    return {"cold_s": time.perf_counter() - started, "n": len(frame)}


def measure(what: str, n: int) -> dict[str, float]:
    """The figures of one child process, with its peak memory (MB)."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.analysis", "--child", what, str(n)], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--child", nargs=2)
    given = parser.parse_args()
    if given.child:
        found = {"ours": ours, "plain": plain}[given.child[0]](int(given.child[1]))
        print(json.dumps({**found, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
        return
    small, large = (2000, 5000) if given.tiny else (100_000, 1_000_000)
    found, rival = measure("ours", small), measure("plain", small)
    print(
        f"{found['n']:.0f} requests, 8 parameters, {len(OUTCOMES)} outcomes, {found['tested']:.0f} tests: "
        f"cold {found['cold_s']:.1f} s ({found['processor_s']:.1f} s of processor), plain calls {rival['cold_s']:.1f} s: "
        f"{found['cold_s'] / rival['cold_s']:.1f}x; from memory {found['cached_s']:.3f} s: "
        f"{found['cold_s'] / found['cached_s']:.0f}x faster; peak {found['peak_mb']:.0f} MB"
    )
    keep(f"whole analysis of {small:,} requests, cold", found["cold_s"] / rival["cold_s"], "plain calls of SciPy and statsmodels")
    keep("the same from memory", found["cached_s"] / found["cold_s"], "the cold analysis")
    many = measure("ours", large)
    print(f"{many['n']:.0f} requests: cold {many['cold_s']:.1f} s, cached {many['cached_s']:.2f} s, peak {many['peak_mb']:.0f} MB")


if __name__ == "__main__":
    main()
