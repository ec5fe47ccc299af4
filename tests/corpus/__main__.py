"""Runs the corpus against the service that runs in a data folder, and writes the table of docs/media_corpus.md.

`python -m tests.corpus DATA_DIR [--write FILE]`, after `sonoscope up -d` with that folder. Exit status 1 where a case went wrong.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sonoscope.run import read_run
from tests.corpus import make_corpus
from tests.corpus.cases import case
from tests.corpus.runner import Outcome, footprint, run_all, trap

MARK = "<!-- the table below is written by python -m tests.corpus -->"


def main() -> int:
    """Runs it; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", type=Path, help="a page that holds the mark; what follows it is replaced")
    given = parser.parse_args()
    run = read_run(given.data_dir)
    if run is None or not run.alive:
        print(f"No service runs in {given.data_dir}: start it with `sonoscope up -d`.", file=sys.stderr)
        return 2
    with trap() as (address, asked):
        print("Making the corpus (half a minute) ...", flush=True)
        cases = make_corpus(given.seed, address)
        run_all(run.url, [case("warm-up", "video")] * 6)
        before = footprint(run.run_id, given.data_dir)
        outcomes = run_all(run.url, cases, _show)
        after = footprint(run.run_id, given.data_dir)
    wrong = [outcome for outcome in outcomes if outcome.trouble]
    print(f"{len(outcomes)} inputs, {len(wrong)} wrong; longest {max(outcome.seconds for outcome in outcomes):.1f} s")
    print(f"resident {before.resident_mb:.0f} -> {after.resident_mb:.0f} MB, processes {before.processes} -> {after.processes}")
    print(f"stray files: {', '.join(after.strays) or 'none'}; references followed: {', '.join(asked) or 'none'}")
    if given.write:
        page = given.write.read_text("utf-8").partition(MARK)[0]
        given.write.write_text(page + MARK + "\n\n" + table(outcomes), "utf-8")
    return 1 if wrong or after.strays or asked else 0


def _show(outcome: Outcome) -> None:
    mark = "WRONG" if outcome.trouble else "ok"
    words = f" [{outcome.trouble}]" if outcome.trouble else ""
    print(f"{mark:5} {outcome.seconds:5.1f} s  {outcome.case.name}: {outcome.got}{words} {outcome.message}", flush=True)


def table(outcomes: list[Outcome]) -> str:
    """The table in Markdown: input, what is right, what came (with the codes of advice)."""
    lines = ["| input | right | came |", "| --- | --- | --- |"]
    for outcome in outcomes:
        advised = [code for code in outcome.advice if code.startswith(("face_", "several_"))]
        came = outcome.got + (f" ({', '.join(advised)})" if advised else "") + (f": {outcome.trouble}" if outcome.trouble else "")
        name = outcome.case.name.replace("|", "\\|")
        lines.append(f"| {name} | {' or '.join(sorted(outcome.case.expected))} | {came} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
