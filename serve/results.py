"""A result on its way to a client: a file that stays on this node until the last byte is sent."""

from __future__ import annotations

from typing import Any

from fastapi.responses import FileResponse
from starlette.types import Receive, Scope, Send

from deployments.node_cache import Held


class HeldFile(FileResponse):
    """Answers with a held file, ranges included, and lets go of it. Its ETag is the same on every node with the same content."""

    def __init__(self, held: Held, **more: Any):
        super().__init__(held.path, headers={"etag": f'"{held.version}"'} if held.version else None, **more)
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends it."""
        with self._held:
            await super().__call__(scope, receive, send)
