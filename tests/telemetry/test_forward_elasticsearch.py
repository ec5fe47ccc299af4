"""Events on their way into a real Elasticsearch: the template, the daily indices, what it refuses, whom it lets in."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from telemetry import fields
from telemetry.forward import Forwarder, Forwarding
from telemetry.journal import Journal
from telemetry.shipping import template
from telemetry.shipping.connect import Elastic
from telemetry.tracing import Telemetry
from tests.conftest import want_elasticsearch
from tests.servers.elasticsearch import Elasticsearch
from tests.telemetry.forwarding import FAST, drain, request

pytestmark = [pytest.mark.server, pytest.mark.timeout(300)]

_ROLES = """\
writer:
  cluster: [monitor, manage_index_templates]
  indices:
    - {names: ["*-*"], privileges: [create_doc, create_index, auto_configure]}
plain_writer:
  indices:
    - {names: ["*-*"], privileges: [create_doc, create_index, auto_configure]}
reader:
  indices:
    - {names: ["*-*"], privileges: [read, view_index_metadata]}
"""


def config(folder: Path, url: str, index: str, **more: Any) -> Forwarding:
    return Forwarding(folder, elastic=Elastic(url, index=index, **more), limits=FAST)


def found(url: str, index: str, **query: Any) -> list[dict[str, Any]]:
    """Every document, with its index and its id."""
    httpx.post(f"{url}/{index}-*/_refresh").raise_for_status()
    answer = httpx.post(f"{url}/{index}-*/_search", json={"size": 10_000, **query}).raise_for_status().json()
    return answer["hits"]["hits"]


def test_an_event_becomes_a_document_under_its_own_id_in_the_index_of_its_day(
    tmp_path: Path, elasticsearch: Elasticsearch, index: str
) -> None:
    journal = Journal(tmp_path / "journal")
    for number, day in enumerate(("21", "22", "22")):
        journal.write(
            "events", orjson.dumps({"@timestamp": f"2026-11-{day}T23:59:59.123456789Z", "event_id": f"e{number}", "fps": 25.0})
        )
    journal.close()
    drain(config(tmp_path, elasticsearch.url, index))
    places = {hit["_id"]: hit["_index"] for hit in found(elasticsearch.url, index)}
    assert places == {"e0": f"{index}-2026.11.21", "e1": f"{index}-2026.11.22", "e2": f"{index}-2026.11.22"}


def test_what_is_sent_twice_is_there_once(telemetry: Telemetry, elasticsearch: Elasticsearch, index: str) -> None:
    for number in range(30):
        request(telemetry, number)
    telemetry.journal.close()
    assert drain(config(telemetry.data_dir, elasticsearch.url, index))["events"]["delivered"] == 60
    for path in telemetry.data_dir.glob("checkpoints.db*"):
        path.unlink()
    again = drain(config(telemetry.data_dir, elasticsearch.url, index))["events"]
    assert (again["delivered"], again["set_aside"]) == (60, 0)
    assert len(found(elasticsearch.url, index)) == 60


def test_every_field_of_the_table_keeps_its_type(telemetry: Telemetry, elasticsearch: Elasticsearch, index: str) -> None:
    request(telemetry, 1, inference_steps=30, audio_drift_ms=120.0, cache_hit=True, advice=["fps_high"], house_rule="x", host="h")
    telemetry.journal.close()
    drain(config(telemetry.data_dir, elasticsearch.url, index))
    mapping = httpx.get(f"{elasticsearch.url}/{index}-*/_mapping").json()
    (properties,) = (one["mappings"]["properties"] for one in mapping.values())
    assert fields.BY_NAME.keys() | fields.EVENT_FIELDS.keys() == properties.keys(), "and nothing that nobody declared"
    query = {"bool": {"filter": [
        {"range": {"audio_drift_ms": {"gt": 100.0}}}, {"term": {"host": "h"}}, {"exists": {"field": "host.name"}},
        {"term": {"cache_hit": True}}, {"term": {"advice": "fps_high"}}, {"term": {"inference_steps": 30}},
    ]}}  # fmt: skip
    (hit,) = found(elasticsearch.url, index, query=query)
    assert hit["_source"]["house_rule"] == "x"


def test_a_value_of_the_wrong_type_costs_itself_and_a_time_that_is_none_the_event(
    tmp_path: Path, elasticsearch: Elasticsearch, index: str
) -> None:
    journal = Journal(tmp_path / "journal")
    good = {"@timestamp": "2026-11-22T10:00:00Z", "event_id": "good", "inference_steps": "many", "status": "ok"}
    bad = {"@timestamp": "2026-11-22T25:00:00Z", "event_id": "bad"}
    for row in (good, bad):
        journal.write("events", orjson.dumps(row))
    journal.close()
    status = drain(config(tmp_path, elasticsearch.url, index))["events"]
    assert (status["delivered"], status["set_aside"], status["lag_bytes"]) == (1, 1, 0)
    (kept,) = (orjson.loads(line) for line in (tmp_path / "set_aside" / "events.jsonl").read_bytes().splitlines())
    assert "document_parsing_exception" in kept["reason"]
    assert orjson.loads(kept["line"]) == bad
    (hit,) = found(elasticsearch.url, index, query={"term": {"status": "ok"}})
    assert hit["_source"]["inference_steps"] == "many"


def test_one_index_that_is_full_does_not_stop_the_others(tmp_path: Path, elasticsearch: Elasticsearch, index: str) -> None:
    def write(*ids: str) -> None:
        journal = Journal(tmp_path / "journal")
        for id in ids:
            journal.write("events", orjson.dumps({"@timestamp": f"2026-11-{id[:2]}T10:00:00Z", "event_id": id}))
        journal.close()

    write("21-a")
    drain(config(tmp_path, elasticsearch.url, index))
    full = f"/{index}-2026.11.21/_settings"
    elasticsearch.put_settings(full, {"index.blocks.read_only_allow_delete": True})
    write("21-b", "22-a", "22-b")
    left = drain(config(tmp_path, elasticsearch.url, index), 3.0)["events"]
    assert left["delivered"] == 3
    assert left["lag_bytes"] > 0
    assert "cluster_block_exception" in left["last_error"]
    elasticsearch.put_settings(full, {"index.blocks.read_only_allow_delete": None})
    assert drain(config(tmp_path, elasticsearch.url, index))["events"]["lag_bytes"] == 0
    assert {hit["_id"] for hit in found(elasticsearch.url, index)} == {"21-a", "21-b", "22-a", "22-b"}


def test_a_newer_template_is_left_alone_and_an_older_one_is_replaced(
    tmp_path: Path, elasticsearch: Elasticsearch, index: str
) -> None:
    address = f"{elasticsearch.url}/_index_template/{index}"
    with httpx.Client(base_url=elasticsearch.url) as client:
        for version, kept in ((template.VERSION + 1, True), (template.VERSION - 1, False)):
            body = {**template.body(index, None), "version": version}
            httpx.put(address, json=body).raise_for_status()
            assert template.Template(client, index, None).ensure() == ""
            now = httpx.get(address).json()["index_templates"][0]["index_template"]["version"]
            assert now == (version if kept else template.VERSION)


def test_a_server_without_lifecycles_is_used_without_one(
    tmp_path: Path, elasticsearch: Elasticsearch, index: str, caplog: pytest.LogCaptureFixture
) -> None:
    with httpx.Client(base_url=elasticsearch.url) as client:
        assert template.Template(client, index, 30).ensure() == ""
    assert "no lifecycle policy" in caplog.text
    settings = httpx.get(f"{elasticsearch.url}/_index_template/{index}").json()["index_templates"][0]["index_template"]["template"]
    assert "lifecycle" not in str(settings)


def test_another_program_at_the_address_loses_nothing(telemetry: Telemetry, faulty: Any, index: str) -> None:
    request(telemetry, 1)
    telemetry.journal.close()
    faulty.behave(status=405)
    left = Forwarder(config(telemetry.data_dir, faulty.url, index), threading.Event(), drain=True).run(for_s=2.0)["kinds"]["events"]
    assert left["lag_bytes"] > 0
    assert left["set_aside"] == 0


@pytest.fixture(scope="module")
def secured() -> Iterator[Elasticsearch]:
    want_elasticsearch()
    users = {"writer": ("secret-1", "writer"), "plain": ("secret-2", "plain_writer"), "reader": ("secret-3", "reader")}
    server = Elasticsearch(roles=_ROLES, users=users)
    server.start()
    yield server
    server.stop()


def test_a_writer_who_may_neither_read_nor_overwrite_is_enough(telemetry: Telemetry, secured: Elasticsearch, index: str) -> None:
    request(telemetry, 1)
    telemetry.journal.close()
    first = drain(config(telemetry.data_dir, secured.url, index, username="writer", password="secret-1"))["events"]
    assert (first["delivered"], first["lag_bytes"]) == (2, 0)
    for path in telemetry.data_dir.glob("checkpoints.db*"):
        path.unlink()
    plain = drain(config(telemetry.data_dir, secured.url, index, username="plain", password="secret-2"), 5.0)["events"]
    assert plain["lag_bytes"] > 0, "it can neither see nor install the template"
    assert "cannot be installed: HTTP 403" in plain["last_error"]


@pytest.mark.parametrize(
    ("user", "password", "code"), [("writer", "wrong", "401"), ("nobody", "x", "401"), ("reader", "secret-3", "403")]
)
def test_who_may_not_write_loses_nothing(
    telemetry: Telemetry, secured: Elasticsearch, index: str, user: str, password: str, code: str
) -> None:
    request(telemetry, 1)
    telemetry.journal.close()
    left = drain(config(telemetry.data_dir, secured.url, index, username=user, password=password), 2.0)["events"]
    assert (left["delivered"], left["set_aside"]) == (0, 0)
    assert left["lag_bytes"] > 0
    assert f"HTTP {code}" in left["last_error"]
