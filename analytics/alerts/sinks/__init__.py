"""Where messages go: one file a kind."""

from analytics.alerts.sinks.base import AlertSink, Message, SinkError
from analytics.alerts.sinks.make import make_sink

__all__ = ["AlertSink", "Message", "SinkError", "make_sink"]
