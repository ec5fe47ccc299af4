"""`sonoscope query`, as a person and as another program uses it."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from sonoscope.cli import app

from .conftest import Service


@pytest.fixture
def filled(service: Service, monkeypatch: pytest.MonkeyPatch) -> Service:
    monkeypatch.setenv("SONOSCOPE_DATA_DIR", str(service.folder))
    monkeypatch.setenv("SONOSCOPE_CONFIG", str(service.folder / "none.toml"))
    for number in range(30):
        service.request(number, inference_steps=10 + number, audio_drift_ms=10.0 * number, scene=f"s{number % 3}")
    return service


def query(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["query", *map(str, arguments)])


def test_the_flagship_question_in_one_line(filled: Service) -> None:
    done = query("inference_steps > 20 && audio_drift_ms > 100", "--count", "--json")
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert (answer["matched"], answer["total"], answer["truncated"]) == (19, 30, False)
    assert answer["coverage"]["with_both"] == 30


def test_what_a_person_sees(filled: Service) -> None:
    done = query("inference_steps > 15")
    assert "request-0029" in done.stdout
    assert "the newest 20 of 24" in done.stderr
    assert "30 requests, 30 of them with trace and log" in done.stderr
    assert query("inference_steps > 15", "--count").stdout == "24 of 30\n"


def test_groups(filled: Service) -> None:
    answer = json.loads(query("audio_drift_ms > 250", "--group", "status", "--json").stdout)
    assert answer["groups"] == [{"status": "ok", "matched": 4, "total": 30, "share": 4 / 30}]
    assert "matched" in query("{}", "--group", "status").stdout


@pytest.mark.parametrize("format", ["json", "csv", "parquet"])
def test_rows_for_other_programs_can_be_asked_again(filled: Service, tmp_path: Path, format: str) -> None:
    path = tmp_path / f"rows.{format}"
    assert query("inference_steps > 15", "-o", path).exit_code == 0
    if format == "json":
        assert len(json.loads(path.read_text())) == 24
        assert len(json.loads(query("inference_steps > 15", "--format", "json").stdout)) == 24
    else:
        answer = json.loads(query("inference_steps > 20", "--input", path, "--count", "--json").stdout)
        assert (answer["matched"], answer["total"]) == (19, 24)
    if format == "parquet":
        assert pq.read_schema(path).field("audio_drift_ms").metadata[b"unit"] == b"ms"


def test_a_field_of_the_users_own_can_be_asked(filled: Service) -> None:
    assert json.loads(query("scene = s1", "--count", "--json").stdout)["matched"] == 10


def test_since_and_until(filled: Service) -> None:
    bounds = ("--since", "2026-11-18T11:06:45Z", "--until", "2026-11-18T11:06:50Z")
    assert json.loads(query("{}", *bounds, "--count", "--json").stdout)["total"] == 5
    assert json.loads(query("{}", "--since", "1s", "--count", "--json").stdout)["total"] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("inference_step > 3",), "did you mean inference_steps"),
        (("fps > 3", "--since", "yesterday"), "neither a span"),
        (("fps > 3", "--group", "nothing"), "no such field"),
        (("fps > 3", "--format", "xml"), "are known"),
    ],
)
def test_what_cannot_be_asked_ends_with_a_way_out(filled: Service, arguments: tuple[str, ...], words: str) -> None:
    done = query(*arguments)
    assert done.exit_code == 1
    assert words in done.stderr


def test_a_file_that_is_none_is_said_so(filled: Service, tmp_path: Path) -> None:
    (tmp_path / "rows.parquet").write_bytes(b"no")
    done = query("fps > 3", "--input", tmp_path / "rows.parquet")
    assert done.exit_code == 1
    assert "cannot be read" in done.stderr
