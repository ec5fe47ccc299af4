"""What comes in while a batch runs is the next batch; errors and cancellations stay with those whom they concern."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from deployments.batching import Batcher


class Doubler:
    """Doubles numbers, batch by batch; a batch waits until `open` is set; a 13 in it fails it."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        await self.open.wait()
        if 13 in items:
            raise ValueError("unlucky")
        return [2 * item for item in items]


def test_a_lone_item_goes_at_once_and_what_waits_goes_together() -> None:
    async def run() -> None:
        doubler = Doubler()
        batcher = Batcher(doubler, 4)
        assert await batcher.submit(1) == 2
        doubler.open.clear()
        first = asyncio.create_task(batcher.submit(10))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        rest = [asyncio.create_task(batcher.submit(k)) for k in range(6)]
        await asyncio.sleep(0)
        doubler.open.set()
        assert await asyncio.gather(first, *rest) == [20, 0, 2, 4, 6, 8, 10]
        assert doubler.batches == [[1], [10], [0, 1, 2, 3], [4, 5]]

    asyncio.run(run())


def test_an_error_concerns_its_batch_and_the_next_goes_on() -> None:
    async def run() -> None:
        batcher = Batcher(Doubler(), 2)
        results = await asyncio.gather(*(batcher.submit(k) for k in (13, 1, 2, 3)), return_exceptions=True)
        assert [str(one) for one in results[:2]] == ["unlucky", "unlucky"]
        assert results[2:] == [4, 6]
        with pytest.raises(ValueError, match="unlucky"):
            await batcher.submit(13)

    asyncio.run(run())


def test_who_is_cancelled_before_the_batch_is_left_out() -> None:
    async def run() -> None:
        doubler = Doubler()
        batcher = Batcher(doubler, 4)
        doubler.open.clear()
        first = asyncio.create_task(batcher.submit(1))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        gone, stays = asyncio.create_task(batcher.submit(2)), asyncio.create_task(batcher.submit(3))
        await asyncio.sleep(0)
        gone.cancel()
        doubler.open.set()
        assert await asyncio.gather(first, stays) == [2, 6]
        assert doubler.batches == [[1], [3]]

    asyncio.run(run())
