"""The sink that a part of alerts.yaml describes."""

from __future__ import annotations

from analytics.alerts.schema import EmailSink, Sink, WebhookSink
from analytics.alerts.sinks.base import AlertSink
from analytics.alerts.sinks.email import Email
from analytics.alerts.sinks.log import Log
from analytics.alerts.sinks.webhook import Webhook


def make_sink(config: Sink) -> AlertSink:
    """The sink of a configuration; nothing is sent or read yet."""
    if isinstance(config, EmailSink):
        return Email(config)
    return Webhook(config) if isinstance(config, WebhookSink) else Log(config)
