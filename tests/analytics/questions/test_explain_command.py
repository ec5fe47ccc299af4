"""`sonoscope explain`, as a person and as another program uses it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sonoscope.cli import app
from tests.planted_incidents import incident


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same rows as Parquet and as CSV: host h3 drifts."""
    made, folder = incident("host", 1500, 3).frame, tmp_path_factory.mktemp("rows")
    made.to_parquet(folder / "rows.parquet")
    made.to_csv(folder / "rows.csv", index=False)
    return folder


def explain(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["explain", *map(str, arguments)])


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_the_cause_comes_first_in_the_json(folder: Path, ending: str) -> None:
    done = explain("audio_drift_ms > 100", "--input", folder / f"rows.{ending}", "--json")
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert answer["n_in"] + answer["n_out"] == 1500
    first = answer["contrast"][0]
    assert (first["field"], first["kind"], first["value"]) == ("host", "categorical", "h3")
    assert first["q"] < 0.001
    assert first["share_in"] > first["share_out"]
    assert "host = h3" in first["sentence"]
    assert isinstance(answer["warnings"], list)
    assert "fault_injected" not in {one["field"] for one in answer["contrast"]}


def test_what_a_person_sees(folder: Path) -> None:
    done = explain("audio_drift_ms > 100", "--input", folder / "rows.parquet")
    assert done.exit_code == 0, done.output
    assert "host = h3" in done.stdout
    assert "95 % interval" in done.stdout
    assert "1500 requests" in done.stderr


def test_nothing_is_said_where_nothing_differs(folder: Path) -> None:
    done = explain("seed > 1000000000", "--input", folder / "rows.parquet")
    assert "Nothing surely differs" in done.stdout
    done = explain("audio_drift_ms > 1000000", "--input", folder / "rows.parquet", "--json")
    assert json.loads(done.stdout)["verdict"] == "no_data"


def test_among_narrows_both_sides(folder: Path) -> None:
    arguments = ("audio_drift_ms > 100", "--among", "host = h3", "--input", folder / "rows.parquet", "--json")
    answer = json.loads(explain(*arguments).stdout)
    assert answer["n_in"] + answer["n_out"] < 500
    assert "host" not in {one["field"] for one in answer["contrast"]}


def test_since_and_until_narrow_the_rows(folder: Path) -> None:
    arguments = ("audio_drift_ms > 100", "--since", "1s", "--input", folder / "rows.parquet", "--json")
    assert json.loads(explain(*arguments).stdout)["n_out"] == 0


@pytest.mark.parametrize(("expression", "words"), [("audio_drift > 3", "did you mean"), ("fps >", "error")])
def test_a_bad_question_ends_with_a_way_out(folder: Path, expression: str, words: str) -> None:
    done = explain(expression, "--input", folder / "rows.parquet")
    assert done.exit_code == 1
    assert words in done.stderr
