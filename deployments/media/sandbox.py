"""Bounded child processes for whatever parses bytes that somebody sent: memory, seconds, no network, no files but the given ones.

A decoder is native code that is fed by strangers. Here each file gets a process of its own, forked by a warm `keeper` that has the
decoder loaded already: what crashes, swells or spins there ends there. What that costs stands in docs/media_corpus.md: about 10 ms
of processor time for a small picture, where a fresh Python that imports Pillow would take 290 ms.
"""

from __future__ import annotations

import atexit
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from deployments.media import keeper
from telemetry.errors import RequestError

_KEEPER_S = 15.0
"""How long the keeper may take over its own work (imports at the first task: 0.3 s measured) before it counts as hung."""


@dataclass(frozen=True)
class Bounds:
    """What a child may use: wall-clock and CPU seconds, bytes of memory beyond its start, bytes of a file that it writes."""

    seconds: float
    cpu_s: float
    memory_bytes: int
    file_bytes: int = 0


@dataclass(frozen=True)
class Ending:
    """How a child ended: `answer` of its task, or `error` (type, message), or neither where it was ended by a bound or a crash."""

    answer: dict[str, Any] | None
    error: tuple[str, str] | None
    status: int
    """Exit status; negative: the signal that killed it."""
    timed_out: bool
    """True where the wall clock ended it."""
    out_of_memory: bool
    """True where it said that its memory did not suffice."""


class Child:
    """A task that runs; `ending()` waits for it, `close()` ends it."""

    def __init__(self, reply: socket.socket, seconds: float):
        self._reply = reply
        self._seconds = seconds
        self._words: dict[str, Any] = {}

    def words(self) -> dict[str, Any]:
        """What child and keeper said, once the child has ended. Raises RequestError(out_of_memory, internal)."""
        self._reply.settimeout(self._seconds + _KEEPER_S)
        try:
            while "status" not in self._words:
                message = self._reply.recv(keeper.MESSAGE_BYTES)
                if not message:
                    raise RequestError("internal", "The process that keeps the decoders ended.")
                self._words |= json.loads(message)
        except TimeoutError:
            raise RequestError("internal", "The process that keeps the decoders does not answer.") from None
        finally:
            self.close()
        if self._words["status"] is None:
            raise RequestError("out_of_memory", f"No process for a decoder could be started: {self._words['trouble']}.")
        return self._words

    def ending(self) -> Ending:
        """Waits for the end. Raises as `words`."""
        words = self.words()
        answer, error = words.get("answer"), words.get("error")
        return Ending(answer, error and (error[0], error[1]), words["status"], words["timed_out"], bool(words.get("memory")))

    def close(self) -> None:
        """Ends the child where it still runs."""
        self._reply.close()


class Sandbox:
    """One keeper process, started at the first task and anew where it died. Any thread may start tasks at any time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def decode(self, task: str, arguments: dict[str, Any], files: Sequence[int], bounds: Bounds) -> Ending:
        """Runs one of `keeper.TASKS` on open descriptors, which stay ours. Raises RequestError(out_of_memory, internal)."""
        return self._start({"task": task, "warm": False, "arguments": arguments}, files, bounds).ending()

    def program(self, command: Sequence[str], files: tuple[int, int, int], bounds: Bounds) -> Child:
        """Starts a program with these standard descriptors, which stay ours. Raises RequestError(internal)."""
        return self._start({"task": "program", "warm": False, "command": list(command)}, files, bounds)

    def warm(self, task: str) -> dict[str, Any]:
        """Loads a task's modules ahead of the first file. `isolated` in the answer: the children have no network."""
        return self._start({"task": task, "warm": True}, (), Bounds(_KEEPER_S, 1, 0)).words()

    def _start(self, order: dict[str, Any], files: Sequence[int], bounds: Bounds) -> Child:
        message = json.dumps(order | asdict(bounds)).encode()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, self._lock:
            try:
                socket.send_fds(self._keeper(), [message], [theirs.fileno(), *files])
            except OSError:  # it died while it had nothing to do: one more try
                self._stop()
                socket.send_fds(self._keeper(), [message], [theirs.fileno(), *files])
        return Child(ours, bounds.seconds)

    def _keeper(self) -> socket.socket:
        # A child that still ends may hold a dead keeper's socket open: what is sent there is taken and answered by nobody.
        if self._process is not None and self._process.poll() is not None:
            self._stop()
        if self._control is None:
            self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            # The environment stays: `down` finds our processes by it. -P: what lies in the working directory is not imported.
            environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OPENBLAS_NUM_THREADS": "1"}
            with theirs:
                command = [sys.executable, "-P", "-m", keeper.__name__]
                self._process = subprocess.Popen(command, stdin=theirs.fileno(), env=environment, start_new_session=True)
        return self._control

    def _stop(self) -> None:
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._control = self._process = None

    def close(self) -> None:
        """Ends the keeper and all its children; a later task starts a new one."""
        with self._lock:
            self._stop()


@cache
def shared() -> Sandbox:
    """This process's sandbox; it ends with the process."""
    sandbox = Sandbox()
    atexit.register(sandbox.close)
    return sandbox
