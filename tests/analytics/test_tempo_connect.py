"""`sonoscope connect`: what is found at somebody's servers, and what is kept."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from elasticsearch import Elasticsearch as Client
from typer.testing import CliRunner, Result

from analytics.stores import inspect
from analytics.stores.base import Range
from analytics.stores.mapping import read_mapping
from serve.settings import Settings
from sonoscope.cli import app
from sonoscope.commands.connect import write_settings
from tests.servers.elasticsearch import Elasticsearch

from .tempo_fake import END, FIXTURES, RECORDED, SECOND, START, Recorded, recorded_mapping

ANSWERS = {
    "/api/status/buildinfo": b'{"version":"3.0.3"}',
    "/api/v2/search/tags": "tags-v2-span-scope.json",
    "/api/v2/search/tag/span.audio.drift_ms": "tag-values-float.json",
    "/api/v2/search/tag/": "tag-values-int.json",
    "/api/search": "search-select-3-traces.json",
    "/api/metrics/query": "question-metrics-instant-total.json",
}


class Handler(BaseHTTPRequestHandler):
    """A Tempo of recorded answers."""

    def do_GET(self) -> None:
        name = next((answer for path, answer in ANSWERS.items() if self.path.startswith(path)), None)
        body = b"" if name is None else name if isinstance(name, bytes) else (FIXTURES / name).read_bytes()
        self.send_response(404 if name is None else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


@pytest.fixture
def tempo() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SONOSCOPE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("SONOSCOPE_CONFIG", str(tmp_path / "sonoscope.toml"))
    for name in ("TEMPO_URL", "ELASTICSEARCH_URL"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "map.yaml").write_text(RECORDED)
    return tmp_path


def connect(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["connect", *map(str, arguments)])


def test_what_is_found_is_said_and_the_addresses_are_kept(tempo: str, folder: Path) -> None:
    done = connect("--tempo", tempo, "--map", folder / "map.yaml", "--json")
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    states = {finding["name"]: (finding["state"], finding["detail"]) for finding in answer["findings"]}
    assert states["Tempo"] == ("ok", f"{tempo}, version 3.0.3")
    assert "record spans" in states  # the recorded hour is long past, so none of the last day
    assert states["audio_drift_ms ← span audio.drift_ms"] == ("ok", "float (5 different values)")
    assert states["gpu_memory_mb ← span gpu.mem_mb"] == ("ok", "int (6 different values); asked as both kinds of number")
    assert Settings().tempo_url == tempo
    assert read_mapping(folder / "data" / "mapping.yaml").own[0].name == "gpu_memory_mb"


def test_the_flagship_question_is_answered_by_what_was_connected(tempo: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert connect("--tempo", tempo, "--map", folder / "map.yaml").exit_code == 0
    monkeypatch.setitem(ANSWERS, "/api/search", "question-search-drift-over-100.json")
    asked = ["{ span.inference_steps > 20 && span.audio_drift_ms > 100.0 }", "--count", "--json"]
    hour = ["--since", "2026-11-21T19:14:32Z", "--until", "2026-11-21T20:14:32Z"]
    done = CliRunner().invoke(app, ["query", *asked, *hour])
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert (answer["matched"], answer["coverage"]["with_trace"], answer["coverage"]["with_logs"]) == (28, 28, 0)


def test_other_settings_stay_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "sonoscope.toml"
    path.write_text('# mine\nport = 9000\ntempo_url = "http://old"\n\n[stages.run_inference]\nnum_cpus = 2.0\n')
    write_settings(path, {"tempo_url": "http://new", "elasticsearch_url": "http://logs:9200"})
    text = path.read_text()
    assert text.startswith('# mine\nport = 9000\ntempo_url = "http://new"\nelasticsearch_url = "http://logs:9200"\n')
    assert text.endswith("[stages.run_inference]\nnum_cpus = 2.0\n")
    write_settings(path, {"tempo_url": "http://new"})
    assert path.read_text() == text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "no address"),
        (("--tempo", "tempo:3200"), "is not an address"),
        (("--tempo", "http://127.0.0.1:9"), "does not answer"),
        (("--elasticsearch", "https://me:secret@logs:9200"), "password in it is not kept"),
    ],
)
def test_what_cannot_be_read_is_not_kept(folder: Path, arguments: tuple[str, ...], words: str) -> None:
    done = connect(*arguments)
    assert done.exit_code == 1
    assert words in re.sub(r"\s+", " ", done.output)
    assert "secret" not in done.output
    assert not (folder / "sonoscope.toml").exists()


def test_an_attribute_of_another_type_or_that_nobody_writes_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mapping.yaml"
    path.write_text("columns: {a: {span: codec, type: bool}, b: {span: no.such}}")
    answers = {path: name for path, name in ANSWERS.items() if isinstance(name, str)}
    answers["/api/status/buildinfo"] = "search-empty.json"
    found = {finding.name: finding for finding in inspect.traces(Recorded(answers, read_mapping(path)).store)}
    assert found["a ← span codec"].state == "note"
    assert "declared as bool" in found["a ← span codec"].remedy
    assert "no record span" in found["b ← span no.such"].detail


@pytest.mark.server
@pytest.mark.timeout(400)
def test_fields_and_the_share_of_traces_with_logs(elasticsearch: Elasticsearch, index: str, tmp_path: Path) -> None:
    recorded = Recorded({path: name for path, name in ANSWERS.items() if isinstance(name, str)}, recorded_mapping(tmp_path))
    hour = Range(START * SECOND, END * SECOND)
    ids = recorded.store.search(None, hour).table["trace_id"].to_pylist()
    with Client(elasticsearch.url) as client:
        properties = {"trace.id": {"type": "keyword"}, "@timestamp": {"type": "date"}, "numSteps": {"type": "text"}}
        client.indices.create(index=f"{index}-2026.11.22", mappings={"properties": properties})
        for id in ids[:2]:
            now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            client.index(index=f"{index}-2026.11.22", document={"@timestamp": now, "trace.id": id}, refresh=True)
        (tmp_path / "m.yaml").write_text("columns: {steps: {log: numSteps, type: int}}")
        found = {f.name: f for f in inspect.logs(client, elasticsearch.url, index, read_mapping(tmp_path / "m.yaml"))}
        assert found["log lines"].detail == f"2 documents of the last day in {index}-*"
        assert (found["steps ← log numSteps"].state, found["steps ← log numSteps"].detail) == ("note", "text")
        assert found["log trace.id"].state == "ok"
        share = inspect.both(recorded.store, client, elasticsearch.url, index, hour)
        assert (share.state, share.detail) == ("ok", "2 of the newest 3 traces")
