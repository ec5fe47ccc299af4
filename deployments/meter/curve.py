"""The curve that the meter found, kept beside the video as `{id}.sync.parquet`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA_VERSION = 1
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """Mouth and speech over time, and their correlation by lag."""

    time_s: Array
    """(n,) presentation times of the frames with a face, seconds on the file's clock."""
    mouth: Array
    """(n,) inner lips apart, in shares of the distance between the outer eye corners."""
    expected: Array
    """(n,) what the sound at the same time on the file's clock says of the opening: in standard deviations; NaN outside."""
    lag_ms: Array
    """(m,) lags; positive = the sound is late."""
    correlation: Array
    """(m,) at each lag, -1 to 1; NaN where too little overlaps."""


def curve_path(video: Path) -> Path:
    """Where the curve of `video` lies: `{stem}.sync.parquet` beside it."""
    return video.with_name(f"{video.stem}.sync.parquet")


def write_curve(curve: Curve, path: Path) -> None:
    """Writes `curve` as Parquet under its final name only once it is whole. Raises OSError where the folder cannot be written.

    Rows of `kind` "motion" have time_s, mouth and expected; rows of kind "lag" have lag_ms and correlation; the rest is null.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    n, m = len(curve.time_s), len(curve.lag_ms)

    def column(values: Array, before: int, after: int) -> pa.Array:
        padded = np.concatenate([np.full(before, np.nan), values, np.full(after, np.nan)])
        return pa.array(padded, pa.float64(), from_pandas=True)

    table = pa.table(
        {
            "kind": pa.array(["motion"] * n + ["lag"] * m),
            "time_s": column(curve.time_s, 0, m),
            "mouth": column(curve.mouth, 0, m),
            "expected": column(curve.expected, 0, m),
            "lag_ms": column(curve.lag_ms, n, 0),
            "correlation": column(curve.correlation, n, 0),
        },
        metadata={"sonoscope.sync_curve": str(SCHEMA_VERSION)},
    )
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        pq.write_table(table, part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read_curve(path: Path) -> Curve:
    """The curve that `write_curve` wrote. Raises FileNotFoundError, or pyarrow.ArrowInvalid for what is no Parquet."""
    import pyarrow.parquet as pq

    def column(kind: str, name: str) -> Array:
        return pq.read_table(path, columns=[name], filters=[("kind", "=", kind)])[name].to_numpy().astype(np.float64)

    return Curve(
        column("motion", "time_s"),
        column("motion", "mouth"),
        column("motion", "expected"),
        column("lag", "lag_ms"),
        column("lag", "correlation"),
    )
