"""A cluster of machines as docs/cluster.md has it: deploy/node.sh on each, serve/config.yaml deployed, PostgreSQL, S3, receiver."""

from __future__ import annotations

import base64
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import yaml

from serve.jobs import JobTable
from telemetry.forward import read_status
from telemetry.segments import read_lines
from tests.chaos.nodes_lost import Lost, what_is_lost
from tests.chaos.nodes_machine import Machine, Network, Relay
from tests.servers.faulty import Faulty
from tests.servers.postgres import USER, Postgres
from tests.servers.process import wait_for
from tests.servers.s3 import BUCKET, CREDENTIALS, S3

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
PORT = 8000
HEAD, FIRST_WORKER = 1, 2


class Cluster:
    """A head without room for stages, and workers with room for all of them. `hold_s`: `forward_hold_s`, if not node.sh's."""

    def __init__(self, workers: int = 2, hold_s: float | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="sono-nodes-"))
        self._next = FIRST_WORKER
        self.network = Network()
        self.servers = (Postgres(), S3(), Faulty())
        self.postgres, self.s3, self.receiver = self.servers
        self.relays: list[Relay] = []
        self.machines: list[Machine] = []
        self._hold_s = hold_s
        try:
            for server in self.servers:
                server.start()
                self.relays.append(Relay(self.network.host, server.port))
            self.table = JobTable(self.postgres.url)
            self._write_files()
            self.head = self._add(HEAD)
            self._ray(self.head, "--head", "--port=6379", "--num-cpus=1", "--dashboard-host=127.0.0.1")
            for _ in range(workers):
                self.join()
            self._deploy()
        except BaseException:
            self.close()
            raise

    @property
    def workers(self) -> list[Machine]:
        """Those that are there."""
        return [machine for machine in self.machines if machine is not self.head]

    def url(self, machine: Machine) -> str:
        """Of the proxy of a machine."""
        return f"http://{machine.address}:{PORT}"

    def join(self) -> Machine:
        """A new machine with an empty disk."""
        machine = self._add(self._next)
        self._next += 1
        self._ray(machine, f"--address={self.head.address}:6379", "--num-cpus=16")
        return machine

    def having(self, deployment: str, *, among: list[Machine] | None = None) -> Machine | None:
        """Where a replica of this deployment is."""
        for machine in self.machines if among is None else among:
            if machine.titled(f"ServeReplica:sonoscope:{deployment}"):
                return machine
        return None

    def lose(self, machine: Machine) -> Lost:
        """Cuts a machine off, kills everything on it and deletes its disk; what its journal held and nobody else had."""
        machine.cut()
        at_ns = time.time_ns()
        time.sleep(1.0)  # what it had sent is with the receiver by now
        lost = what_is_lost(machine.data_dir / "journal", set(self.receiver.accepted()), read_status(machine.data_dir), at_ns)
        machine.remove()
        self.machines.remove(machine)
        return lost

    def undelivered(self) -> int:
        """Lines in the journals of the machines that live which nobody else has yet."""
        there, count = set(self.receiver.accepted()), 0
        for machine in self.machines:
            count += len(what_is_lost(machine.data_dir / "journal", there, None, time.time_ns()).ids)
        return count

    def lines(self) -> int:
        """In all journals."""
        return sum(1 for m in self.machines for kind in ("spans", "events") for _ in read_lines(m.data_dir / "journal", kind))

    def close(self) -> None:
        """Ends all processes and removes all folders."""
        for machine in list(self.machines):
            machine.cut()
            machine.remove()
        if hasattr(self, "table"):
            self.table.close()
        for relay in self.relays:
            relay.close()
        for server in self.servers:
            server.stop()
        self.network.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _add(self, number: int) -> Machine:
        machine = Machine(self.network, number, self.folder, self._environment())
        self.machines.append(machine)
        return machine

    def _environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return kept | {
            "PYTHONPATH": str(ROOT), "SONOSCOPE_ENV": str(self.folder / "sonoscope.env"), "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(self.folder / "token"),
        }  # fmt: skip

    def _write_files(self) -> None:
        postgres, s3, receiver = self.relays
        host = self.network.host
        lines: dict[str, Any] = {
            **CREDENTIALS,
            "SONOSCOPE_DATA_DIR": self.folder / "seen" / "data",
            "SONOSCOPE_ARTIFACTS_URL": f"s3://{BUCKET}/nodes",
            "SONOSCOPE_ARTIFACTS_ENDPOINT": f"http://{host}:{s3.port}",
            "SONOSCOPE_JOBS_DATABASE_URL": f"postgresql://{USER}@{host}:{postgres.port}/postgres",
            "SONOSCOPE_REDACT_KEY": secrets.token_hex(32),
            "SONOSCOPE_WEBHOOK_SECRET": "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode(),
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{host}:{receiver.port}",
            "ELASTICSEARCH_URL": f"http://{host}:{receiver.port}",
        }
        if self._hold_s is not None:
            lines["SONOSCOPE_FORWARD_HOLD_S"] = self._hold_s
        (self.folder / "sonoscope.env").write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
        (self.folder / "token").write_text(secrets.token_hex(32))

    def _ray(self, machine: Machine, *arguments: str) -> None:
        """As cluster.yaml starts it. Only the head says where Ray's own files lie: the others follow."""
        node = ROOT / "deploy" / "node.sh"
        where = [f"--temp-dir={machine.seen_as['ray']}"] if machine.address == self.network.address(HEAD) else []
        machine.run(
            node, "ray", "start", *arguments, *where, f"--node-ip-address={machine.address}", "--object-store-memory=300000000",
            "--disable-usage-stats",
        )  # fmt: skip
        machine.run(node, "forwarder")

    def _deploy(self) -> None:
        config = yaml.safe_load((ROOT / "serve" / "config.yaml").read_text())
        # A gateway would stand in front, and do the access control.
        config["http_options"] |= {"host": "0.0.0.0", "port": PORT}
        (application,) = config["applications"]
        # The head has one CPU, so no stage fits on it; each worker could hold all of them.
        stages = {name: {"num_cpus": 2, "min_replicas": 1, "max_replicas": 1} for name in application["args"]["stages"]}
        stages["recognize"] |= {"min_replicas": 0}  # nobody asks for it here
        application["args"] |= {"stages": stages, "data_dir": str(self.head.seen_as["data"]), "replica_drain_s": 20}
        file = self.folder / "config.yaml"
        file.write_text(yaml.safe_dump(config))
        self.head.run(BIN / "serve", "deploy", file)
        wait_for(self.ready, 180.0, lambda: f"the application did not come up: {self.told()}")

    def ready(self) -> bool:
        """True where every proxy says that the service is ready."""
        try:
            return all(httpx.get(f"{self.url(one)}/readyz", timeout=5).status_code == 200 for one in self.machines)
        except httpx.HTTPError:
            return False

    def told(self) -> str:
        """What Serve says of it."""
        done = subprocess.run(
            ["ip", "netns", "exec", self.head.name, str(BIN / "serve"), "status"],
            env=self._environment(), capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        return (done.stdout + done.stderr)[-4000:]


def kill_proxy(machine: Machine) -> bool:
    """SIGKILL to a machine's HTTP proxy; False where it has none."""
    found = machine.titled("ProxyActor")
    for process in found:
        process.send_signal(signal.SIGKILL)
    return bool(found)
