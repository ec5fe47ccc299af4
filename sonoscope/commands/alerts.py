"""`sonoscope alerts check | watch | test | silence`."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
from rich.table import Table

from analytics.alerts.check import Checker, Report
from analytics.alerts.ledger import NAME, Ledger
from analytics.alerts.schema import Alerts, AlertsError, read_alerts
from analytics.alerts.sinks import Message, SinkError, make_sink
from analytics.moments import moment
from analytics.requests import Joined, joined
from analytics.stores.base import Range
from analytics.stores.configured import RemoteStore
from analytics.stores.local import LocalStore
from serve.settings import Settings
from sonoscope.commands.common import fail, out, print_json, settings
from sonoscope.commands.record import rules_of
from sonoscope.commands.stores import store_of
from sonoscope.run import read_run
from telemetry.ids import uuid7

_STORE_FAILS = (duckdb.Error, OSError, ValueError, LookupError)
_log = logging.getLogger("sonoscope.alerts")


class StoreSource:
    """The configured store, as the checker reads it."""

    def __init__(self, store: LocalStore | RemoteStore, configured: Settings) -> None:
        self._store = store
        self._configured = configured
        self.events = store.events

    @contextlib.contextmanager
    def view(self, range: Range) -> Iterator[Joined]:
        """The joined requests of a range; where no service runs, nobody will end what has no end."""
        run = read_run(self._configured.data_dir)
        deadline_s = self._configured.deadline_s if run is not None and run.alive else None
        with joined(self._store, range, deadline_s=deadline_s) as view:
            yield view


def check(*, file: Path | None, dry_run: bool, data_dir: Path | None, as_json: bool) -> None:
    """One look: prints what was read and what fires, and sends what is due."""
    configured, config = _configuration(file, data_dir)
    with _checker(configured, config) as (checker, ledger):
        try:
            report = checker.look(deliver=not dry_run)
        except _STORE_FAILS as error:
            fail(f"the telemetry cannot be read: {error}", "`sonoscope doctor` says what is configured.")
        if as_json:
            print_json(_plain(report, ledger))
        else:
            _show(report, ledger)


def watch(*, file: Path | None, for_s: float | None, data_dir: Path | None) -> None:
    """Looks every `every` seconds until a signal; a store that is down is logged and asked again."""
    configured, config = _configuration(file, data_dir)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it would log whole addresses
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    os.nice(10)  # inference comes first wherever the two share a core
    end = None if for_s is None else time.monotonic() + for_s
    with _checker(configured, config) as (checker, _):
        while not stop.is_set() and (end is None or time.monotonic() < end):
            try:
                checker.look()
            except _STORE_FAILS as error:
                _log.error("the telemetry cannot be read: %s", error)
            stop.wait(config.every)


def test(*, file: Path | None, sink: str | None, data_dir: Path | None) -> None:
    """Sends a test message to every sink, or to one. Ends the command with 1 where one does not take it."""
    _, config = _configuration(file, data_dir)
    if sink is not None and sink not in config.sinks:
        fail(f"there is no sink {sink}", f"{', '.join(config.sinks)} are there.")
    failed = False
    for name in [sink] if sink else list(config.sinks):
        text = "This is a test of `sonoscope alerts test`. Nothing is wrong.\n"
        try:
            make_sink(config.sinks[name]).send(Message(f"{uuid7()}-{name}", "test", "test", "[Sonoscope] test message", text))
        except SinkError as error:
            failed = True
            out.print(f"[red]{name}[/red]: {error}", soft_wrap=True)
        else:
            out.print(f"[green]{name}[/green]: taken")
    if failed:
        fail("not every sink took the test message")


def silence(alert: str, *, for_: str, comment: str, end: bool, file: Path | None, data_dir: Path | None) -> None:
    """No messages of an alert (`*`: of any) for a while; or an end to that."""
    configured, config = _configuration(file, data_dir)
    if alert != "*" and alert not in {one.id for one in config.alerts}:
        fail(f"there is no alert {alert}", f"{', '.join(one.id for one in config.alerts)} are there, and * means all.")
    with contextlib.closing(Ledger(configured.data_dir / NAME)) as ledger:
        if end:
            ledger.speak(alert)
            out.print(f"{alert} speaks again.")
            return
        try:
            until = 2 * time.time() - moment(for_) / 1e9  # a span before now, mirrored
        except ValueError:
            fail(f"--for {for_}: write a length of time such as 30m, 2h or 1d")
        ledger.silence(alert, until, comment)
        out.print(f"{alert} is silent until {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(until))} UTC.")


def validated(configured: Settings) -> Alerts | None:
    """The alerts of the settings; None where no file is named. Ends the command where it is bad or a secret is missing."""
    return None if configured.alerts_file is None else _read(configured, configured.alerts_file)


def _configuration(file: Path | None, data_dir: Path | None) -> tuple[Settings, Alerts]:
    configured = settings(data_dir=data_dir, alerts_file=file)
    if configured.alerts_file is None:
        fail("no file of alerts is named", "Write one (docs/alerts.md) and set SONOSCOPE_ALERTS_FILE, or give --file.")
    return configured, _read(configured, configured.alerts_file)


def _read(configured: Settings, path: Path) -> Alerts:
    try:
        config = read_alerts(path)
        for name, sink in config.sinks.items():
            for secret in (getattr(sink, "password", None), getattr(sink, "secret", None)):
                try:
                    if secret is not None:
                        secret.read()
                except AlertsError as error:
                    raise AlertsError(f"{path}: sinks.{name}: {error}") from None
    except (OSError, AlertsError) as error:
        fail(f"alerts_file: {error}", "docs/alerts.md says what an alert consists of.")
    known = {rule.id for rule in rules_of(configured) if rule.over == "requests"}
    for alert in config.alerts:
        if alert.rule is not None and alert.rule not in known:
            fail(
                f"alerts_file: alert {alert.id}: there is no rule {alert.rule} over requests",
                f"{', '.join(sorted(known))} are there.",
            )
    return config


@contextlib.contextmanager
def _checker(configured: Settings, config: Alerts) -> Iterator[tuple[Checker, Ledger]]:
    configured.prepare()
    source = StoreSource(store_of(configured), configured)
    sinks = {name: make_sink(sink) for name, sink in config.sinks.items()}
    run = read_run(configured.data_dir)
    console = run.console_url if run is not None and run.alive else None
    with contextlib.closing(Ledger(configured.data_dir / NAME)) as ledger:
        yield Checker(config, rules_of(configured), source, ledger, sinks, console), ledger


def _plain(report: Report, ledger: Ledger) -> dict[str, Any]:
    known = ledger.known().values()
    return {
        "seen": [
            {"alert": one.alert.id, "key": one.key, "value": one.reading.value, "rows": one.reading.rows} for one in report.seen
        ],
        "firing": [
            {"alert": one.alert, "key": one.key, "since": one.since, "value": one.value} for one in known if one.state == "firing"
        ],
        "fired": [[one.alert, one.key] for one in report.fired],
        "resolved": [[one.alert, one.key] for one in report.resolved],
        "sent": report.sent, "undelivered": ledger.undelivered(), "silences": ledger.silences(time.time()),
    }  # fmt: skip


def _show(report: Report, ledger: Ledger) -> None:
    known = ledger.known()
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("alert", "of", "value", "state", "since"):
        table.add_column(name)
    shown = {(one.alert.id, one.key): one.reading.value for one in report.seen}
    for alert, key in dict.fromkeys([*shown, *known]):
        one, value = known.get((alert, key)), shown.get((alert, key))
        since = "" if one is None else time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(one.since))
        state = "[green]ok[/green]" if one is None else f"[red]{one.state}[/red]"
        table.add_row(alert, key or "all", "too few" if value is None else f"{value:.4g}", state, since)
    out.print(table)
    for one in ledger.silences(time.time()):
        out.print(f"[dim]{one['alert']} is silent until {time.strftime('%H:%M:%S', time.gmtime(one['until']))} UTC[/dim]")
    out.print(f"{report.sent} messages sent, {report.waiting} waiting")
    for one in ledger.undelivered():
        if one["last_error"]:
            out.print(f"[yellow]not delivered[/yellow] after {one['attempts']} attempts: {one['last_error']}", soft_wrap=True)
