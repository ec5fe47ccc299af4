"""`sonoscope analyze`, as a person and as another program uses it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sonoscope.cli import app

from ...planted import planted
from ..conftest import Service


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SONOSCOPE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("SONOSCOPE_CONFIG", str(tmp_path / "none.toml"))


def analyze(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["analyze", *map(str, arguments)])


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "rows.parquet"
    planted(3000).to_parquet(path)
    return path


def test_another_program_gets_everything(rows: Path) -> None:
    done = analyze("--input", rows, "--json")
    assert done.exit_code == 0, done.output
    made = json.loads(done.stdout)
    assert made["outcome"] == "audio_drift_ms"
    found = {one["parameter"]: one["verdict"] for one in made["effects"]}
    assert (found["inference_steps"], found["fps"], found["expand_ratio"]) == ("associated", "never_varied", "not_shown")
    assert made["thresholds"][0]["at"] == 20.0
    assert any("sampling_weight" in words for words in made["warnings"])


def test_a_person_gets_a_table_and_sentences_in_two_languages(rows: Path) -> None:
    done = analyze("--input", rows)
    assert "inference_steps from" in done.stdout
    assert "associations, not causes" in done.stderr
    assert "已按" in analyze("--input", rows, "--language", "zh").stdout


def test_a_csv_with_three_columns(rows: Path, tmp_path: Path) -> None:
    few = planted(1500)[["inference_steps", "keep_resolution", "audio_drift_ms"]]
    few.assign(keep_resolution=few["keep_resolution"].map({True: "yes", False: "no"})).to_csv(tmp_path / "few.csv", index=False)
    made = json.loads(analyze("--input", tmp_path / "few.csv", "--json").stdout)
    found = {one["parameter"]: one for one in made["effects"]}
    assert found["inference_steps"]["verdict"] == "associated"
    assert found["keep_resolution"]["to"] == "true"


def test_a_failure_is_an_outcome(rows: Path) -> None:
    made = json.loads(analyze("--input", rows, "--outcome", "status", "--json").stdout)
    assert {one["unit"] for one in made["effects"]} == {"share"}
    assert made["recommendation"] is None


def test_what_the_service_wrote(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SONOSCOPE_DATA_DIR", str(service.folder))
    for number in range(80):
        service.request(number, inference_steps=10 + number % 40, audio_drift_ms=200.0 - 3 * (number % 40) + number % 7)
    made = json.loads(analyze("--json").stdout)
    (steps,) = [one for one in made["effects"] if one["parameter"] == "inference_steps"]
    assert (made["n"], steps["verdict"]) == (80, "associated")
    assert steps["adjusted"]["estimate"] == pytest.approx(-60, abs=8)


def test_a_folder_without_requests_is_no_error() -> None:
    done = analyze("--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["n"] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--outcome", "beauty"), "beauty is no outcome"),
        (("--language", "fr"), "en, zh are known"),
        (("--since", "yesterday"), "neither a span"),
    ],
)
def test_what_cannot_be_asked_ends_with_a_way_out(rows: Path, arguments: tuple[str, ...], words: str) -> None:
    done = analyze("--input", rows, *arguments)
    assert done.exit_code == 1
    assert words in done.stderr
