"""Backpressure for a stream of frames.

Serve's streams have none of their own: a producer that is faster than its consumer fills the object store. Here the consumer opens
a port, and the producer, which connects to it, may be `AHEAD` chunks ahead of the consumer's acknowledgements: one byte each. When
either side dies the connection ends, and the other side knows at once; within half a minute where a whole machine went.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

AHEAD = 4
"""Chunks in flight: with about 25 frames of 512 x 512 that is 79 MB, and enough that neither side waits for the other's hiccups."""

KEEPALIVE_S = (10, 5)
"""Seconds without a word until a peer is asked whether it is there, and between questions; after `UNANSWERED` it is given up."""
UNANSWERED = 3

_CREDIT = b"\x01"


class ConsumerGone(Exception):
    """The other side of the stream closed its connection."""


@dataclass(frozen=True)
class CreditAddress:
    """Where the consumer listens, and the secret that proves whom it was told to."""

    host: str
    port: int
    token: str


def keep_alive(writer: asyncio.StreamWriter) -> None:
    """Has the system ask the peer now and then: a machine that lost its power or its link ends no connection (tcp(7))."""
    connection: socket.socket = writer.get_extra_info("socket")
    idle_s, between_s = KEEPALIVE_S
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle_s)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, between_s)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, UNANSWERED)
    # The same for what was sent and not acknowledged, which is not asked about but sent again for a quarter of an hour.
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, (idle_s + UNANSWERED * between_s) * 1000)


class CreditListener:
    """The consumer's end: `grant()` after each chunk that it has taken in."""

    def __init__(self, server: asyncio.Server, address: CreditAddress, connected: asyncio.Future[asyncio.StreamWriter]):
        self._server = server
        self.address = address
        self._connected = connected

    @classmethod
    async def open(cls, host: str) -> CreditListener:
        """Listens on a free port of `host`; the first connection that shows the token is the producer."""
        token = secrets.token_hex(16)
        connected: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            keep_alive(writer)
            shown = await reader.read(len(token))
            if hmac.compare_digest(shown, token.encode()) and not connected.done():
                connected.set_result(writer)
            else:
                writer.close()

        server = await asyncio.start_server(accept, host, 0)
        return cls(server, CreditAddress(host, server.sockets[0].getsockname()[1], token), connected)

    async def grant(self) -> None:
        """Lets the producer make one chunk more; one that has made its last and is gone needs no more."""
        writer = await self._connected
        if not writer.is_closing():
            writer.write(_CREDIT)

    def close(self) -> None:
        """Ends the connection; a producer that still waits for credit stops."""
        self._server.close()
        if self._connected.done():
            self._connected.result().close()


class CreditGate:
    """The producer's end. `take()` blocks a working thread; everything else runs in the event loop."""

    def __init__(self, writer: asyncio.StreamWriter):
        self._writer = writer
        self._credits = threading.Semaphore(AHEAD)
        self._closed = threading.Event()
        self._watcher: asyncio.Task[None] | None = None

    @classmethod
    async def connect(cls, address: CreditAddress, on_gone: Callable[[], None]) -> CreditGate:
        """Connects to the consumer; `on_gone()` is called when it goes away before `close()`."""
        reader, writer = await asyncio.open_connection(address.host, address.port)
        keep_alive(writer)
        writer.write(address.token.encode())
        gate = cls(writer)
        gate._watcher = asyncio.create_task(gate._watch(reader, on_gone))
        return gate

    async def _watch(self, reader: asyncio.StreamReader, on_gone: Callable[[], None]) -> None:
        try:
            while credits := await reader.read(AHEAD):
                self._credits.release(len(credits))
        except OSError:
            pass  # a reset, or no answer for too long, says the same as an end of file: the consumer is gone
        if not self._closed.is_set():
            self._stop()
            on_gone()

    def take(self) -> float:
        """Waits for a credit; returns the seconds waited. Raises ConsumerGone when the stream has ended."""
        start = perf_counter()
        self._credits.acquire()
        if self._closed.is_set():
            raise ConsumerGone
        return perf_counter() - start

    def _stop(self) -> None:
        self._closed.set()
        self._credits.release()

    def close(self) -> None:
        """Ends the connection and wakes a thread that waits in `take()`."""
        self._stop()
        if self._watcher:
            self._watcher.cancel()
        self._writer.close()
