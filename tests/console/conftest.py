"""Pages in tests wait for their answers: what a page shows meanwhile is tested in test_waiting.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from streamlit import config

from console import frame, waiting


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "WAIT_S", 600.0)
    monkeypatch.setattr(frame, "WAIT_S", 600.0)
    waiting.ANSWERS.clear()


@pytest.fixture(autouse=True)
def _on_loopback() -> Iterator[None]:
    """As `up` starts it."""
    config.set_option("server.address", "127.0.0.1")
    yield
    config.set_option("server.address", None)
