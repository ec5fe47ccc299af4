"""What adapter and worker say to each other: a JSON head and bytes. Only the standard library: the worker has its own Python."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any, Union

_SIZES = struct.Struct("!II")

Bytes = Union[bytes, bytearray, memoryview]  # noqa: UP007 - evaluated, and the worker's Python may be 3.9


def send(connection: socket.socket, head: dict[str, Any], payload: Bytes = b"") -> None:
    """Sends one message whole. Raises OSError where the other side is gone."""
    text = json.dumps(head).encode()
    connection.sendall(_SIZES.pack(len(text), len(payload)) + text)
    if payload:
        connection.sendall(payload)


def receive(connection: socket.socket) -> tuple[dict[str, Any], bytearray]:
    """The next message whole. Raises EOFError where the other side is gone."""
    head_size, payload_size = _SIZES.unpack(_read(connection, _SIZES.size))
    return json.loads(_read(connection, head_size)), _read(connection, payload_size)


def _read(connection: socket.socket, size: int) -> bytearray:
    data = bytearray(size)
    view, filled = memoryview(data), 0
    while filled < size:
        try:
            count = connection.recv_into(view[filled:])
        except ConnectionError:
            count = 0
        if not count:
            raise EOFError("the other side is gone")
        filled += count
    return data
