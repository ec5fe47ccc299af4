"""The warm parent of the bounded children: a process of its own that forks one child for each file that somebody sent.

Run as `python -P -m deployments.media.keeper` with a Unix socket (SOCK_SEQPACKET) as its standard input; `sandbox` is the other
end. A message is one JSON object, and with it come the descriptors of the task: first the socket for the reply, then the files. The
child has its limits before it sees a byte of them, and says {"answer": ...} or {"error": [type, message]}; after its end this
process says {"status": ...}. It ends when its standard input ends. The standard library is all it imports until the first task.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import resource
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

TASKS = {"picture": "deployments.media.pixels", "sound": "deployments.media.sound"}
"""Modules that decode in a child: `run(arguments, files)` returns the answer, raises RequestError or MemoryError."""

MESSAGE_BYTES = 1 << 16
_PROGRAM_FILES = 16
"""Descriptors that a program may hold. ffmpeg needs its three and one for each library that it loads."""
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass
class _Job:
    task: str
    reply: socket.socket
    ends: float
    timed_out: bool = False


@dataclass
class _Keeper:
    """What the keeper knows: its selector, the tasks that run, and for each kind of task a child that waits for the next file."""

    selector: selectors.BaseSelector
    isolated: bool
    jobs: dict[int, _Job] = field(default_factory=dict)
    spares: dict[str, tuple[int, socket.socket]] = field(default_factory=dict)


def isolate() -> bool:
    """Leaves the network for good, children included; False where the kernel does not let an ordinary user do that.

    A user namespace of its own takes the privileges of root from the process as well.
    """
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    return _libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0 or _libc.unshare(_CLONE_NEWNET) == 0


def main() -> None:
    """Serves tasks until standard input ends; takes its children with it."""
    control = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C at the terminal: our parent decides
    wake, woken = socket.socketpair()
    wake.setblocking(False)
    woken.setblocking(False)
    signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    isolated = isolate()
    with selectors.DefaultSelector() as selector:
        keeper = _Keeper(selector, isolated)
        selector.register(control, selectors.EVENT_READ)
        selector.register(wake, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select(_wait_s(keeper.jobs)):
                if key.fileobj is wake:
                    wake.recv(4096)
                elif key.fileobj is not control:
                    _kill(key.data)  # whoever asked has gone
                    selector.unregister(key.fileobj)
                elif not _take(control, keeper):
                    for pid in keeper.jobs:
                        _kill(pid)
                    return
            _end_overdue(keeper.jobs)
            _reap(keeper)


def _wait_s(jobs: dict[int, _Job]) -> float | None:
    ends = [job.ends for job in jobs.values() if not job.timed_out]
    return max(0.0, min(ends) - time.monotonic()) if ends else None


def _take(control: socket.socket, keeper: _Keeper) -> bool:
    """Starts the next task; False where there will be none any more."""
    message, files, _, _ = socket.recv_fds(control, MESSAGE_BYTES, 16)
    if not message:
        return False
    order, reply = json.loads(message), socket.socket(fileno=files[0])
    try:
        if order["task"] in TASKS and order["task"] not in keeper.spares:
            keeper.spares[order["task"]] = _spare(order["task"])
        if order["warm"]:
            _say(reply, {"status": 0, "timed_out": False, "isolated": keeper.isolated})
            reply.close()
            return True
        pid = _start(keeper, order, message, files)
    except OSError as error:  # the host has no memory or no process left
        _say(reply, {"status": None, "trouble": error.strerror})
        reply.close()
        pid = None
    for file in files[1:]:
        os.close(file)
    if pid is not None:
        keeper.jobs[pid] = _Job(order["task"], reply, time.monotonic() + order["seconds"])
        keeper.selector.register(reply, selectors.EVENT_READ, pid)
    return True


def _start(keeper: _Keeper, order: dict[str, Any], message: bytes, files: list[int]) -> int:
    """Gives a task to the child that waits for it, a program to a new one; returns the child's process id. Raises OSError."""
    if order["task"] in TASKS:
        pid, orders = keeper.spares.pop(order["task"])
        with orders:
            socket.send_fds(orders, [message], files)
        return pid
    pid = os.fork()
    if pid == 0:
        _in_child(lambda: _become(order, files[1:]))
    return pid


