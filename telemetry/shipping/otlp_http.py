"""Spans to an OTLP receiver over HTTP, as the JSON that the journal holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import httpx
import orjson

from telemetry.shipping.connect import client
from telemetry.shipping.outcome import Delivery, failed, whole
from telemetry.shipping.tail import Line

_BEGIN, _END = b'{"resourceSpans":[', b"]}"


class OtlpSink:
    """One receiver; `url` is the whole address, such as http://host:4318/v1/traces."""

    def __init__(self, url: str, *, headers: Mapping[str, str] | None = None, ca_file: str | None = None, timeout_s: float = 10.0):
        self.address = url
        self._client = client(ca_file=ca_file, timeout_s=timeout_s)
        self._headers = {"content-type": "application/json", **(headers or {})}

    def deliver(self, batch: Sequence[Line]) -> Delivery:
        """One request with all the spans."""
        try:
            response = self._client.post(self.address, content=body(batch), headers=self._headers)
        except httpx.TransportError as error:
            return failed(batch, error)
        if not response.is_success:
            return whole(batch, response)
        delivery = Delivery(delivered=list(batch))
        rejected, message = _rejected(response)
        if rejected:
            # The protocol forbids to send them again, and does not say which ones they are.
            delivery.counts["rejected"] = rejected
            delivery.error = f"the receiver rejected {rejected} of {len(batch)} spans: {message or 'no reason given'}"
        return delivery

    def close(self) -> None:
        """Lets connections go."""
        self._client.close()


def body(batch: Sequence[Line]) -> bytes:
    """One OTLP/JSON request of many lines, each of which is one itself."""
    return _BEGIN + b",".join(_groups(line.data) for line in batch) + _END


def _groups(data: bytes) -> bytes:
    """What stands inside the outer list; a line of another program may hold blanks between its tokens."""
    if data.startswith(_BEGIN) and data.endswith(_END):
        return data[len(_BEGIN) : -len(_END)]
    return orjson.dumps(orjson.loads(data)["resourceSpans"])[1:-1]


def _rejected(response: httpx.Response) -> tuple[int, str]:
    try:
        partial = (orjson.loads(response.content) or {}).get("partialSuccess") or {}
        return int(partial.get("rejectedSpans", 0)), str(partial.get("errorMessage", ""))
    except (orjson.JSONDecodeError, AttributeError, TypeError, ValueError):  # some receivers answer protobuf, or nothing
        return 0, ""
