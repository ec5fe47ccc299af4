"""A service that never stops: writes requests into a data folder until it is ended or killed.

    python tests/servers/writer.py DATA_DIR NOTES

NOTES gets a request id a line once its record and its terminal event are written: what somebody may rely on.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

from telemetry import fields
from telemetry.context import RequestContext
from telemetry.ids import new_traceparent, uuid7
from telemetry.record import RequestRecord
from telemetry.stages import stage
from telemetry.tracing import setup

PAUSE_S = 0.01


def main() -> None:
    """One request after another."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    telemetry = setup("writer", Path(sys.argv[1]))
    notes = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    while not stop.wait(PAUSE_S):
        parent = new_traceparent()
        context = RequestContext(uuid7(), parent, job_id=uuid7(), identity={"trace_id": parent.split("-")[1]})
        record = RequestRecord(telemetry, context, started_ns=time.time_ns(), values=fields.defaults())
        telemetry.events.log_event("request_received", context)
        for name in fields.STAGES[:2]:
            with stage(telemetry, name, context):
                pass
        record.finish()
        os.write(notes, f"{context.request_id}\n".encode())
    telemetry.shutdown()


if __name__ == "__main__":
    main()
