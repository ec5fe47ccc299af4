"""`sonoscope world`: has what comes in changed against a reference window?"""

from __future__ import annotations

import time
from pathlib import Path

import duckdb
import pandas as pd

from analytics.moments import moment
from analytics.questions.contrast import MAX_ROWS
from analytics.questions.sentences import Language
from analytics.questions.world import world as shifts
from analytics.stores.base import Range
from sonoscope.commands.common import fail, out, print_json
from sonoscope.commands.query import opened

_STYLES = {"associated": "yellow"}


def world(
    window: str, against: str, *, operation: str, language: Language, file: Path | None, data_dir: Path | None, as_json: bool
) -> None:
    """The last `window` against the `against` before it; what has surely shifted first."""
    now = time.time_ns()
    try:
        length, reference = now - moment(window), now - moment(against)
    except ValueError as error:
        fail(str(error))
    start = now - length
    try:
        new, cut_new = _rows(Range(start, None), operation, file, data_dir)
        old, cut_old = _rows(Range(start - reference, start), operation, file, data_dir)
    except (duckdb.Error, OSError, ValueError) as error:
        fail(f"the telemetry cannot be read: {error}")
    found = shifts(new, old, truncated=cut_new or cut_old)
    if as_json:
        print_json({"shifts": [{**one.to_dict(), "sentence": one.sentence(language)} for one in found]})
        return
    for one in found:
        out.print(one.sentence(language), style=_STYLES.get(one.verdict, "dim"), soft_wrap=True)
    if not found:
        out.print(f"No {operation} request in the last {window} and the {against} before it.")


def _rows(range: Range, operation: str, file: Path | None, data_dir: Path | None) -> tuple[pd.DataFrame, bool]:
    with opened(range, file, data_dir, None) as view:
        found = view.load(None, MAX_ROWS)
    frame = found.frame
    chosen = (frame["operation"] == operation) & ~frame["synthetic"].fillna(False).astype(bool)
    kept = frame.loc[chosen]
    assert isinstance(kept, pd.DataFrame)
    return kept, found.truncated