def _spare(task: str) -> tuple[int, socket.socket]:
    """A child that has everything but its file: forking and what comes with it take as long as decoding a small picture."""
    module = importlib.import_module(TASKS[task])
    gc.freeze()  # what is loaded stays: a child's collector need not touch, and so copy, all of it
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        _in_child(lambda: _work(module, theirs))
    theirs.close()
    return pid, ours


def _in_child(work: Callable[[], None]) -> NoReturn:
    """The bounded child: one task, then the end, whatever happens."""
    status = 70
    try:
        signal.set_wakeup_fd(-1)
        for name in (signal.SIGCHLD, signal.SIGINT, signal.SIGPIPE):
            signal.signal(name, signal.SIG_DFL)
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        work()
        status = 0
    finally:
        if (trouble := sys.exc_info()[1]) is not None:
            sys.excepthook(type(trouble), trouble, trouble.__traceback__)  # into the log of whoever started the keeper
        os._exit(status)


def _work(module: Any, orders: socket.socket) -> None:
    """Waits for the one order of this child, and carries it out under its bounds."""
    _close_others({orders.fileno()})
    message, files, _, _ = socket.recv_fds(orders, MESSAGE_BYTES, 16)
    if not message:
        return  # the keeper has ended
    orders.close()
    order, reply = json.loads(message), socket.socket(fileno=files[0])
    # No descriptor can be opened from here on: neither a file nor a socket.
    bound(order, files=0, has=_address_bytes())
    _say(reply, _outcome(module, order["arguments"], files[1:]))


def _outcome(module: Any, arguments: dict[str, Any], files: list[int]) -> dict[str, Any]:
    from telemetry.errors import RequestError

    try:
        return {"answer": module.run(arguments, files)}
    except RequestError as error:
        return {"error": [error.type, error.message]}
    except MemoryError:
        return {"memory": True}


def _become(order: dict[str, Any], files: list[int]) -> NoReturn:
    """Turns the child into a program with `files` as its standard input, output and error."""
    copies = [os.dup(file) for file in files]  # first copies: a file may have the number of another's place
    for place, file in enumerate(copies):
        os.dup2(file, place)
    _close_others(set())
    bound(order, files=_PROGRAM_FILES, has=0)
    os.execv(order["command"][0], order["command"])


def bound(order: dict[str, Any], *, files: int, has: int) -> None:
    """Limits of this process: seconds of CPU, bytes of memory beyond what it `has`, bytes of a file, descriptors, no core file."""
    for what, limit in (
        (resource.RLIMIT_AS, has + order["memory_bytes"]),
        (resource.RLIMIT_CPU, max(1, round(order["cpu_s"]))),
        (resource.RLIMIT_FSIZE, order["file_bytes"]),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, files),
    ):
        hard = resource.getrlimit(what)[1]
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(what, (limit, limit))


def _address_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _close_others(kept: set[int]) -> None:
    for low, high in pairwise(sorted({0, 1, 2, *kept, resource.getrlimit(resource.RLIMIT_NOFILE)[0]})):
        if low + 1 < high:  # an empty range counts as an endless one
            os.closerange(low + 1, high)


def _end_overdue(jobs: dict[int, _Job]) -> None:
    now = time.monotonic()
    for pid, job in jobs.items():
        if job.ends <= now and not job.timed_out:
            job.timed_out = True
            _kill(pid)


def _reap(keeper: _Keeper) -> None:
    while keeper.jobs or keeper.spares:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        if pid not in keeper.jobs:  # a spare that somebody killed: the next task gets a new one
            keeper.spares = {task: spare for task, spare in keeper.spares.items() if spare[0] != pid}
            continue
        job = keeper.jobs.pop(pid)
        with contextlib.suppress(KeyError):  # it went before
            keeper.selector.unregister(job.reply)
        _say(job.reply, {"status": os.waitstatus_to_exitcode(status), "timed_out": job.timed_out})
        job.reply.close()
        if job.task in TASKS and job.task not in keeper.spares:
            with contextlib.suppress(OSError):  # the next task tries again, and says so
                keeper.spares[job.task] = _spare(job.task)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _say(reply: socket.socket, words: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # nobody listens any more
        reply.send(json.dumps(words).encode())


if __name__ == "__main__":
    sys.exit(main())
