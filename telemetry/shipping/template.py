"""The index template of the events, made from the table of names, and the lifecycle policy where the server has such a thing."""

from __future__ import annotations

import logging
from typing import Any

import httpx
import orjson

from telemetry import fields

VERSION = 1000 + fields.SCHEMA_VERSION
"""Grows with the table of names and with what is written here; a newer one on the server is left alone."""
PRIORITY = 200
"""Templates of the same priority whose patterns overlap are refused; the built-in ones have 100 and less."""

_TYPES = {"int": "long", "float": "double", "bool": "boolean", "str": "keyword", "list": "keyword", "time": "date_nanos"}
_LONG = 8191
"""Characters of a keyword at most: Lucene takes 32,766 bytes, and a character has up to four."""
_log = logging.getLogger("sonoscope.forward")


def mappings() -> dict[str, Any]:
    """Every known field in its own type; what is unknown is kept in the document and not indexed."""
    known = {field.name: _property(field.dtype) for field in fields.FIELDS}
    known |= {name: _property(dtype) for name, dtype in fields.EVENT_FIELDS.items()}
    # Without its time no reader would find an event again: such a document is refused.
    known["@timestamp"] = {"type": "date_nanos", "ignore_malformed": False}
    # Flat names with dots, for `host` and `host.name` are both fields of ours (servers from 8.3 on).
    return {"dynamic": False, "subobjects": False, "properties": known}


def _property(dtype: str) -> dict[str, Any]:
    kind = _TYPES[dtype]
    return {"type": kind, "ignore_above": _LONG} if kind == "keyword" else {"type": kind}


def body(index: str, policy: str | None) -> dict[str, Any]:
    """The template for daily indices of this name."""
    # A value of the wrong type costs its own field and not the event, as in the local files.
    settings: dict[str, Any] = {"number_of_shards": 1, "index.mapping.ignore_malformed": True}
    if policy:
        settings["index.lifecycle.name"] = policy
    meta = {"description": "Sonoscope's events: one document an event, its id is event_id"}
    return {
        "index_patterns": [f"{index}-*"], "priority": PRIORITY, "version": VERSION, "_meta": meta,
        "template": {"settings": settings, "mappings": mappings()},
    }  # fmt: skip


class Template:
    """Installs the template once a process."""

    def __init__(self, client: httpx.Client, index: str, keep_days: int | None) -> None:
        self._client = client
        self._index = index
        self._keep_days = keep_days
        self._done = False

    def ensure(self) -> str:
        """ "" once the template is there, else what is wrong. Raises httpx.TransportError."""
        if self._done:
            return ""
        there = self._version()
        if there is not None and there >= VERSION and self._keep_days is None:
            self._done = True
            return ""
        policy = self._policy()
        response = self._client.put(f"/_index_template/{self._index}", json=body(self._index, policy))
        if response.is_success:
            _log.info("index template %s, version %d", self._index, VERSION)
        elif response.status_code != 403 or there is None:
            return f"the index template {self._index} cannot be installed: HTTP {response.status_code}: {response.text[:300]}"
        # Who may write and not manage finds the template that somebody installed for them.
        self._done = True
        return ""

    def _version(self) -> int | None:
        response = self._client.get(f"/_index_template/{self._index}")
        if not response.is_success:
            return None
        found = orjson.loads(response.content).get("index_templates") or [{}]
        return int(found[0].get("index_template", {}).get("version", 0))

    def _policy(self) -> str | None:
        """The name of the lifecycle policy, where one is wanted and the server knows lifecycles."""
        if self._keep_days is None:
            return None
        phases = {"hot": {"actions": {}}, "delete": {"min_age": f"{self._keep_days}d", "actions": {"delete": {}}}}
        response = self._client.put(f"/_ilm/policy/{self._index}", json={"policy": {"phases": phases}})
        if response.is_success:
            return self._index
        _log.warning("no lifecycle policy (HTTP %d): old indices are not deleted: %s", response.status_code, response.text[:200])
        return None
