"""Where the rows come from: one board a range for everybody, and the store behind it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import streamlit as st

from analytics.board import Board
from analytics.moments import moment
from analytics.requests import Joined, from_file, joined
from analytics.stores.base import Range
from analytics.stores.local import LocalStore
from analytics.stores.mapping import read_mapping

RANGES: tuple[str, ...] = ("1h", "24h", "7d", "28d", "all")
"""What the range box offers; a link may name any other (`90m`, an ISO time)."""


def data_dir() -> Path:
    """The data folder, as the supervisor names it."""
    base = os.environ.get("XDG_DATA_HOME")
    default = (Path(base) if base else Path.home() / ".local" / "share") / "sonoscope"
    return Path(os.environ.get("SONOSCOPE_DATA_DIR", default))


@st.cache_resource
def store() -> LocalStore:
    """The local store, under the names of the data folder's mapping.yaml if there is one. Raises ValueError for a bad mapping."""
    path = data_dir() / "mapping.yaml"
    return LocalStore(data_dir() / "journal", mapping=read_mapping(path) if path.exists() else None)


@st.cache_resource(max_entries=4, show_spinner=False)
def board(since: str) -> Board:
    """The board of a range and of as long a time before it, for comparison.

    `SONOSCOPE_ROWS` names a Parquet or CSV file of request rows to look at instead of the store.
    """

    @contextmanager
    def opened() -> Iterator[Joined]:
        range = Range(None if since == "all" else 2 * moment(since) - time.time_ns())
        if file := os.environ.get("SONOSCOPE_ROWS"):
            with from_file(Path(file), range) as view:
                yield view
        else:
            with joined(store(), range, details=True) as view:
                yield view

    return Board(opened)
