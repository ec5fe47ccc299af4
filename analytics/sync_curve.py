"""The curve that the sync meter left beside a video (`{request_id}.sync.parquet`): mouth, speech, and their agreement by lag."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq


@dataclass(frozen=True)
class SyncCurve:
    """`motion`: time_s, mouth (inner lips apart, in distances of the eyes), expected (what the sound at that time says, standard
    deviations). `lags`: lag_ms (positive = sound late), correlation."""

    motion: pa.Table
    lags: pa.Table


def read_curve(path: Path) -> SyncCurve | None:
    """The curve at `path`; None where there is none, or none of this form."""
    try:
        table = pq.read_table(path)
    except (FileNotFoundError, pa.ArrowInvalid):
        return None
    if not {"kind", "time_s", "mouth", "expected", "lag_ms", "correlation"} <= set(table.column_names):
        return None
    motion = table.filter(pc.field("kind") == "motion").select(["time_s", "mouth", "expected"])
    return SyncCurve(motion, table.filter(pc.field("kind") == "lag").select(["lag_ms", "correlation"]))
