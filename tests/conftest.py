"""Real servers, each once a session; a test that wants one which is not there is skipped, and says why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.servers.collector import Collector
from tests.servers.elasticsearch import DEFAULT, Elasticsearch
from tests.servers.faulty import Faulty
from tests.servers.fetch import ELASTICSEARCH, KAFKA_JAVA, collector_binary, elasticsearch_home, java_home, kafka_home
from tests.servers.postgres import Postgres, postgres_bin

if TYPE_CHECKING:
    from tests.servers.kafka import Kafka


@pytest.hookimpl(tryfirst=True)  # the groups are read at the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What shares a server runs in one process, the rest file by file: `make test` has two processes, and of each server one.

    Files that start a service of their own are no part of the group of the shared one: the other process may take them.
    """
    for item in items:
        given: tuple[str, ...] = getattr(item, "fixturenames", ())
        if "mail_server" in given:  # as only the shared service does
            group = "service"
        elif (
            (item.get_closest_marker("server") and not item.get_closest_marker("service"))
            or "elasticsearch" in given
            or "postgres" in given
            or "kafka" in given
        ):
            group = "servers"
        else:
            group = item.nodeid.split("::")[0]
        item.add_marker(pytest.mark.xdist_group(group))


def want_elasticsearch(version: str = DEFAULT) -> None:
    """Skips the test where this version cannot be started."""
    if not elasticsearch_home(version).exists():
        pytest.skip(f"Elasticsearch {version} is not fetched: make servers")
    if java_home(ELASTICSEARCH[version]) is None:
        pytest.skip(f"Elasticsearch {version} wants Java {ELASTICSEARCH[version]} or newer")


@pytest.fixture(scope="session")
def elasticsearch() -> Iterator[Elasticsearch]:
    """One that no test may break."""
    want_elasticsearch()
    server = Elasticsearch()
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One that no test may break."""
    if postgres_bin() is None:
        pytest.skip("PostgreSQL is not installed: make packages")
    server = Postgres()
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def kafka() -> Iterator[Kafka]:
    """A Kafka; a test may kill it, and starts it again. Topics are a test's own."""
    if not kafka_home().exists():
        pytest.skip("Kafka is not fetched: make servers")
    if java_home(KAFKA_JAVA) is None:
        pytest.skip(f"Kafka wants Java {KAFKA_JAVA} or newer")
    pytest.importorskip("confluent_kafka", reason="the extra `kafka` brings confluent-kafka")
    from tests.servers.kafka import Kafka

    server = Kafka()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def index() -> str:
    """A name of this test's own for its indices."""
    return f"t{uuid4().hex[:12]}"


@pytest.fixture
def collector() -> Iterator[Collector]:
    """An OpenTelemetry Collector."""
    if not collector_binary().exists():
        pytest.skip("the OpenTelemetry Collector is not built: make servers")
    server = Collector()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def faulty() -> Iterator[Faulty]:
    """A receiver that misbehaves as it is told."""
    server = Faulty()
    server.start()
    yield server
    server.stop()
