"""The forwarder, one a node: tails the journal, ships spans to an OTLP receiver and events to Elasticsearch.

It only reads files, so inference never waits for it. `forward.json` in the data folder says how far it is.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from telemetry.segments import Kind, seal_orphans
from telemetry.shipping.bulk import BulkSink
from telemetry.shipping.checkpoints import NAME, Checkpoints
from telemetry.shipping.connect import Elastic
from telemetry.shipping.dead import DeadLetters
from telemetry.shipping.otlp_http import OtlpSink
from telemetry.shipping.outcome import Sink
from telemetry.shipping.sampling import Sampler
from telemetry.shipping.tail import Tail
from telemetry.shipping.traces import Holder
from telemetry.shipping.worker import Limits, Worker

STATUS = "forward.json"
SEAL_EVERY_S = 5.0
"""How often segments of dead writers are looked for."""

_log = logging.getLogger("sonoscope.forward")


class ForwarderBusy(RuntimeError):
    """Another process forwards this data folder."""


@dataclass(frozen=True)
class Otlp:
    """An OTLP receiver: the whole address of its traces, headers, and a CA file."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    ca_file: str | None = None
    timeout_s: float = 10.0


@dataclass(frozen=True)
class Forwarding:
    """What goes where. A kind without an address stays in the files.

    `sampling_share`: of the traces that are neither errors nor slow. `hold_s`, `hold_bytes`: how long and how much waits for record
    spans. `running`: the traces whose requests have not ended, where other machines may write their records; None: not known.
    `max_backlog_bytes`: beyond it the forwarder and doctor complain; nothing is ever deleted for it.
    """

    data_dir: Path
    otlp: Otlp | None = None
    elastic: Elastic | None = None
    sampling_share: float = 1.0
    hold_s: float = 1860.0
    hold_bytes: int = 64_000_000
    running: Callable[[], Collection[str] | None] | None = None
    max_backlog_bytes: int = 10 * 2**30
    limits: Limits = field(default_factory=Limits)

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds that are shipped."""
        return (*(("spans",) if self.otlp else ()), *(("events",) if self.elastic else ()))


class Forwarder:
    """The workers of one data folder. Raises ForwarderBusy where another process has it, OSError for a CA file."""

    def __init__(self, config: Forwarding, stop: threading.Event, *, drain: bool = False) -> None:
        self._config = config
        self._stop = stop
        self._journal = config.data_dir / "journal"
        self._workers = [self._worker(kind, drain) for kind in config.kinds]
        self._complained = False

    def run(self, *, for_s: float | None = None) -> dict[str, Any]:
        """Ships until `stop` is set, all is drained, or `for_s` seconds have passed; returns the last status.

        Raises RuntimeError where a worker died of an error of ours: the supervisor starts the forwarder again.
        """
        deadline = None if for_s is None else time.monotonic() + for_s
        with _only_one(self._config.data_dir):
            self._seal()
            for worker in self._workers:
                worker.start()
            sealed = time.monotonic()
            while any(worker.is_alive() for worker in self._workers) and not self._stop.is_set():
                self._write_status()
                if time.monotonic() - sealed > SEAL_EVERY_S:
                    self._seal()
                    sealed = time.monotonic()
                if (deadline is not None and time.monotonic() > deadline) or any(self._dead()):
                    self._stop.set()
                self._stop.wait(0.05 if deadline is not None else 1.0)
            for worker in self._workers:
                worker.join()
            status = self._write_status()
        if dead := [worker.kind for worker in self._dead()]:
            raise RuntimeError(f"forwarding of {' and '.join(dead)} failed; the log says why")
        return status

    def _worker(self, kind: Kind, drain: bool) -> Worker:
        config, holder = self._config, None
        sink: Sink
        if kind == "spans":
            assert config.otlp is not None
            sink = OtlpSink(
                config.otlp.url, headers=config.otlp.headers, ca_file=config.otlp.ca_file, timeout_s=config.otlp.timeout_s
            )
            sampler = Sampler(config.sampling_share) if config.sampling_share < 1.0 else None
            holder = Holder(hold_s=config.hold_s, max_bytes=config.hold_bytes, sampler=sampler, running=config.running)
        else:
            assert config.elastic is not None
            sink = BulkSink(config.elastic)
        dead = DeadLetters(config.data_dir, kind)
        checkpoints = config.data_dir / NAME
        return Worker(
            kind,
            lambda: Tail(self._journal, kind, Checkpoints(checkpoints)),
            sink,
            dead,
            holder=holder,
            limits=config.limits,
            stop=self._stop,
            drain=drain,
        )

    def _dead(self) -> Iterator[Worker]:
        return (worker for worker in self._workers if worker.ident is not None and not worker.is_alive() and not worker.finished)

    def _seal(self) -> None:
        if sealed := seal_orphans(self._journal):
            _log.info("sealed %d segments of dead processes", sealed)

    def _write_status(self) -> dict[str, Any]:
        kinds: dict[str, Any] = {worker.kind: worker.describe() for worker in self._workers}
        backlog = sum(kind["lag_bytes"] for kind in kinds.values())
        over = backlog > self._config.max_backlog_bytes
        if over and not self._complained:
            _log.error(
                "%d bytes wait for delivery, more than %d: nothing is deleted, the service goes on, the disk fills up",
                backlog, self._config.max_backlog_bytes,
            )  # fmt: skip
        self._complained = over
        status = {"pid": os.getpid(), "at": time.time(), "over_bound": over, "kinds": kinds}
        part = self._config.data_dir / f".{STATUS}.part"
        try:
            part.write_bytes(orjson.dumps(status, option=orjson.OPT_INDENT_2))
            part.replace(self._config.data_dir / STATUS)
        except OSError as error:  # a full disk must not stop what empties it
            _log.warning("%s cannot be written: %s", STATUS, error)
        return status


def read_status(data_dir: Path) -> dict[str, Any] | None:
    """What the forwarder of a data folder said last (`at`: seconds since 1970); None where there never was one."""
    try:
        return orjson.loads((data_dir / STATUS).read_bytes())
    except (FileNotFoundError, orjson.JSONDecodeError):
        return None


@contextmanager
def _only_one(data_dir: Path) -> Iterator[None]:
    data_dir.mkdir(parents=True, exist_ok=True)
    fd = os.open(data_dir / ".forward.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ForwarderBusy(f"another process forwards {data_dir}") from error
        yield
    finally:
        os.close(fd)
