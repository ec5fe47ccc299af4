"""Where the rows come from: one board a range for everybody, and the store behind it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import streamlit as st

from analytics.alerts.schema import Alerts, read_alerts
from analytics.board import Board
from analytics.moments import moment
from analytics.requests import Joined, from_file, joined
from analytics.rules.schema import Rule, load_rules
from analytics.stores.base import Range
from analytics.stores.configured import Addresses, RemoteStore, open_store
from analytics.stores.local import LocalStore
from analytics.stores.mapping import read_mapping

RANGES: tuple[str, ...] = ("1h", "24h", "7d", "28d", "all")
"""What the range box offers; a link may name any other (`90m`, an ISO time)."""

_TOLD = ("tempo_url", "tempo_tenant", "elasticsearch_url", "elasticsearch_username", "elasticsearch_password",
         "elasticsearch_api_key", "elasticsearch_ca_file")  # fmt: skip


def data_dir() -> Path:
    """The data folder, as the supervisor names it."""
    base = os.environ.get("XDG_DATA_HOME")
    default = (Path(base) if base else Path.home() / ".local" / "share") / "sonoscope"
    return Path(os.environ.get("SONOSCOPE_DATA_DIR", default))


@st.cache_resource
def store() -> LocalStore | RemoteStore:
    """Tempo and Elasticsearch where TEMPO_URL and ELASTICSEARCH_URL name them, else the local files; mapping.yaml names the fields.

    Raises OSError for an address that is none, ValueError for a bad mapping.
    """
    told: dict[str, Any] = {name: os.environ.get(name.upper()) for name in _TOLD}
    told["tempo_headers"] = json.loads(os.environ.get("SONOSCOPE_TEMPO_HEADERS", "{}"))
    addresses = Addresses(
        **told, elasticsearch_index=os.environ.get("SONOSCOPE_ELASTICSEARCH_INDEX", Addresses.elasticsearch_index)
    )
    path = data_dir() / "mapping.yaml"
    mapping = read_mapping(path) if path.exists() else None
    return open_store(data_dir() / "journal", mapping=mapping, addresses=addresses)


@st.cache_resource
def rules() -> tuple[Rule, ...]:
    """The shipped rules and those of SONOSCOPE_RULES_FILE. Raises RuleError, OSError."""
    own = os.environ.get("SONOSCOPE_RULES_FILE")
    return load_rules(Path(own) if own else None)


def alerts() -> Alerts | None:
    """What is watched, by SONOSCOPE_ALERTS_FILE; None where no file is named. Raises AlertsError, OSError."""
    file = os.environ.get("SONOSCOPE_ALERTS_FILE")
    return read_alerts(Path(file)) if file else None


@st.cache_resource(max_entries=12, show_spinner=False)
def board(since: str, department: str | None = None) -> Board:
    """The board of a range and of as long a time before it, for comparison: of one department's requests, or of all.

    `SONOSCOPE_ROWS` names a Parquet or CSV file of request rows to look at instead of the store.
    """

    @contextmanager
    def opened() -> Iterator[Joined]:
        range = Range(None if since == "all" else 2 * moment(since) - time.time_ns())
        if file := os.environ.get("SONOSCOPE_ROWS"):
            with from_file(Path(file), range, department=department) as view:
                yield view
        else:
            with joined(store(), range, details=True, department=department) as view:
                yield view

    return Board(opened, position=_position)


def _position() -> Hashable | None:
    """Where the store ends: of a file its size and time, of the local files their ends; servers cannot tell."""
    if file := os.environ.get("SONOSCOPE_ROWS"):
        seen = Path(file).stat()
        return seen.st_size, seen.st_mtime_ns
    here = store()
    return here.position() if isinstance(here, LocalStore) else None
