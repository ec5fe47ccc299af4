"""Which files a failed request was about: clear names only where `redact.keep_names` put them into the events, else asset ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from telemetry.names import marked

NAMES = {"portrait_name": "portrait", "audio_name": "audio", "image_name": "image", "file_name": "file"}
"""Fields of events that hold a name as its sender wrote it, and what it is a name of."""
_ASSETS = {"portrait_hash": "portrait", "audio_hash": "audio"}


class Events(Protocol):
    """A store that gives the events of a request."""

    def events(self, request_id: str) -> list[dict[str, Any]]:
        """In the order of their time."""
        ...


@dataclass(frozen=True)
class Files:
    """The files of one request: `what name` with invisible characters written out, or `what asset-id` where no name was kept."""

    request_id: str
    files: tuple[str, ...]
    named: bool

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"request_id": self.request_id, "files": list(self.files), "named": self.named}


def files_of(store: Events, request_id: str) -> Files:
    """What its events say of its files; nothing where no file came as far as being stored."""
    names: dict[str, None] = {}
    assets: dict[str, None] = {}
    for event in store.events(request_id):
        names |= dict.fromkeys(_said(event, NAMES, marked))
        assets |= dict.fromkeys(_said(event, _ASSETS, lambda id: f"{id[:16]}…"))
    return Files(request_id, tuple(names or assets), bool(names))


def _said(event: Mapping[str, Any], fields: Mapping[str, str], show: Any) -> list[str]:
    return [f"{what} {show(event[name])}" for name, what in fields.items() if isinstance(event.get(name), str)]
