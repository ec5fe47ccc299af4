"""Pages in tests wait for their answers: what a page shows meanwhile is tested in test_waiting.py."""

from __future__ import annotations

import pytest

from console import frame, waiting


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "WAIT_S", 600.0)
    monkeypatch.setattr(frame, "WAIT_S", 600.0)
    waiting.ANSWERS.clear()
