"""`sonoscope consume`."""

from __future__ import annotations

import contextlib
import logging
import signal
import time
from pathlib import Path

from serve.kafka import KafkaSettings
from sonoscope.client import Client
from sonoscope.commands.common import fail, out, service_url, settings
from sonoscope.consume.ledger import InUse, Ledger
from telemetry.tracing import Telemetry, setup


def consume(*, once: bool, url: str | None, data_dir: Path | None) -> None:
    """Works until a signal or, with `once`, until nothing is left. Ends with 1 where it cannot begin or is relieved."""
    configured = settings(data_dir=data_dir)
    if configured.kafka is None:
        fail("no brokers are configured", "Set SONOSCOPE_KAFKA__BROKERS=host:port; docs/kafka.md lists the topics it needs.")
    try:
        import confluent_kafka  # noqa: F401
    except ImportError:
        fail("confluent-kafka is not installed", "pip install 'sonoscope[kafka]'")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it would log every look at the jobs
    configured.prepare()
    address = service_url(url, configured.data_dir)
    telemetry = setup(
        "sonoscope-consume", configured.data_dir, environment=configured.environment, version=configured.service_version
    )
    try:
        ledger = Ledger(configured.data_dir)
    except InUse:
        fail(f"another consumer works in {configured.data_dir}", "One is enough: end it, or use another group and --data-dir.")
    with contextlib.closing(ledger), Client(address, retries=0) as client:
        ledger.forget(time.time() - configured.results_keep_s)
        counts = _work(configured.kafka, client, ledger, telemetry, once=once)
    telemetry.shutdown()
    out.print(f"{counts['accepted']} accepted, {counts['dead_letters']} dead letters, {counts['results']} results")


def _work(chosen: KafkaSettings, client: Client, ledger: Ledger, telemetry: Telemetry, *, once: bool) -> dict[str, int]:
    from confluent_kafka import KafkaException

    from sonoscope.consume.broker import Broker, Fenced
    from sonoscope.consume.run import Loop

    try:
        broker = Broker(chosen, ledger.id)
    except KafkaException as error:
        fail(f"kafka: {error.args[0].str()}", "Look at the properties in SONOSCOPE_KAFKA__CLIENT.")
    with contextlib.closing(broker):
        loop = Loop(chosen, client, ledger, telemetry, broker)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: loop.stop.set())
        while not loop.stop.is_set():
            try:
                missing = broker.missing_topics()
                break
            except KafkaException as error:
                logging.getLogger("sonoscope.consume").warning("waiting for %s: %s", chosen.brokers, error.args[0].str())
        else:
            return loop.counts
        if missing:
            fail(f"topics are missing: {', '.join(missing)}", "Make them, or name others with SONOSCOPE_KAFKA__REQUESTS and so on.")
        broker.subscribe()
        logging.getLogger("sonoscope.consume").info("%s -> %s -> %s", chosen.requests, client.url, chosen.results)
        try:
            loop.run(once=once)
        except Fenced as error:
            fail(f"another consumer of the group {chosen.group} has begun: {error}", "One at a time; the newer one stays.")
    return loop.counts
