"""The contact sheet's page and the deep links: what comes from rows cannot become markup."""

from __future__ import annotations

import pytest

from console.links import links
from console.sheet import BIGGEST, Clip, contact_sheet


def test_every_clip_is_in_the_page_with_its_words_escaped() -> None:
    page = contact_sheet([Clip(b"12", "<b>", ("a & b",)), Clip(b"3", "two", ())], columns=2, play="play", moment="moment")
    assert page.count("<video") == 2
    assert "&lt;b&gt;" in page
    assert "a &amp; b" in page
    assert "repeat(2," in page


def test_a_clip_that_is_too_large_is_refused() -> None:
    with pytest.raises(ValueError, match="at most"):
        contact_sheet([Clip(bytes(BIGGEST + 1), "one", ())], columns=1, play="", moment="")


def test_links_only_where_servers_are_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"trace_id": "ab" * 16}
    monkeypatch.delenv("GRAFANA_URL", raising=False)
    monkeypatch.delenv("KIBANA_URL", raising=False)
    assert links(row) == []
    monkeypatch.setenv("GRAFANA_URL", "http://grafana:3000/")
    monkeypatch.setenv("KIBANA_URL", "http://kibana:5601")
    found = dict(links(row))
    assert found["Grafana"].startswith("http://grafana:3000/explore?")
    assert "ab" * 16 in found["Grafana"]
    assert "ab" * 16 in found["Kibana"]
    assert links({}) == []
