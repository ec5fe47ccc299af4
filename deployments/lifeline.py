"""How a stage notices that whoever asked for its work is dead.

Ray goes on with a call whose caller was killed: nobody would take the frames, and a job that was cancelled meanwhile would still
hold the device. Here the caller keeps a port open for its whole life; a stage connects to it, and an end of that connection is the
end of the caller.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import secrets
from collections.abc import AsyncIterator

from deployments.flow import CreditAddress, keep_alive
from telemetry.errors import RequestError


class Lifeline:
    """The caller's end: open as long as its process lives."""

    def __init__(self, server: asyncio.Server, address: CreditAddress):
        self._server = server
        self.address = address

    @classmethod
    async def open(cls, host: str) -> Lifeline:
        """Listens on a free port of `host`; whoever shows the token may stay connected."""
        token = secrets.token_hex(16)

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            keep_alive(writer)
            shown = await reader.read(len(token))
            if hmac.compare_digest(shown, token.encode()):
                await reader.read()  # until the stage lets go
            writer.close()

        server = await asyncio.start_server(accept, host, 0)
        return cls(server, CreditAddress(host, server.sockets[0].getsockname()[1], token))

    def close(self) -> None:
        """Takes no more connections; those that are there end with the process."""
        self._server.close()


@contextlib.asynccontextmanager
async def while_alive(address: CreditAddress | None) -> AsyncIterator[None]:
    """Cancels the current task when the process behind `address` dies (None: nobody to watch).

    Raises RequestError(replica_lost) where it is dead already.
    """
    if address is None:
        yield
        return
    task = asyncio.current_task()
    assert task is not None
    try:
        reader, writer = await asyncio.open_connection(address.host, address.port)
    except OSError as error:
        raise RequestError("replica_lost", "The process that asked for the work died.") from error
    keep_alive(writer)
    writer.write(address.token.encode())

    async def watch() -> None:
        with contextlib.suppress(OSError):  # a reset, or no answer for too long, says the same as an end of file
            await reader.read()
        task.cancel()

    watcher = asyncio.create_task(watch())
    try:
        yield
    finally:
        watcher.cancel()
        writer.close()
