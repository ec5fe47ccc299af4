"""`sonoscope forward`: ships the journal to the servers that are configured; `up` runs it as a child."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from pydantic import SecretStr

from serve.settings import Settings
from sonoscope.commands.common import err, fail, out, print_json, settings
from telemetry.forward import Forwarder, ForwarderBusy, Forwarding, Otlp
from telemetry.shipping.connect import Elastic
from telemetry.shipping.worker import Limits

_log = logging.getLogger("sonoscope.forward")


def forward(*, once: bool, for_s: float | None, data_dir: Path | None, as_json: bool) -> None:
    """Ships until it is told to stop; with `once` until everything is delivered. Ends with 1 where something is left."""
    configured = settings(data_dir=data_dir)
    config = forwarding(configured)
    if not config.kinds:
        fail("no address to forward to", "Set OTEL_EXPORTER_OTLP_ENDPOINT (or TEMPO_URL) for spans, ELASTICSEARCH_URL for events.")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    # Inference comes first wherever the two share a core.
    os.nice(10)
    try:
        status = Forwarder(config, stop, drain=once).run(for_s=for_s)
    except ForwarderBusy as error:
        fail(str(error), "`sonoscope up` runs one already; `sonoscope doctor` says how far it is.")
    except OSError as error:
        fail(f"the forwarder cannot start: {error}", "Check the CA files and the data folder.")
    if once:
        _report(status, as_json)


def forwarding(configured: Settings) -> Forwarding:
    """What the settings say about shipping. Ends the command where the headers are none."""
    url, elastic = configured.traces_url, None
    if configured.elasticsearch_url:
        elastic = Elastic(
            configured.elasticsearch_url,
            username=configured.elasticsearch_username,
            password=_clear(configured.elasticsearch_password),
            api_key=_clear(configured.elasticsearch_api_key),
            ca_file=_path(configured.elasticsearch_ca_file),
            index=configured.elasticsearch_index,
            keep_days=configured.elasticsearch_keep_days,
        )
    return Forwarding(
        configured.data_dir,
        otlp=Otlp(url, headers(configured.otlp_headers), _path(configured.otlp_ca_file)) if url else None,
        elastic=elastic,
        sampling_share=configured.forward_sampling_share,
        hold_s=configured.forward_hold_s,
        hold_bytes=configured.forward_hold_bytes,
        running=_running(configured.jobs_url) if configured.jobs_database_url else None,
        max_backlog_bytes=configured.forward_max_backlog_bytes,
        limits=Limits(backoff_s=configured.forward_backoff_s),
    )


def _running(jobs_url: str) -> Callable[[], set[str] | None]:
    """Asks the table that all machines share; connects when first asked, and says so once where it does not answer."""
    from sqlalchemy.exc import SQLAlchemyError  # one machine's forwarder does without a database

    from serve.jobs import JobTable

    table: JobTable | None = None
    silent = False

    def ask() -> set[str] | None:
        nonlocal table, silent
        try:
            table = table or JobTable(jobs_url)
            found, silent = table.running_traces(), False
        except SQLAlchemyError as error:
            if not silent:
                _log.warning("jobs_database_url does not answer; spans wait for forward_hold_s: %s", type(error).__name__)
            silent = True
            return None
        return found

    return ask


def headers(given: SecretStr | None) -> dict[str, str]:
    """`name=value,name=value`, URL-encoded, as OTEL_EXPORTER_OTLP_HEADERS has them. Ends the command where they are not."""
    found: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in (_clear(given) or "").split(","))):
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            fail("OTEL_EXPORTER_OTLP_HEADERS: a part has no name or no =", "Write name=value,name=value with URL-encoded values.")
        found[unquote(name.strip())] = unquote(value.strip())
    return found


def _report(status: dict[str, Any], as_json: bool) -> None:
    left = sum(kind["lag_bytes"] for kind in status["kinds"].values())
    if as_json:
        print_json(status)
    else:
        for name, kind in status["kinds"].items():
            out.print(f"{name}: {kind['delivered']} delivered, {kind['set_aside']} set aside, {kind['lag_bytes']} bytes left")
    if left:
        errors = [f"{name}: {kind['last_error']}" for name, kind in status["kinds"].items() if kind["last_error"]]
        err.print("\n".join(errors), soft_wrap=True)
        fail(f"{left} bytes are not delivered", "They stay in the journal; the next run goes on from there.")


def _clear(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None


def _path(path: Path | None) -> str | None:
    return str(path) if path else None
