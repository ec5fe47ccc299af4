"""OpenTelemetry's SDK, set up so that every finished span is in the journal before the request goes on."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as package_version
from pathlib import Path

from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from telemetry.events import EventLog
from telemetry.ids import new_traceparent, parse_traceparent, random_span_id, random_trace_id
from telemetry.journal import Journal
from telemetry.otlp import JournalSpanProcessor
from telemetry.stages import Stage, stage

__all__ = ["JournalSpanProcessor", "PinnedIds", "Stage", "Telemetry", "new_traceparent", "pinned", "setup", "stage"]

# Stated, so that an OTEL_* variable meant for another program cannot cut a record short. A record span has about 90 attributes; the
# length keeps a line far below the 1 MiB at which a Collector's file receiver drops it without a word.
_LIMITS = SpanLimits(max_attributes=512, max_span_attributes=512, max_events=256, max_attribute_length=8192)

_pinned: ContextVar[tuple[int, int] | None] = ContextVar("pinned", default=None)
_running: dict[Path, Telemetry] = {}
_running_lock = threading.Lock()


class PinnedIds(RandomIdGenerator):
    """Random ids, or those of the traceparent inside `pinned()`."""

    def generate_trace_id(self) -> int:
        """The promised trace id where one was promised."""
        promised = _pinned.get()
        return promised[0] if promised else random_trace_id()

    def generate_span_id(self) -> int:
        """The promised span id where one was promised."""
        promised = _pinned.get()
        return promised[1] if promised else random_span_id()


@contextmanager
def pinned(traceparent: str) -> Iterator[None]:
    """The span started inside gets the ids of `traceparent`: those which the client was told at acceptance.

    Raises ValueError where it is not a valid header.
    """
    ids = parse_traceparent(traceparent)
    if ids is None:
        raise ValueError(f"not a traceparent: {traceparent!r}")
    token = _pinned.set((int(ids[0], 16), int(ids[1], 16)))
    try:
        yield
    finally:
        _pinned.reset(token)


class Telemetry:
    """What a process needs to write telemetry: `journal`, `tracer`, `provider`, `resource`, `events`. Made by `setup`."""

    def __init__(self, service_name: str, data_dir: Path, environment: str, version: str | None) -> None:
        self.data_dir = data_dir
        self.journal = Journal(data_dir / "journal")
        self._service = {
            "service.name": service_name,
            "service.version": version or _own_version(),
            "deployment.environment.name": environment,
            "host.name": socket.gethostname(),
        }
        self.start()

    def start(self) -> None:
        """Builds what names this process; once more in a forked child, which is another process."""
        self.resource = OTELResourceDetector().detect().merge(Resource({**self._service, "process.pid": os.getpid()}))
        self.provider = TracerProvider(
            sampler=ALWAYS_ON, resource=self.resource, shutdown_on_exit=False, id_generator=PinnedIds(), span_limits=_LIMITS
        )
        self.provider.add_span_processor(JournalSpanProcessor(self.journal))
        self.tracer = self.provider.get_tracer("sonoscope")
        self.events = EventLog(self.journal, self.resource)

    def shutdown(self) -> None:
        """Seals the journal; the next `setup` starts afresh."""
        with _running_lock:
            if _running.get(self.data_dir) is self:
                del _running[self.data_dir]
        self.provider.shutdown()


def setup(service_name: str, data_dir: Path, *, environment: str = "local", version: str | None = None) -> Telemetry:
    """This process's telemetry, written below `data_dir`/journal; the same object for the same folder until it is shut down.

    The provider is our own and not the global one: what others instrument stays theirs. Every span is kept (whoever ships them may
    sample). `version`: the installed package's where none is given.
    """
    folder = data_dir.resolve()
    with _running_lock:
        if folder not in _running:
            _running[folder] = Telemetry(service_name, folder, environment, version)
        return _running[folder]


def _own_version() -> str:
    try:
        return package_version("sonoscope")
    except PackageNotFoundError:
        return "unknown"


def _after_fork() -> None:
    global _running_lock
    _running_lock = threading.Lock()
    for telemetry in _running.values():
        telemetry.start()


os.register_at_fork(after_in_child=_after_fork)
