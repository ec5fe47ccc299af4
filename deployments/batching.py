"""Dynamic batching: whatever has come in while the last batch ran is the next one.

Nothing waits for a batch to fill: a lone picture goes at once, and under load batches grow by themselves. Ray Serve's own batching
waits for a stated time and runs each batch in the tracing context of its first request, so that the others' spans would be the
first one's; here a batch runs in a task of its own and members carry their contexts with them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """Hands items to `run` in batches of at most `most`, one batch at a time, in the order in which they came."""

    def __init__(self, run: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]], most: int) -> None:
        self._run = run
        self._most = most
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._drain: asyncio.Task[None] | None = None

    async def submit(self, item: Item) -> Result:
        """The result of one item. Raises what its batch raised; whoever is cancelled before its batch starts is left out of it."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._drain is None:
            self._drain = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        try:
            while self._waiting:
                members = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
                members = [(item, future) for item, future in members if not future.done()]
                if members:
                    await self._one_batch(members)
        finally:
            self._drain = None

    async def _one_batch(self, members: Sequence[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._run([item for item, _ in members])
        except Exception as error:  # it belongs to the members, who raise it; the next batch goes on
            for _, future in members:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), result in zip(members, results, strict=True):
            if not future.done():
                future.set_result(result)
