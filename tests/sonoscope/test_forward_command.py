"""`sonoscope forward`, what doctor says of it, and the commands that then read from the servers."""

from __future__ import annotations

import json
import time
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner, Result

from serve import jobs
from serve.jobs import JobTable
from serve.settings import Settings
from sonoscope.cli import app
from sonoscope.supervisor import Supervisor
from telemetry.context import RequestContext
from telemetry.stages import stage
from telemetry.tracing import Telemetry, setup
from tests.servers.elasticsearch import Elasticsearch
from tests.servers.faulty import Faulty
from tests.servers.process import wait_for
from tests.telemetry.forwarding import Process, request, status

ADDRESSES = ("TEMPO_URL", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "ELASTICSEARCH_URL")


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A data folder of its own, and no address from outside."""
    for name in ADDRESSES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SONOSCOPE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("SONOSCOPE_CONFIG", str(tmp_path / "sonoscope.toml"))


@pytest.fixture
def written(tmp_path: Path) -> Telemetry:
    """Ten requests in the data folder."""
    telemetry = setup("test", tmp_path / "data")
    for number in range(10):
        request(telemetry, number, inference_steps=20 + number)
    telemetry.shutdown()
    return telemetry


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_without_an_address_it_says_how_to_give_one() -> None:
    done = run("forward", "--once")
    assert done.exit_code == 1
    assert "ELASTICSEARCH_URL" in done.output


def test_a_machine_without_the_record_sends_its_spans_when_the_job_has_ended(tmp_path: Path, faulty: Faulty) -> None:
    """The runner's machine writes the record; the table says on all others that the request is over."""
    url, trace = f"sqlite:///{tmp_path / 'shared.db'}", "c" * 32
    table = JobTable(url)
    table.add(
        {"job_id": "j", "request_id": "r", "operation": "generate", "state": jobs.QUEUED, "values": {},
         "traceparent": f"00-{trace}-{'d' * 16}-01", "accepted_ns": time.time_ns()}
    )  # fmt: skip
    row = table.claim("runner", 600.0)
    assert row is not None
    telemetry = setup("worker", tmp_path / "data")
    context = RequestContext("r", row["traceparent"], job_id="j", identity={"trace_id": trace})
    with stage(telemetry, "load_audio", context):
        pass
    telemetry.shutdown()
    process = Process(tmp_path / "data", OTEL_EXPORTER_OTLP_ENDPOINT=faulty.url, SONOSCOPE_JOBS_DATABASE_URL=url)
    try:
        wait_for(lambda: status(tmp_path / "data", "spans").get("held_traces") == 1, 60, lambda: "the span was not read")
        time.sleep(3.0)  # asked twice or more
        assert faulty.accepted() == []
        assert table.finish(row, jobs.SUCCEEDED)
        wait_for(lambda: len(faulty.accepted()) == 1, 30, lambda: json.dumps(status(tmp_path / "data", "spans")))
        process.stop()
    finally:
        process.kill()
        table.close()


def test_addresses_are_read_under_the_names_that_others_gave_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sonoscope.toml").write_text('elasticsearch_url = "http://file:9200"\nelasticsearch_password = "s3cret"\n')
    monkeypatch.setenv("TEMPO_URL", "http://tempo:3200")
    settings = Settings()
    assert settings.elasticsearch_url == "http://file:9200"
    assert settings.traces_url == "http://tempo:4318/v1/traces"
    assert settings.forwarded == ("spans", "events")
    assert "s3cret" not in repr(settings)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/")
    monkeypatch.setenv("ELASTICSEARCH_URL", "http://env:9200")
    assert Settings().traces_url == "http://collector:4318/v1/traces"
    assert Settings().elasticsearch_url == "http://env:9200"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://other:1/own/path")
    assert Settings().traces_url == "http://other:1/own/path"
    assert Settings(elasticsearch_url="http://flag:9200").elasticsearch_url == "http://flag:9200"


def test_an_empty_variable_is_an_unset_one_and_a_word_is_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELASTICSEARCH_URL", "")
    assert Settings().forwarded == ()
    monkeypatch.setenv("ELASTICSEARCH_URL", "localhost:9200")
    with pytest.raises(ValueError, match="not an address"):
        Settings()


def test_up_runs_a_forwarder_where_there_is_an_address_and_the_compactor_waits_for_it() -> None:
    alone = Supervisor(Settings(port=0, dashboard_port=0), print)
    assert "forwarder" not in {child.name for child in alone._children}
    shipping = Supervisor(Settings(port=0, dashboard_port=0, elasticsearch_url="http://a:1"), print)
    commands = {child.name: child.command for child in shipping._children}
    assert commands["forwarder"][-1] == "forward"
    assert commands["compactor"][-2:] == ["--forwarded", "events"]


def test_once_ships_everything_with_its_headers_and_doctor_tells(
    written: Telemetry, faulty: Faulty, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = Process(
        written.data_dir, start=False, OTEL_EXPORTER_OTLP_ENDPOINT=faulty.url, OTEL_EXPORTER_OTLP_HEADERS="x-tenant=a%20b, other=1"
    )
    assert process.once()["spans"]["delivered"] == 20
    assert len(faulty.accepted()) == 20
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", faulty.url)
    findings = {one["name"]: one for one in json.loads(run("doctor", "--json").stdout)}
    assert findings["spans forwarded"]["state"] == "ok"
    assert "20 delivered" in findings["spans forwarded"]["detail"]


def test_what_is_left_is_said_and_ends_with_1(written: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELASTICSEARCH_URL", "http://127.0.0.1:9")
    process = Process(written.data_dir, start=False)
    with pytest.raises(AssertionError, match="bytes are not delivered"):
        process.once(for_s=2.0)
    findings = {one["name"]: one for one in json.loads(run("doctor", "--json").stdout)}
    assert findings["events forwarded"]["state"] == "note"
    assert "Connect" in findings["events forwarded"]["remedy"]


@pytest.mark.server
@pytest.mark.timeout(300)
def test_query_and_record_answer_the_same_from_elasticsearch(
    written: Telemetry, elasticsearch: Elasticsearch, index: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [
        ("query", "inference_steps > 24", "--count", "--json"),
        ("query", "inference_steps > 24", "--json"),
        ("query", "", "--group", "model_name", "--json"),
        ("record", "request-000003", "--json"),
    ]
    local = [json.loads(run(*question).stdout) for question in asked]
    address = {"ELASTICSEARCH_URL": elasticsearch.url, "SONOSCOPE_ELASTICSEARCH_INDEX": index}
    process = Process(written.data_dir, start=False, **address)
    process.once()
    httpx.post(f"{elasticsearch.url}/{index}-*/_refresh").raise_for_status()
    for name, value in address.items():
        monkeypatch.setenv(name, value)
    for question, expected in zip(asked, local, strict=True):
        found = json.loads(run(*question).stdout)
        for answer in (found, expected):
            answer["rows"] = sorted(answer.get("rows", []), key=lambda row: row["request_id"])
        assert found == expected, question
    for path in (written.data_dir / "journal" / "sealed").glob("*.events.jsonl"):
        path.unlink()
    assert json.loads(run(*asked[0]).stdout)["matched"] == local[0]["matched"] == 5, "they come from the server"


def test_a_server_that_is_away_is_an_error_with_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELASTICSEARCH_URL", "http://127.0.0.1:9")
    for question in (("query", "fps > 1"), ("record", "x")):
        done = run(*question)
        assert done.exit_code == 1
        assert "127.0.0.1:9 does not answer" in done.output.replace("\n", " ")
