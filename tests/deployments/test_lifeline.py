"""A stage stops when the process that asked for its work is killed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from deployments.flow import CreditAddress
from deployments.lifeline import Lifeline, while_alive
from telemetry.errors import RequestError

OWNER = """
import asyncio
from deployments.lifeline import Lifeline
async def main():
    line = await Lifeline.open("127.0.0.1")
    print(line.address.port, line.address.token, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


def test_the_work_ends_when_its_owner_is_killed() -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    port, token = owner.stdout.readline().split()

    async def work() -> None:
        async with while_alive(CreditAddress("127.0.0.1", int(port), token)):
            await asyncio.sleep(0.3)
            os.kill(owner.pid, signal.SIGKILL)
            await asyncio.sleep(30)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(work())
    owner.wait()
    owner.stdout.close()
    with pytest.raises(RequestError, match="died"):
        asyncio.run(work())


def test_the_work_goes_on_while_its_owner_lives_and_lets_go_of_it() -> None:
    async def work() -> int:
        line = await Lifeline.open("127.0.0.1")
        async with while_alive(line.address):
            await asyncio.sleep(0.1)
        async with while_alive(None):
            pass
        await asyncio.sleep(0.1)
        line.close()
        return len(asyncio.all_tasks())

    assert asyncio.run(work()) == 1
