"""Machines of a cluster on this one: network namespaces with addresses of their own, each with a disk of its own in memory.

Wants root and `ip`. What a machine loses with its power is lost here, too: its link goes before its processes, so that nobody hears
a connection end, and its disk goes whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import psutil


def why_not() -> str | None:
    """Why this machine cannot hold others; None where it can."""
    if os.geteuid() != 0 or shutil.which("ip") is None or shutil.which("unshare") is None:
        return "network namespaces want root, ip and unshare"
    name = f"sono-try-{os.getpid()}"
    tried = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if tried.returncode:
        return f"no network namespace can be made: {tried.stderr.strip()}"
    subprocess.run(["ip", "netns", "del", name], check=True)
    return None


def _run(*command: object) -> None:
    subprocess.run([str(one) for one in command], check=True, capture_output=True)


class Network:
    """A bridge; this machine is its host 254."""

    def __init__(self) -> None:
        self.name = f"sono{random.randrange(16**6):06x}"
        self._subnet = f"10.{random.randrange(64, 250)}.{random.randrange(250)}"
        self.host = self.address(254)
        _run("ip", "link", "add", self.name, "type", "bridge")
        _run("ip", "addr", "add", f"{self.host}/24", "dev", self.name)
        _run("ip", "link", "set", self.name, "up")

    def address(self, number: int) -> str:
        """Of one of its hosts."""
        return f"{self._subnet}.{number}"

    def close(self) -> None:
        """Removes it."""
        _run("ip", "link", "del", self.name)


class Machine:
    """One machine: `folder` is its disk as we see it; its own processes see it at `seen_as`, as on all others."""

    def __init__(self, network: Network, number: int, folder: Path, env: Mapping[str, str]) -> None:
        self.name = f"{network.name}-{number}"
        self.address = network.address(number)
        self.folder, self._seen, self._env = folder / self.name, folder / "seen", dict(env)
        self.data_dir = self.folder / "data"
        self.seen_as = {name: self._seen / name for name in ("data", "ray")}
        self._link = f"{self.name}h"
        _run("ip", "netns", "add", self.name)
        _run("ip", "link", "add", self._link, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        _run("ip", "link", "set", self._link, "master", network.name, "up")
        for command in (f"addr add {self.address}/24 dev eth0", "link set eth0 up", "link set lo up"):
            _run("ip", "-n", self.name, *command.split())
        self.folder.mkdir(parents=True)
        _run("mount", "-t", "tmpfs", "-o", "size=3g,mode=755", self.name, self.folder)
        for name in ("data", "ray", "shm"):
            (self.folder / name).mkdir()
            (self._seen / name).mkdir(parents=True, exist_ok=True)

    def run(self, *command: object, timeout_s: float = 180.0) -> str:
        """Runs a command on it and returns what it said. Raises RuntimeError where it fails."""
        mounts = [(self.folder / name, place) for name, place in self.seen_as.items()] + [(self.folder / "shm", Path("/dev/shm"))]
        script = "".join(f"mount --bind {source} {place} && " for source, place in mounts) + 'exec "$@"'
        inside = ["ip", "netns", "exec", self.name, "unshare", "-m", "bash", "-c", script, "bash", *map(str, command)]
        # Into a file: what stays behind as a daemon holds its output, and a pipe of it would never end.
        log = self.folder / "commands.log"
        with log.open("ab") as out:
            at = out.tell()
            try:
                code = subprocess.run(
                    inside, env=self._env, stdout=out, stderr=out, stdin=subprocess.DEVNULL, timeout=timeout_s, check=False
                ).returncode
            except subprocess.TimeoutExpired:
                code = -1
        said = log.read_bytes()[at:].decode(errors="replace")
        if code:
            raise RuntimeError(f"{self.name}: {' '.join(map(str, command))} ended with {code}: {said[-3000:]}")
        return said

    def processes(self) -> list[psutil.Process]:
        """What runs on it."""
        found = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True, check=False).stdout.split()
        alive: list[psutil.Process] = []
        for pid in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                alive.append(psutil.Process(int(pid)))
        return alive

    def titled(self, part: str) -> list[psutil.Process]:
        """Its processes whose command line holds `part`."""
        found: list[psutil.Process] = []
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                if part in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def cut(self) -> None:
        """The power goes: first nobody reaches it any more, then nothing runs on it. Its disk can still be read."""
        _run("ip", "link", "set", self._link, "down")
        until = time.monotonic() + 20
        while (left := self.processes()) and time.monotonic() < until:
            for process in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGKILL)
            time.sleep(0.1)
        assert not left, left

    def remove(self) -> None:
        """It and its disk are gone."""
        _run("umount", "-l", self.folder)
        shutil.rmtree(self.folder)
        _run("ip", "link", "del", self._link)
        _run("ip", "netns", "del", self.name)


class Relay:
    """Lets machines reach a server that listens on this one's loopback."""

    def __init__(self, host: str, port: int) -> None:
        self._target, self._host = port, host
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._serve, host, 0), self._loop).result(10)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError, asyncio.CancelledError):  # at the end each is cancelled
                while block := await source.read(1 << 16):
                    sink.write(block)
                    await sink.drain()
            sink.close()

        with contextlib.suppress(asyncio.CancelledError):  # the protocol that called this cannot take it
            await asyncio.gather(pump(reader, there_writer), pump(there_reader, writer))

    def close(self) -> None:
        """Ends it with every connection."""

        async def end() -> None:
            self._server.close()
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
