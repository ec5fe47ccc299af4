"""What the stage measure_sync does with the meter: which requests, one file at a time, and what goes into the row."""

from __future__ import annotations

import hashlib
from pathlib import Path
from threading import Lock
from typing import Any

from deployments.messages import MEASURE_SYNC
from deployments.meter.curve import curve_path, write_curve
from deployments.meter.measure import Measured, measure
from deployments.models.facemesh import FaceMesh
from telemetry.context import RequestContext

OUTCOMES = (
    "audio_offset_ms", "audio_drift_ms", "sync_confidence", "sync_reason", "lip_match", "duration_drift_ms", "frozen_tail_ms",
    "audio_start_ms",
)  # fmt: skip
"""What goes into the request's row; the encoder has already said how long the file is."""


def sampled(request_id: str, share: float) -> bool:
    """True for `share` (0 to 1) of all requests; the same answer for the same request wherever it is asked."""
    digest = hashlib.sha256(request_id.encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


class Meter:
    """Measures one file at a time: the face models keep state while they run."""

    def __init__(self) -> None:
        self._mesh = FaceMesh()
        self._lock = Lock()

    def run(self, path: Path, context: RequestContext, curve: Path | None = None) -> Measured:
        """The sync of the video at `path`; its curve, where there is one, is written to `curve` (None: beside the video).

        Raises RequestError(deadline_exceeded), OSError.
        """
        with self._lock:
            context.check_deadline(MEASURE_SYNC)
            found = measure(path, face_mesh=self._mesh, on_frame=lambda seconds: context.check_deadline(MEASURE_SYNC))
        if found.curve is not None:
            write_curve(found.curve, curve or curve_path(path))
        return found


def outcomes(found: Measured) -> dict[str, Any]:
    """The measurement's part of the request's row."""
    fields = found.fields()
    return {name: fields[name] for name in OUTCOMES}
