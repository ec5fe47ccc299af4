"""`sonoscope record` names the known causes of what happened."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sonoscope.cli import app
from telemetry.errors import RequestError
from tests.analytics.conftest import SECOND, START, Service


@pytest.fixture
def service(tmp_path: Path) -> Service:
    """Two portraits, the first of which failed twice."""
    made = Service(tmp_path)
    for number, portrait in enumerate(("a", "b", "a")):
        error = RequestError("face_not_found", "No face.", stage="preprocess_image") if portrait == "a" else None
        made.finish(made.context(number), START + number * SECOND, error, portrait_hash=portrait * 64)
    made.telemetry.shutdown()
    return made


def test_the_cause_the_way_out_and_how_often_it_held_stand_below_the_record(service: Service) -> None:
    done = CliRunner().invoke(app, ["record", "request-0002", "--data-dir", str(service.folder)])
    assert done.exit_code == 0, done.output
    assert "no_face: No human face was found" in done.output
    assert "Send a picture with one face" in done.output
    assert "Of 1 earlier requests with the same portrait_hash, 1 showed the same" in done.output


def test_programs_get_the_same_as_json(service: Service) -> None:
    done = CliRunner().invoke(app, ["record", "request-0002", "--json", "--data-dir", str(service.folder)])
    (found,) = json.loads(done.stdout)["rules"]
    assert found["id"] == "no_face"
    assert (found["evidence"]["n"], found["evidence"]["held"], found["evidence"]["counter_examples"]) == (1, 1, 0)


def test_a_bad_file_of_rules_ends_the_command_with_what_is_wrong(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    path = service.folder / "rules.yaml"
    path.write_text("- {id: own, when: 'nothing > 1', cause: {en: a, zh: b}, suggestion: {en: a, zh: b}}")
    monkeypatch.setenv("SONOSCOPE_RULES_FILE", str(path))
    done = CliRunner().invoke(app, ["record", "request-0002", "--data-dir", str(service.folder)])
    assert done.exit_code == 1
    assert "unknown name nothing" in done.output
