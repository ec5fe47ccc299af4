"""Whom the kill matrix kills: real processes of a running service, by what they do."""

from __future__ import annotations

import os
import random
import time

import psutil

from sonoscope.run import Run, marked_processes

STAGES = ("load_audio", "preprocess_image", "run_inference", "encode_video", "measure_sync")
KINDS = ("replica", "runner", "controller", "service", "everything")
"""A stage's replica; the runner; Serve's controller; the process that holds Ray and Serve; every process, the supervisor too."""


def kill(kind: str, run: Run, draw: random.Random, within_s: float = 180.0) -> str | None:
    """Kills one victim with SIGKILL; returns what it was, None where there was none for so long.

    After a kill of the service its replicas take tens of seconds to come back, on a busy machine minutes.
    """
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        found = _find(kind, run, draw)
        if found:
            for process in found:
                _kill(process)
            return _name(found[0]) if len(found) == 1 else f"{len(found)} processes"
        time.sleep(0.2)
    return None


def _find(kind: str, run: Run, draw: random.Random) -> list[psutil.Process]:
    match kind:
        case "everything":
            return [psutil.Process(run.pid), *marked_processes(run.run_id)] if run.alive else []
        case "service":
            found = [one for one in marked_processes(run.run_id) if "sonoscope.service" in _title(one)]
        case "controller":
            found = [one for one in marked_processes(run.run_id) if "ServeController" in _title(one)]
        case _:
            wanted = "runner" if kind == "runner" else draw.choice(STAGES)
            found = [one for one in marked_processes(run.run_id) if f"ServeReplica:sonoscope:{wanted}" in _title(one)]
    return found[:1]


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return ""


def _name(process: psutil.Process) -> str:
    return _title(process).split(".")[0].removeprefix("ray::") or str(process.pid)


def _kill(process: psutil.Process) -> None:
    try:
        if process.pid != os.getpid():
            process.kill()
    except psutil.NoSuchProcess:
        return
