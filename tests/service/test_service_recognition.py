"""Recognition as a user has it: pictures that bite, folders on the command line, and their records."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.corpus.recognition import recognition_cases, send_all
from tests.serve.recognising import SAMPLES

pytestmark = [pytest.mark.service, pytest.mark.timeout(900)]


def test_every_picture_and_name_gets_a_right_answer_or_a_clear_refusal(service: Any) -> None:
    cases = recognition_cases(1)
    assert len(cases) >= 100
    assert len({one.name for one in cases}) == len(cases)
    outcomes = send_all(service.url, cases)
    wrong = [f"{one.picture.name}: {one.got} ({one.trouble}) {one.message}" for one in outcomes if one.trouble]
    assert not wrong, "\n".join(wrong)
    assert {one.got for one in outcomes} >= {"label", "image_blank", "image_undecodable", "image_too_large"}
    assert service.stray_files() == []


def test_a_folder_is_recognised_and_its_records_are_found(service: Any, cli: Callable[..., Any], tmp_path: Path) -> None:
    folder = tmp_path / "uploads"
    folder.mkdir()
    for name in ("coffee.png", "chelsea.png"):
        (folder / name).write_bytes((SAMPLES / name).read_bytes())
    (folder / "cut.png").write_bytes((SAMPLES / "coffee.png").read_bytes()[:4000])
    done = cli(service.data_dir, "recognize", folder, "--json")
    assert done.returncode == 1, "one of them failed"
    found = json.loads(done.stdout)
    assert (found["pictures"], found["failed"]) == (3, 1)
    by_name = {Path(one["path"]).name: one for one in found["results"]}
    assert by_name["coffee.png"]["label"] == {"en": "espresso", "zh": "意式浓缩咖啡"}
    record = service.record(by_name["coffee.png"]["request_id"])
    assert [span.name for span in record.spans] == ["recognition", "preprocess_image", "run_inference"]
    assert record.request["source_prefix"] == str(folder)[-128:]
    asked = f'operation = recognize && status = error && source_prefix = "{folder}"'
    counted = cli(service.data_dir, "query", asked, "--count", "--json")
    assert json.loads(counted.stdout)["matched"] == 1
