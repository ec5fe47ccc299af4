"""Events to Elasticsearch by its bulk API: created under their own ids, every item of the answer looked at."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any

import httpx
import orjson

from telemetry.shipping.connect import Elastic
from telemetry.shipping.outcome import Delivery, failed, whole
from telemetry.shipping.tail import Line
from telemetry.shipping.template import Template

_URL = "/_bulk?filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason,items.*.error.caused_by.reason"
_DAY = re.compile(r"(\d{4})-(\d\d)-(\d\d)T")
_THERE = (200, 201, 409)
"""409: the document with this id was there already; an earlier attempt got through, and its answer did not."""
_CONTENT = (400, 413)


class BulkSink:
    """One cluster. The index template is installed before the first document."""

    def __init__(self, elastic: Elastic) -> None:
        self.address = elastic.url
        self._index = elastic.index
        self._client = elastic.client()
        self._template = Template(self._client, elastic.index, elastic.keep_days)

    def deliver(self, batch: Sequence[Line]) -> Delivery:
        """One bulk request."""
        try:
            if error := self._template.ensure():
                return Delivery(later=list(batch), error=error)
            sent, parts, refused = self._prepare(batch)
            if not sent:
                return Delivery(refused=refused)
            response = self._client.post(_URL, content=b"".join(parts), headers={"content-type": "application/x-ndjson"})
            delivery = _items(sent, orjson.loads(response.content)) if response.is_success else whole(sent, response)
        except httpx.TransportError as error:
            return failed(batch, error)
        except orjson.JSONDecodeError:
            return Delivery(later=list(batch), error="the answer is not JSON: is this the address of Elasticsearch?")
        delivery.refused += refused
        return delivery

    def close(self) -> None:
        """Lets connections go."""
        self._client.close()

    def _prepare(self, batch: Sequence[Line]) -> tuple[list[Line], list[bytes], list[tuple[Line, str]]]:
        """The lines that can be sent, the parts of the body, and what no index would take."""
        sent: list[Line] = []
        parts: list[bytes] = []
        refused: list[tuple[Line, str]] = []
        for line in batch:
            try:
                event = orjson.loads(line.data)
                day = _DAY.match(event["@timestamp"])
            except (orjson.JSONDecodeError, KeyError, TypeError):
                event, day = {}, None
            if day is None:
                refused.append((line, "not a JSON object with an @timestamp"))
                continue
            id = event.get("event_id") or hashlib.sha256(f"{line.segment}:{line.start}".encode()).hexdigest()[:32]
            parts.append(orjson.dumps({"create": {"_index": f"{self._index}-{'.'.join(day.groups())}", "_id": str(id)}}))
            parts += [b"\n", line.data, b"\n"]
            sent.append(line)
        return sent, parts, refused


def _items(batch: Sequence[Line], answer: dict[str, Any]) -> Delivery:
    """One look at each item: a bulk answer is HTTP 200 whatever became of its documents."""
    items = answer.get("items", [])
    if len(items) != len(batch):
        return Delivery(later=list(batch), error=f"{len(items)} answers for {len(batch)} documents")
    delivery = Delivery()
    for line, item in zip(batch, items, strict=True):
        (found,) = item.values()
        status = found.get("status", 500)
        if status in _THERE:
            delivery.delivered.append(line)
            continue
        reason = _reason(status, found.get("error") or {})
        if status in _CONTENT:
            delivery.refused.append((line, reason))
        else:
            delivery.later.append(line)
            delivery.error = reason
    return delivery


def _reason(status: int, error: dict[str, Any]) -> str:
    cause = (error.get("caused_by") or {}).get("reason")
    return f"{status} {error.get('type', '')}: {error.get('reason', 'no reason given')}" + (f" ({cause})" if cause else "")
