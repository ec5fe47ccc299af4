"""JSON by POST, signed: whoever knows the secret can tell that it is from us, and when it was sent."""

from __future__ import annotations

import hashlib
import hmac
import ssl
import time

import httpx
import orjson

from analytics.alerts.schema import AlertsError, WebhookSink
from analytics.alerts.sinks.base import Message, SinkError

SIGNATURE = "X-Sonoscope-Signature"
"""`sha256=` and the HMAC-SHA256 of `<timestamp>.<body>` in hexadecimal digits."""
TIMESTAMP = "X-Sonoscope-Timestamp"
DELIVERY = "X-Sonoscope-Delivery"
"""The message's id: the same when it is sent again."""


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """What stands in the header SIGNATURE; a receiver compares it in constant time and refuses old timestamps."""
    return "sha256=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


class Webhook:
    """One POST a message; anything but 2xx is a refusal."""

    def __init__(self, config: WebhookSink) -> None:
        self._config = config

    def send(self, message: Message) -> None:
        """Raises SinkError."""
        body, now = orjson.dumps(message.as_dict()), str(int(time.time()))
        headers = {"Content-Type": "application/json", DELIVERY: message.id, TIMESTAMP: now}
        host = httpx.URL(self._config.url).host  # an address may hold a token: it is never repeated
        try:
            if self._config.secret is not None:
                headers[SIGNATURE] = signature(self._config.secret.read(), now, body)
            verify = ssl.create_default_context(cafile=self._config.ca_file)
            answer = httpx.post(self._config.url, content=body, headers=headers, timeout=self._config.timeout_s, verify=verify)
        except (httpx.HTTPError, OSError, AlertsError) as error:
            raise SinkError(f"webhook at {host}: {type(error).__name__}: {error}") from None
        if not answer.is_success:
            raise SinkError(f"webhook at {host} answered {answer.status_code}")
