"""A real Kafka of one node in KRaft mode on loopback: broker and controller in one process, from the jars of Maven."""

from __future__ import annotations

import os
import shutil
import subprocess
from uuid import uuid4

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.servers.fetch import KAFKA_JAVA, java_home, kafka_home
from tests.servers.process import Server, free_port


class Kafka(Server):
    """`brokers` is its address; it does not make topics by itself."""

    name = "kafka"
    ready_s = 120.0

    def __init__(self) -> None:
        super().__init__()
        self.brokers = f"127.0.0.1:{self.port}"
        controller = free_port()
        given = {
            "process.roles": "broker,controller", "node.id": 1, "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": f"PLAINTEXT://{self.brokers},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.brokers}", "controller.listener.names": "CONTROLLER",
            "log.dirs": self.folder / "data", "auto.create.topics.enable": "false", "group.initial.rebalance.delay.ms": 0,
            # One node: what is kept in threes elsewhere is kept once.
            "offsets.topic.replication.factor": 1, "offsets.topic.num.partitions": 1,
            "transaction.state.log.replication.factor": 1, "transaction.state.log.min.isr": 1,
            "transaction.state.log.num.partitions": 1,
        }  # fmt: skip
        self._config = self.folder / "server.properties"
        self._config.write_text("".join(f"{key}={value}\n" for key, value in given.items()))
        format_it = ["kafka.tools.StorageTool", "format", "-t", uuid4().hex[:22], "-c", str(self._config)]
        subprocess.run([*self._java(), *format_it], check=True, capture_output=True, cwd=self.folder)

    def command(self) -> list[str]:
        """The broker's main class."""
        return [*self._java(), "kafka.Kafka", str(self._config)]

    def ready(self) -> bool:
        """Whether it tells a client about itself."""
        try:
            return bool(self._admin().list_topics(timeout=2.0).brokers)
        except KafkaException:
            return False

    def topic(self, name: str, partitions: int = 1) -> str:
        """Makes a topic and returns its name."""
        admin = self._admin()  # held: its results die with it
        admin.create_topics([NewTopic(name, partitions, 1)])[name].result(30)
        return name

    def stop(self) -> None:
        """Its data are nobody's any more: at once."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.brokers, "log_level": 0})

    @staticmethod
    def _java() -> list[str]:
        home = java_home(KAFKA_JAVA)
        assert home is not None, "ask java_home() first"
        return [str(home / "bin" / "java"), "-Xmx256m", "-cp", f"{kafka_home()}{os.sep}*"]
