"""What only a real Elasticsearch can show: pages, points in time that expire, limits, errors with a way out, another version."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import orjson
import pytest

from analytics.stores import elasticsearch as store_module
from analytics.stores.base import Range
from analytics.stores.elasticsearch import ElasticLogs
from analytics.stores.elasticsearch_http import BadQuery, Busy, ElasticError, Refused, TimedOut, Unreachable
from telemetry.forward import Forwarding
from telemetry.journal import Journal
from telemetry.shipping.connect import Elastic
from tests.conftest import want_elasticsearch
from tests.servers.elasticsearch import Elasticsearch
from tests.servers.faulty import Faulty
from tests.telemetry.forwarding import drain

pytestmark = pytest.mark.timeout(300)

EVENTS = 250


def fill(folder: Path, url: str, index: str) -> None:
    """Events of three days, ten of them at the same nanosecond."""
    journal = Journal(folder / "journal")
    for number in range(EVENTS):
        at = f"2026-11-2{number % 3}T10:00:00.{number // 10:09}Z"
        row = {
            "@timestamp": at,
            "event_id": f"e{number:04}",
            "event_type": "advice" if number % 5 else "input_start",
            "host.name": "h",
            "fps": 25.0,
            "own": {"a": number},
        }
        journal.write("events", orjson.dumps(row))
    journal.close()
    assert drain(Forwarding(folder, elastic=Elastic(url, index=index)))["events"]["delivered"] == EVENTS
    httpx.post(f"{url}/{index}-*/_refresh").raise_for_status()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, elasticsearch: Elasticsearch) -> str:
    fill(tmp_path_factory.mktemp("events"), elasticsearch.url, "pages")
    return elasticsearch.url


@pytest.mark.server
@pytest.mark.parametrize("page", [1, 7, 250, 10_000])
def test_every_event_comes_once_whatever_the_page(filled: str, page: int) -> None:
    store = ElasticLogs(filled, index="pages", page=page)
    found = store.search(None, Range()).table
    assert sorted(found["event_id"].to_pylist()) == [f"e{number:04}" for number in range(EVENTS)]
    assert orjson.loads(found["extra"][0].as_py())["own"]["a"] >= 0
    newest = store.search(None, Range(), limit=EVENTS).table
    assert newest["event_id"].to_pylist() == found["event_id"].to_pylist(), "equal moments have an order too"


@pytest.mark.server
def test_a_point_in_time_that_is_gone_is_opened_anew(filled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ElasticLogs(filled, index="pages", page=50)
    slices = store._slice
    lost: list[int] = []

    def losing(pit: str, part: int, asked: dict[str, object]) -> object:
        if not lost:
            lost.append(part)
            store._client.close_point_in_time(id=pit)  # as the server does when its time is over
        return slices(pit, part, asked)

    monkeypatch.setattr(store, "_slice", losing)
    assert store.search(None, Range()).table.num_rows == EVENTS
    assert lost


@pytest.mark.server
def test_no_point_in_time_is_left_open(filled: str) -> None:
    ElasticLogs(filled, index="pages").search(None, Range())
    stats = httpx.get(f"{filled}/_nodes/stats/indices/search").json()
    assert sum(node["indices"]["search"]["open_contexts"] for node in stats["nodes"].values()) == 0


@pytest.mark.server
def test_the_count_of_many_values_says_that_it_is_cut(filled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "_DISTINCT", 1)
    found = ElasticLogs(filled, index="pages").count_by("event_type", Range())
    assert found.truncated
    assert found.table.to_pylist() == [{"value": "advice", "count": EVENTS * 4 // 5}]
    assert not ElasticLogs(filled, index="pages").count_by("fps", Range()).truncated


@pytest.mark.server
def test_what_the_server_refuses_comes_with_its_words(filled: str) -> None:
    store = ElasticLogs(filled, index="pages")
    with pytest.raises(BadQuery, match="did you mean"):
        store._pull({"rangee": {}})
    with pytest.raises(BadQuery, match="Result window is too large"):
        store._hits({"match_all": {}}, [], 20_000)


@pytest.mark.parametrize(
    ("code", "error"), [(401, Refused), (403, Refused), (429, Busy), (503, Busy), (500, ElasticError), (405, ElasticError)]
)
def test_each_refusal_has_a_type(faulty: Faulty, code: int, error: type[ElasticError]) -> None:
    faulty.behave(status=code)
    with pytest.raises(error, match=str(code)):
        ElasticLogs(faulty.url).search(None, Range())


def test_who_does_not_answer_is_named(faulty: Faulty) -> None:
    with pytest.raises(Unreachable, match="X-Elastic-Product"):
        ElasticLogs(faulty.url).search(None, Range())
    faulty.behave(slow_s=3.0)
    started = time.monotonic()
    with pytest.raises(TimedOut):
        ElasticLogs(faulty.url, timeout_s=1.0).search(None, Range())
    assert time.monotonic() - started < 30
    faulty.kill()
    with pytest.raises(Unreachable, match="does not answer"):
        ElasticLogs(faulty.url).search(None, Range())
    with pytest.raises(ElasticError, match="ELASTICSEARCH_URL"):
        ElasticLogs("localhost")


@pytest.fixture
def newest() -> Iterator[Elasticsearch]:
    want_elasticsearch("9.5.0")
    server = Elasticsearch("9.5.0")
    server.start()
    yield server
    server.stop()


@pytest.mark.server
@pytest.mark.timeout(600)
def test_the_next_major_version_takes_and_gives_the_same(tmp_path: Path, newest: Elasticsearch, index: str) -> None:
    fill(tmp_path, newest.url, index)
    store = ElasticLogs(newest.url, index=index)
    assert store.search(None, Range()).table.num_rows == EVENTS
    assert store.search(None, Range(), limit=3).truncated
    assert store.count_by("fps", Range()).table.to_pylist() == [{"value": "25.0", "count": EVENTS}]
    assert store.surrounding("e0100", 2, 2).table.num_rows == 5
