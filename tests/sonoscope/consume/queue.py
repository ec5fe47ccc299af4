"""The three topics of one test, a consumer process on them, and what stands in them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

from telemetry.ids import new_traceparent
from tests.servers.kafka import Kafka


@dataclass
class Queue:
    """One group with its topics."""

    kafka: Kafka
    data_dir: Path
    name: str = field(default_factory=lambda: f"t{uuid4().hex[:10]}")
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for topic, partitions in (("requests", 2), ("results", 2), ("dead", 1)):
            self.kafka.topic(f"{self.name}-{topic}", partitions)

    def put(self, value: Any, *, key: str | None = None, **headers: str) -> str:
        """Sends a request; returns its `traceparent`, that of the producer's span."""
        sent = {"traceparent": new_traceparent(), **{name.replace("_", "-"): text for name, text in headers.items()}}
        producer = Producer({"bootstrap.servers": self.kafka.brokers, "enable.idempotence": True, "log_level": 0})
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        producer.produce(f"{self.name}-requests", key=key, value=body, headers=list(sent.items()))
        assert producer.flush(60) == 0
        return sent["traceparent"]

    def consume(self, url: str, *arguments: str, **env: str) -> subprocess.Popen[str]:
        """Starts `sonoscope consume` in a process of its own."""
        named = {"BROKERS": self.kafka.brokers, "GROUP": self.name, "REQUESTS": f"{self.name}-requests"}
        named |= {"RESULTS": f"{self.name}-results", "DEAD_LETTERS": f"{self.name}-dead", **env}
        environment = {**os.environ, **{f"SONOSCOPE_KAFKA__{name}": value for name, value in named.items()}}
        environment |= {"SONOSCOPE_CONFIG": str(self.data_dir / "none.toml")}
        command = [sys.executable, "-m", "sonoscope", "consume", "--url", url, "--data-dir", str(self.data_dir), *arguments]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.processes.append(process)
        return process

    def drained(self, url: str, **env: str) -> str:
        """Consumes until nothing is left; what the command said."""
        process = self.consume(url, "--once", **env)
        said, _ = process.communicate(timeout=120)
        assert process.returncode == 0, said
        return said

    def results(self) -> list[Message]:
        """Every committed result."""
        return self._all(f"{self.name}-results")

    def dead(self) -> list[Message]:
        """Every committed dead letter."""
        return self._all(f"{self.name}-dead")

    def close(self) -> None:
        """Ends the consumers that are left."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.communicate()

    def _all(self, topic: str) -> list[Message]:
        reading = {"bootstrap.servers": self.kafka.brokers, "group.id": uuid4().hex, "isolation.level": "read_committed"}
        consumer = Consumer({**reading, "enable.partition.eof": True, "enable.auto.commit": False, "log_level": 0})
        partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
        consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
        found: list[Message] = []
        ended: set[int | None] = set()
        while len(ended) < len(partitions):
            message = consumer.poll(30)
            assert message is not None, f"{topic} does not answer"
            error = message.error()
            if error is None:
                found.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                ended.add(message.partition())
        consumer.close()
        return found


def header(message: Message, name: str) -> str | None:
    """A header as text."""
    found = [value for key, value in message.headers() or () if key == name]
    assert len(found) <= 1, found
    return bytes(found[0]).decode() if found else None


def body(message: Message) -> dict[str, Any]:
    """The value of a result."""
    value = message.value()
    assert value is not None
    return json.loads(value)
