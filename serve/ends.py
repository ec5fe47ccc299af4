"""How a request ends: once in the table, then once in the journal, whatever dies in between.

The table decides who ends a job. What it decided is marked as untold until the journal has it; a runner that finds such a job of a
dead one looks into the journal first, and writes the end only where it is missing.
"""

from __future__ import annotations

from collections.abc import Iterable

import orjson
import pyarrow.dataset as ds

from serve import jobs
from serve.settings import Settings
from telemetry import fields
from telemetry.context import RequestContext
from telemetry.errors import RequestError
from telemetry.manifest import read_manifest
from telemetry.record import RequestRecord
from telemetry.segments import read_lines
from telemetry.tracing import Telemetry


def context_of(row: jobs.Row) -> RequestContext:
    """The context of a job, as it was fixed at acceptance."""
    identity = {name: row["values"][name] for name in fields.names("identity") if name in row["values"]}
    return RequestContext(
        request_id=row["request_id"],
        traceparent=row["traceparent"],
        job_id=row["job_id"],
        attempt=row["attempt"],
        operation=row["operation"],
        deadline=row["deadline"],
        identity={**identity, "attempt": row["attempt"]},
    )


def record_of(telemetry: Telemetry, row: jobs.Row) -> RequestRecord:
    """The record of a job, to be filled."""
    values = {**row["values"], "attempt": row["attempt"]}
    return RequestRecord(telemetry, context_of(row), started_ns=row["accepted_ns"], values=values, parent=row["parent"])


def state_of(error: RequestError | None) -> str:
    """The final state that an error means."""
    if error is None:
        return jobs.SUCCEEDED
    return jobs.CANCELLED if error.type == "cancelled" else jobs.FAILED


def tell_again(telemetry: Telemetry, settings: Settings, row: jobs.Row) -> bool:
    """Writes record span and terminal event of an ended job from the table, unless the journal has them; True where it wrote."""
    if _is_told(settings, row["request_id"]):
        return False
    record = RequestRecord(
        telemetry, context_of(row), started_ns=row["accepted_ns"], values=row["result"] or row["values"], parent=row["parent"]
    )
    if row["error"] is not None:
        stage = (row["result"] or {}).get("failed_stage")
        record.fail(RequestError(**row["error"], stage=stage))
    record.finish(row["ended_ns"])
    return True


def _is_told(settings: Settings, request_id: str) -> bool:
    lines = read_lines(settings.journal_dir, "events", containing=request_id.encode())
    if any(orjson.loads(line).get("event_type") in fields.TERMINAL_EVENTS for line in lines):
        return True
    files = [str(settings.parquet_dir / file.name) for file in read_manifest(settings.parquet_dir).of("events")]
    return bool(files) and _rows(files, request_id, fields.TERMINAL_EVENTS) > 0


def _rows(files: Iterable[str], request_id: str, types: Iterable[str]) -> int:
    wanted = (ds.field("request_id") == request_id) & ds.field("event_type").isin(list(types))
    return ds.dataset(list(files), format="parquet").count_rows(filter=wanted)
