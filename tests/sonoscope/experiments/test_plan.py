"""Plans of experiments: blocks, order, and what is kept of them."""

from __future__ import annotations

import random
from collections import Counter
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from sonoscope.experiments.plan import Notebook, Plan, PlanError, asked_again, named
from sonoscope.experiments.replayed import changes, plan_of, settings_of

ASKED = {"--where": "audio_drift_ms > 100"}


def row(number: int, **more: Any) -> dict[str, Any]:
    settings = {"inference_steps": 5, "dynamic_scale": 1.0, "fps": 30.0, "seed": number, "model_name": "lite"}
    inputs = {"portrait_hash": "a" * 64, "audio_hash": f"{number:064x}"}
    return {"request_id": f"r{number}", "operation": "generate", "department": "claims", **settings, **inputs, **more}


def plan(rows: list[dict[str, Any]], *, repeats: int = 2, limit: int = 10, gone: str = "") -> Plan:
    def has(asset_id: str) -> bool:
        return asset_id != gone

    return plan_of("e", ASKED, rows, {"inference_steps": 25}, repeats=repeats, limit=limit, has=has, rng=random.Random(7))


def test_each_block_is_one_request_as_it_was_and_changed_with_one_seed() -> None:
    made = plan([row(number) for number in range(4)])
    assert (len(made.runs), made.blocks) == (16, 8)
    blocks = [list(runs) for _, runs in groupby(made.runs, key=lambda run: run.block)]
    assert len(blocks) == 8, "a block's runs stand together"
    for pair in blocks:
        steps = {run.arm: run.settings["inference_steps"] for run in pair}
        assert steps == {"as it was": 5, "inference_steps=25": 25}
        assert len({(run.settings["seed"], run.portrait, run.audio, run.settings["fps"]) for run in pair}) == 1
        assert all(run.labels["randomized"] and run.labels["replay_of"] == pair[0].block.split("/")[0] for run in pair)
        assert all(run.department == "claims" for run in pair)


def test_the_first_repeat_has_the_seed_of_the_request_and_the_next_a_new_one() -> None:
    seeds = {run.block: run.settings["seed"] for run in plan([row(number) for number in range(4)]).runs}
    assert all(seeds[f"r{number}/1"] == number for number in range(4))
    assert all(seeds[f"r{number}/2"] != number for number in range(4))


def test_which_arm_goes_first_is_drawn() -> None:
    made = plan([row(number) for number in range(40)], limit=40)
    first = Counter(next(iter(runs)).arm for _, runs in groupby(made.runs, key=lambda run: run.block))
    assert 20 < first["as it was"] < 60
    assert [run.block for run in made.runs] != sorted(run.block for run in made.runs)


def test_what_cannot_be_replayed_is_left_out_with_its_reason() -> None:
    rows = [
        row(0),
        row(1, inference_steps=25),
        row(2, replay_of="r0"),
        row(3, portrait_hash=None),
        row(4),
        row(5, operation="recognize"),
    ]
    made = plan(rows, gone=f"{4:064x}")
    assert {run.labels["replay_of"] for run in made.runs} == {"r0"}
    assert made.left_out == {
        "with these settings already": 1, "themselves replays": 1, "refused before their inputs and settings were known": 1,
        "no generation": 1, "an input is no longer stored": 1,
    }  # fmt: skip
    with pytest.raises(PlanError, match="1 an input is no longer stored"):
        plan([row(4)], gone=f"{4:064x}")
    with pytest.raises(PlanError, match="no request passes"):
        plan([])


def test_more_than_the_limit_are_drawn_at_random() -> None:
    made = plan([row(number) for number in range(30)], limit=5, repeats=1)
    assert made.blocks == 5
    assert made.left_out == {"not drawn (--limit 5)": 25}
    assert {run.block for run in made.runs} != {f"r{number}/1" for number in range(5)}


def test_settings_are_checked_like_those_of_a_request() -> None:
    assert changes(["inference_steps=10", "keep_resolution=true"]) == {"inference_steps": 10, "keep_resolution": True}
    for given, words in ((["inference_steps=900"], "1 to 100"), (["steps=5"], "not a parameter"), (["fps"], "not name=value"),
                         (["fps=25", "fps=30"], "twice"), ([], "--set is missing")):  # fmt: skip
        with pytest.raises(PlanError, match=words):
            changes(given)


def test_the_asked_length_is_asked_again() -> None:
    assert settings_of(row(1, duration_s=4.2, requested_duration_s=9.0))["duration_s"] == 9.0
    assert "duration_s" not in settings_of(row(1))


def test_a_kept_plan_is_gone_on_with_and_only_by_the_same_call(tmp_path: Path) -> None:
    made = plan([row(1)])
    notebook = Notebook(tmp_path / "experiments", "e")
    assert notebook.read() is None
    notebook.keep(made)
    kept = Notebook(tmp_path / "experiments", "e").read()
    assert kept == made
    assert asked_again(made, "replay", ASKED) is made
    with pytest.raises(PlanError, match="--where = 'audio_drift_ms > 100' and not 'true'"):
        asked_again(made, "replay", {"--where": "true"})
    with pytest.raises(PlanError, match="kind"):
        asked_again(made, "sweep", ASKED)


def test_the_notebook_survives_a_kill_in_the_middle_of_a_line(tmp_path: Path) -> None:
    notebook = Notebook(tmp_path, "e")
    notebook.note("a", None)
    notebook.note("a", "request-a")
    notebook.note("b", None)
    with (tmp_path / "e.sent.jsonl").open("a") as file:
        file.write('["c", "requ')
    assert notebook.sent() == {"a": "request-a", "b": None}


@pytest.mark.parametrize("name", ["", "../up", "a/b", "名", "x" * 65, ".hidden"])
def test_a_name_that_is_no_file_name_is_refused(name: str) -> None:
    with pytest.raises(PlanError, match="--experiment"):
        named(name)


def test_a_plan_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    (tmp_path / "e.json").write_text("{")
    with pytest.raises(PlanError, match="cannot be read"):
        Notebook(tmp_path, "e").read()
