"""A line in the log, and JSON lines in a file where one is named."""

from __future__ import annotations

import logging

import orjson

from analytics.alerts.schema import LogSink
from analytics.alerts.sinks.base import Message, SinkError

_log = logging.getLogger("sonoscope.alerts")


class Log:
    """Warning for what fires, info for the rest."""

    def __init__(self, config: LogSink) -> None:
        self._path = config.path

    def send(self, message: Message) -> None:
        """Raises SinkError."""
        if self._path is not None:
            try:
                with self._path.open("ab") as file:
                    file.write(orjson.dumps(message.as_dict()) + b"\n")
            except OSError as error:
                raise SinkError(f"log {self._path}: {error.strerror}") from None
        _log.log(logging.WARNING if message.kind == "firing" else logging.INFO, "%s: %s", message.kind, message.title)
