"""Off loopback nothing is shown: whether `up` says the address, or somebody started Streamlit by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit import config

from console.texts import TEXTS
from tests.console.test_pages import PAGES, run, words


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SONOSCOPE_DATA_DIR", str(tmp_path))


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("address", [None, "0.0.0.0", "::", "192.0.2.7", "console.example"])
def test_a_console_that_others_reach_shows_nothing(page: str, address: str | None) -> None:
    config.set_option("server.address", address)  # None: started by hand without one, which listens on all
    app = run(page)
    assert [one.value for one in app.error] == [TEXTS["may_not_read"][0]]
    assert not app.header
    assert not app.dataframe


def test_on_loopback_it_shows_its_pages() -> None:
    for address in ("127.0.0.1", "localhost", "::1"):
        config.set_option("server.address", address)
        assert TEXTS["may_not_read"][0] not in words(run("alerts"))
