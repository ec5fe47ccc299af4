"""One look at the alerts: read, decide, put messages out, deliver."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Protocol

from analytics.alerts.conditions import Reading
from analytics.alerts.ledger import Known, Ledger
from analytics.alerts.message import Writer
from analytics.alerts.schema import Alert, Alerts
from analytics.alerts.sinks import AlertSink, Message, SinkError
from analytics.alerts.step import Event, step
from analytics.alerts.watchers import Incident, incidents, look_back_s
from analytics.requests import Joined
from analytics.rules.schema import Rule
from analytics.stores.base import Range
from telemetry.ids import uuid7

_log = logging.getLogger("sonoscope.alerts")


class Source(Protocol):
    """Where requests are read."""

    def view(self, range: Range) -> AbstractContextManager[Joined]:
        """The joined requests of a range."""
        ...

    def events(self, request_id: str) -> list[dict[str, Any]]:
        """The events of a request."""
        ...


@dataclass(frozen=True)
class Report:
    """What one look saw: every reading, and what it changed. `sent` and `waiting` count messages."""

    seen: tuple[Incident, ...]
    fired: tuple[Known, ...]
    resolved: tuple[Known, ...]
    sent: int = 0
    waiting: int = 0


class Checker:
    """Looks at the alerts of one file again and again; all memory is in the ledger."""

    def __init__(
        self, config: Alerts, rules: Sequence[Rule], source: Source, ledger: Ledger, sinks: Mapping[str, AlertSink],
        console_url: str | None = None,
    ) -> None:  # fmt: skip
        self._config = config
        self._rules = rules
        self._source = source
        self._ledger = ledger
        self._sinks = sinks
        self._console = config.console_url or console_url

    def look(self, now: float | None = None, *, deliver: bool = True) -> Report:
        """One look. `now`: s since 1970. Raises what the store raises, and KeyError for a rule that is not there."""
        at = time.time() if now is None else now
        since = int((at - look_back_s(self._config.alerts)) * 1e9)
        with self._source.view(Range(since, None)) as view:
            seen = [one for alert in self._config.alerts for one in incidents(view, alert, self._rules, at)]
            writer = Writer(view, self._source, self._rules, language=self._config.language, console_url=self._console)
            with self._ledger.transaction():
                fired, resolved = self._decide(seen, writer, at)
                self._ledger.prune(at)
        sent = self.deliver(at) if deliver else 0
        return Report(tuple(seen), tuple(fired), tuple(resolved), sent, len(self._ledger.undelivered()))

    def deliver(self, now: float | None = None) -> int:
        """Sends what is due and returns how many messages were taken; the rest is tried again later."""
        sent, at = 0, time.time() if now is None else now
        by_sink: dict[str, list[Any]] = defaultdict(list)
        for one in self._ledger.claim(at):
            by_sink[one.sink].append(one)
        for name, waiting in by_sink.items():
            for place, one in enumerate(waiting):
                try:
                    if name not in self._sinks:
                        raise SinkError(f"there is no sink {name} any more")
                    self._sinks[name].send(Message(**one.message))
                except SinkError as error:
                    _log.error("alert not delivered to %s: %s", name, error)
                    self._ledger.refused([each.id for each in waiting[place:]], one.attempts, str(error), at)
                    break
                self._ledger.delivered(one.id, at)
                sent += 1
        return sent

    def _decide(self, seen: Sequence[Incident], writer: Writer, now: float) -> tuple[list[Known], list[Known]]:
        known, by_id = self._ledger.known(), {alert.id: alert for alert in self._config.alerts}
        there = {(one.alert.id, one.key) for one in seen}
        vanished = [
            Incident(by_id[alert], key, Reading(by_id[alert].condition.empty(), 0))
            for alert, key in known if (alert, key) not in there and alert in by_id
        ]  # fmt: skip
        for one in known.values():
            if one.alert not in by_id:
                self._ledger.drop(one)
        happened: dict[str, list[tuple[Known, Event | None]]] = defaultdict(list)
        for one in (*seen, *vanished):
            after, event = step(known.get((one.alert.id, one.key)), one, now)
            if after is not None:
                happened[one.alert.id].append((after, event))
            elif (before := known.get((one.alert.id, one.key))) is not None:
                self._ledger.drop(before)
        for id, changes in happened.items():
            self._tell(by_id[id], changes, writer, now)
        every = [change for changes in happened.values() for change in changes]
        return [one for one, event in every if event == "fired"], [one for one, event in every if event == "resolved"]

    def _tell(self, alert: Alert, changes: list[tuple[Known, Event | None]], writer: Writer, now: float) -> None:
        """Keeps what an alert's incidents have become; one message about all that begins to be told, one about what is over."""
        silent = any(one["alert"] in ("*", alert.id) for one in self._ledger.silences(now))
        told: dict[str, list[Known]] = {"firing": [], "reminder": [], "resolved": []}
        for one, event in changes:
            if event is not None:
                self._ledger.note(one, event, now)
            kind = None if silent else _kind(alert, one, event, now)
            if kind is not None:
                told[kind].append(one)
            if event == "resolved":
                self._ledger.drop(one)
            else:
                self._ledger.keep(replace(one, told=now) if kind is not None else one)
        for kind, about in told.items():
            if about:
                id = uuid7()
                message = writer.write(id, kind, alert, about, now)
                for sink in alert.sinks:
                    self._ledger.put(f"{id}-{sink}", sink, replace(message, id=f"{id}-{sink}").as_dict(), now)


def _kind(alert: Alert, one: Known, event: Event | None, now: float) -> str | None:
    """What is to be said of an incident now; nothing of one that nobody was told of and that is over."""
    if event == "resolved":
        return None if one.told is None else "resolved"
    if one.state != "firing":
        return None
    if one.told is None:
        return "firing"
    return "reminder" if alert.repeat_every is not None and now - one.told >= alert.repeat_every else None
