"""What the tests of the forwarder share: writers of telemetry, and a forwarder that runs in this process or in one of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from telemetry import fields
from telemetry.context import RequestContext
from telemetry.forward import Forwarder, Forwarding, read_status
from telemetry.ids import new_traceparent
from telemetry.record import RequestRecord
from telemetry.shipping.worker import Limits
from telemetry.stages import stage
from telemetry.tracing import Telemetry
from tests.servers.process import wait_for

FAST = Limits(backoff_s=0.3)
"""A test must not wait half a minute for the next attempt."""


def request(telemetry: Telemetry, number: int, **values: Any) -> RequestContext:
    """One request as the service writes it: received, a stage, a record span, a terminal event."""
    parent = new_traceparent()
    context = RequestContext(f"request-{number:06}", parent, job_id=f"job-{number}", identity={"trace_id": parent.split("-")[1]})
    record = RequestRecord(telemetry, context, started_ns=time.time_ns(), values={**fields.defaults(), **values})
    telemetry.events.log_event("request_received", context)
    with stage(telemetry, "load_audio", context):
        pass
    record.finish()
    return context


def drain(config: Forwarding, for_s: float = 30.0) -> dict[str, Any]:
    """Ships what is there; the status by kind afterwards."""
    return Forwarder(config, threading.Event(), drain=True).run(for_s=for_s)["kinds"]


@contextmanager
def forwarding(config: Forwarding) -> Iterator[threading.Event]:
    """A forwarder in the background of this process; setting the event ends it sooner."""
    stop = threading.Event()
    thread = threading.Thread(target=Forwarder(config, stop).run)
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join()


def status(data_dir: Path, kind: str) -> dict[str, Any]:
    """What `forward.json` says of a kind; empty before the first."""
    found = read_status(data_dir)
    return found["kinds"][kind] if found else {}


class Process:
    """`sonoscope forward` as a process, to be killed."""

    def __init__(self, data_dir: Path, *, start: bool = True, **env: str) -> None:
        self._env = {**os.environ, "SONOSCOPE_DATA_DIR": str(data_dir), "SONOSCOPE_CONFIG": str(data_dir / "none.toml"), **env}
        self._env.setdefault("SONOSCOPE_FORWARD_BACKOFF_S", "0.5")
        self._data_dir = data_dir
        self._log = data_dir / "forward.log"
        self.process = self._start() if start else None

    def wait_until_it_works(self) -> None:
        """Returns once it has said how far it is. Raises RuntimeError where it does not start."""
        assert self.process is not None
        pid = self.process.pid
        wait_for(lambda: (read_status(self._data_dir) or {}).get("pid") == pid, 60, lambda: self._log.read_text()[-2000:])

    def kill(self) -> None:
        """At once."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """Killed, and started as the supervisor does."""
        self.kill()
        self.process = self._start()

    def stop(self) -> None:
        """Asked to end; it may not have begun yet."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) in (0, -signal.SIGTERM), self._log.read_text()[-2000:]

    def once(self, for_s: float = 60.0) -> dict[str, Any]:
        """Ships the rest; the status by kind."""
        command = [sys.executable, "-m", "sonoscope", "forward", "--once", "--for", str(for_s), "--json"]
        done = subprocess.run(command, env=self._env, capture_output=True, text=True, timeout=for_s + 30, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout)["kinds"]

    def _start(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen([sys.executable, "-m", "sonoscope", "forward"], env=self._env, stdout=log, stderr=log)
