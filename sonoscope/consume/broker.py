"""Kafka as the consumer needs it: requests one by one, and transactions that say in Kafka itself how far the consumer is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from serve.kafka import KafkaSettings
from sonoscope.consume.ledger import Due
from sonoscope.consume.messages import KEY_HEADER, Received
from sonoscope.consume.spans import result_traceparent
from telemetry.errors import RequestError

_log = logging.getLogger("sonoscope.consume")
WAIT_S = 30.0
"""A call that waits longer for the brokers has failed, and is made again."""
_ROOM_BYTES = 1 << 20


class Fenced(Exception):
    """Another consumer of the same group has begun; this one must end."""


class Broker:
    """One consumer and one transactional producer. Methods raise KafkaException where the brokers do not do it, Fenced.

    `ledger_id`: marks in Kafka how far this ledger's results are.
    """

    def __init__(self, settings: KafkaSettings, ledger_id: str):
        self._settings = settings
        self._ledger_id = ledger_id
        self._common: dict[str, Any] = {name: value.get_secret_value() for name, value in settings.client.items()}
        self._common |= {"bootstrap.servers": settings.brokers, "error_cb": lambda error: _log.warning("kafka: %s", error.str())}
        reading = {
            "group.id": settings.group, "group.instance.id": "sonoscope",  # back at once after a kill; and only one at a time
            "enable.auto.commit": False, "auto.offset.reset": "earliest", "isolation.level": "read_committed",
            "enable.partition.eof": True,
        }  # fmt: skip
        self._consumer = Consumer({**self._common, **reading})
        # Never subscribed: its group only holds the number of the next result.
        counting = {"group.id": f"{settings.group}.results", "enable.auto.commit": False, "isolation.level": "read_committed"}
        self._progress = Consumer({**self._common, **counting})
        self._producer: Producer | None = None
        self._at_end: set[int] = set()
        self._paused = False

    def close(self) -> None:
        """Leaves the brokers."""
        self._consumer.close()
        self._progress.close()

    def missing_topics(self) -> list[str]:
        """Those of the three topics that are not there."""
        known = self._consumer.list_topics(timeout=WAIT_S).topics
        return [
            name for name in (self._settings.requests, self._settings.results, self._settings.dead_letters) if name not in known
        ]

    def subscribe(self) -> None:
        """From now on `poll` gives requests."""
        self._consumer.subscribe([self._settings.requests])

    @property
    def at_end(self) -> bool:
        """Whether every message so far of the assigned partitions was given."""
        assigned = {one.partition for one in self._consumer.assignment()}
        return bool(assigned) and assigned <= self._at_end

    @property
    def ready(self) -> bool:
        """Whether a producer is there; else `recover` first."""
        return self._producer is not None

    def recover(self) -> int:
        """Takes over from whoever produced before, and ends what it left half done. Returns the number of the next result:
        all below it are in Kafka, none from there on is; 0 where this ledger has said nothing."""
        producer = Producer(
            {
                **self._common, "transactional.id": f"sonoscope.{self._settings.group}",
                "message.max.bytes": self._settings.max_message_bytes + _ROOM_BYTES,
            }
        )  # fmt: skip
        producer.init_transactions(WAIT_S)
        found = self._progress.committed([TopicPartition(self._settings.results, 0)], timeout=WAIT_S)[0]
        if found.error is not None:
            raise KafkaException(found.error)
        self._producer = producer
        return found.offset if found.metadata == self._ledger_id and found.offset > 0 else 0

    def poll(self, timeout_s: float, *, wanted: bool) -> Received | None:
        """The next request; where none is `wanted`, only says to Kafka that we live (one that was under way may still come)."""
        if self._paused == wanted and (assigned := self._consumer.assignment()):
            (self._consumer.resume if wanted else self._consumer.pause)(assigned)
            self._paused = not wanted
        message = self._consumer.poll(timeout_s)
        if message is None:
            return None
        if (error := message.error()) is None:
            self._at_end.discard(_whole(message.partition()))
            return received(message)
        if error.code() == KafkaError._PARTITION_EOF:
            self._at_end.add(_whole(message.partition()))
            return None
        if _relieved(error):
            raise Fenced(error.str())
        _log.warning("kafka: %s", error.str())
        return None

    def commit(self, message: Received) -> None:
        """This request, and all before it in its partition, need not be given again."""
        try:
            self._consumer.commit(offsets=[_after(message)], asynchronous=False)
        except KafkaException as error:
            if _relieved(error.args[0]):
                raise Fenced(error.args[0].str()) from error
            raise

    def committed(self, message: Received) -> bool:
        """Whether that is so already."""
        found = self._consumer.committed([TopicPartition(message.topic, message.partition)], timeout=WAIT_S)[0]
        if found.error is not None:
            raise KafkaException(found.error)
        return found.offset > message.offset

    def bury(self, message: Received, error: RequestError) -> None:
        """A dead letter with the reason, and the request's offset: both or neither."""
        reason = {"error-type": error.type, "error-message": error.message, "error-field": error.field, "error-hint": error.hint}
        where = {"topic": message.topic, "partition": str(message.partition), "offset": str(message.offset)}
        ours = {f"sonoscope-{name}": text for name, text in {**reason, **where}.items() if text is not None}
        ours |= {"traceparent": message.traceparent, KEY_HEADER: message.idempotency_key}
        kept = [(name, value) for name, value in message.headers if name.lower() not in ours]
        value = message.value if len(message.value) <= self._settings.max_message_bytes else None
        if value is None:
            ours["sonoscope-value-bytes"] = str(len(message.value))

        def fill(producer: Producer) -> None:
            headers = [*kept, *((name, text.encode()) for name, text in ours.items())]
            producer.produce(self._settings.dead_letters, key=message.key, value=value, headers=headers)
            producer.send_offsets_to_transaction([_after(message)], self._consumer.consumer_group_metadata(), WAIT_S)

        self._transaction(fill)

    def send(self, results: Sequence[Due]) -> None:
        """Results, in the order of their numbers, and how far they are: all or nothing."""

        def fill(producer: Producer) -> None:
            for due in results:
                headers: dict[str, str | bytes | None] = {
                    "traceparent": result_traceparent(due.owed), KEY_HEADER: due.owed.key, "content-type": "application/json",
                    "sonoscope-state": due.state, "sonoscope-job-id": due.owed.job_id,
                }  # fmt: skip
                key = due.owed.key.encode() if due.owed.message_key is None else due.owed.message_key
                producer.produce(self._settings.results, key=key, value=due.body, headers=headers)
            said = TopicPartition(self._settings.results, 0, results[-1].number + 1, metadata=self._ledger_id)
            producer.send_offsets_to_transaction([said], self._progress.consumer_group_metadata(), WAIT_S)

        self._transaction(fill)

    def _transaction(self, fill: Callable[[Producer], None]) -> None:
        """Whatever goes wrong, the producer is given up: the next one ends what this one left, and `recover` says how it ended.

        Also where a rival's producer has fenced this one: a rival has fenced the consumer, too, and `poll` says so.
        """
        producer, self._producer = self._producer, None
        assert producer is not None, "recover() first"
        producer.begin_transaction()
        fill(producer)
        producer.commit_transaction(WAIT_S)
        self._producer = producer


def received(message: Message) -> Received:
    """A message of the client library as ours."""
    headers = [(name, value.encode() if isinstance(value, str) else value) for name, value in message.headers() or ()]
    key, value = message.key(), message.value()
    return Received(
        topic=message.topic() or "", partition=_whole(message.partition()), offset=_whole(message.offset()),
        timestamp_ms=message.timestamp()[1], key=key.encode() if isinstance(key, str) else key,
        value=value.encode() if isinstance(value, str) else value or b"", headers=headers,
    )  # fmt: skip


def _after(message: Received) -> TopicPartition:
    return TopicPartition(message.topic, message.partition, message.offset + 1)


def _whole(number: int | None) -> int:
    assert number is not None  # None only for messages that were never in Kafka
    return number


def _relieved(error: KafkaError) -> bool:
    """Whether a consumer cannot go on because another one has its place; the library says so in three ways."""
    return error.fatal() or error.code() in (KafkaError._FATAL, KafkaError.FENCED_INSTANCE_ID)
