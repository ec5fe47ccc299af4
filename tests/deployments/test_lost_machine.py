"""A machine that goes without a word: who waited for it is told within the keepalive's time. Network namespaces want root."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments import flow
from deployments.flow import AHEAD, ConsumerGone, CreditAddress, CreditGate
from deployments.lifeline import while_alive
from tests.chaos.nodes_machine import Machine, Network, why_not

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(120)]

OWNER = """
import asyncio, sys
from deployments.flow import CreditListener
from deployments.lifeline import Lifeline
async def main():
    address = (await {"Lifeline": Lifeline, "CreditListener": CreditListener}[sys.argv[1]].open(sys.argv[2])).address
    print(address.port, address.token, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """Reached over a link that can be cut; a peer that says nothing for a second is asked."""
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    monkeypatch.setattr(flow, "KEEPALIVE_S", (1, 1))
    network = Network()
    made = Machine(network, 1, tmp_path, {})
    yield made
    made.cut()
    made.remove()
    network.close()


def listens(machine: Machine, kind: str) -> tuple[CreditAddress, subprocess.Popen[str]]:
    """What a process on that machine keeps open."""
    command = ["ip", "netns", "exec", machine.name, sys.executable, "-c", OWNER, kind, machine.address]
    owner = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    port, token = owner.stdout.readline().split()
    return CreditAddress(machine.address, int(port), token), owner


def end(owner: subprocess.Popen[str]) -> None:
    """The machine has gone, and its process with it."""
    assert owner.stdout is not None
    owner.stdout.close()
    owner.wait(20)


def test_a_stage_stops_when_the_machine_of_the_runner_vanishes(machine: Machine) -> None:
    address, owner = listens(machine, "Lifeline")

    async def work() -> None:
        async with while_alive(address):
            await asyncio.sleep(2.5)  # asked once, and it lives
            await asyncio.to_thread(machine.cut)
            await asyncio.sleep(60)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(work())
    end(owner)


def test_inference_lets_go_of_the_device_when_the_machine_of_the_encoder_vanishes(machine: Machine) -> None:
    address, owner = listens(machine, "CreditListener")

    async def work() -> None:
        gone = asyncio.Event()
        gate = await CreditGate.connect(address, on_gone=gone.set)
        for _ in range(AHEAD):
            gate.take()
        waits = asyncio.get_running_loop().run_in_executor(None, gate.take)
        await asyncio.to_thread(machine.cut)
        with pytest.raises(ConsumerGone):
            await asyncio.wait_for(waits, 60)
        assert gone.is_set()
        gate.close()

    asyncio.run(work())
    end(owner)
