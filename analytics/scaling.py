"""What the autoscaler decided, as a frame over time."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from telemetry.decisions import read_decisions

COLUMNS = ("at", "stage", "jobs", "work_s", "wanted", "running", "target", "reason")


def decisions(folder: Path, since_ns: int | None = None, until_ns: int | None = None) -> pd.DataFrame:
    """`at` (UTC) and what was seen (`jobs`, `work_s`: seconds of a replica that wait, `running` replicas), `wanted` by the load
    alone, `target` (asked for) and its `reason`. Empty where nothing scales. Raises OSError.
    """
    frame = pd.DataFrame(read_decisions(folder, since_ns, until_ns), columns=[*COLUMNS, "at_ns"])
    frame["at"] = pd.to_datetime(frame["at_ns"], utc=True)
    return frame.drop(columns="at_ns")
