"""Sweeps: every combination in every block, and the adaptive form that gives up on what cannot win."""

from __future__ import annotations

import random
import zlib
from collections import Counter
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
import pytest

from sonoscope.experiments.adaptive import ArmFailed, search
from sonoscope.experiments.plan import Plan, PlanError, Run
from sonoscope.experiments.sniff import kind_of
from sonoscope.experiments.swept import grid_of, plan_of

MEDIA = Path(__file__).parents[3] / "sonoscope" / "media"
GRID = {"inference_steps": (5, 10, 25), "dynamic_scale": (1.0, 1.5)}


def plan(pairs: int = 2, repeats: int = 3, *, randomized: bool = True) -> Plan:
    inputs = [(f"{number:02x}" * 32, "a" * 64) for number in range(pairs)]
    fixed = {"fps": 25.0}
    return plan_of("s", {}, inputs, GRID, fixed, repeats=repeats, randomized=randomized, rng=random.Random(3))


def test_every_block_has_every_combination_once_with_one_seed() -> None:
    made = plan()
    assert (len(made.runs), made.blocks) == (36, 6)
    for _, group in groupby(made.runs, key=lambda run: run.block):
        runs = list(group)
        assert len({run.arm for run in runs}) == len(runs) == 6
        assert len({run.settings["seed"] for run in runs}) == 1
        assert all(run.settings["fps"] == 25.0 and run.labels["randomized"] for run in runs)
    orders = [[run.arm for run in runs] for _, runs in groupby(made.runs, key=lambda run: run.block)]
    assert any(one != other for one, other in pairwise(orders))


def test_a_grid_is_read_and_checked() -> None:
    assert grid_of(["inference_steps=5,10,25", "dynamic_scale=1.0,1.5"]) == GRID
    assert grid_of(["keep_resolution=true,false"]) == {"keep_resolution": (True, False)}
    for given, words in ((["inference_steps=5,900"], "1 to 100"), (["inference_steps=5"], "nothing to compare"),
                         (["fps=25,30", "fps=20,24"], "twice"), ([], "--grid is missing"), (["fps"], "not name=")):  # fmt: skip
        with pytest.raises(PlanError, match=words):
            grid_of(given)


def test_a_slip_of_the_keyboard_is_not_started() -> None:
    with pytest.raises(PlanError, match="10000 are the most"):
        plan(pairs=100, repeats=100)
    with pytest.raises(PlanError, match="in --grid and in --set"):
        plan_of("s", {}, [("a", "b")], GRID, {"inference_steps": 5}, repeats=1)


def outcome(run: Run) -> float:
    """25 steps and a scale of 1 are best by far; the rest is noise of the block and the run."""
    noise = np.random.default_rng(zlib.crc32((run.block + run.arm).encode())).normal(0, 3)
    return 100 - 2 * run.settings["inference_steps"] + 60 * (run.settings["dynamic_scale"] - 1) + float(noise)


def test_the_adaptive_form_finds_the_best_with_fewer_requests_and_finds_it_again() -> None:
    made, asked = plan(pairs=8, repeats=1, randomized=False), Counter[str]()

    def measure(run: Run) -> float:
        asked[run.arm] += 1
        return 100 - 2 * run.settings["inference_steps"] + 60 * (run.settings["dynamic_scale"] - 1) + len(run.block) / 100

    found = search(made, GRID, 6, higher=False, measure=measure)
    assert min(found.means, key=found.means.__getitem__) == "inference_steps=25 dynamic_scale=1"
    assert found.pruned, "some combination is surely worse before the eighth block"
    assert sum(asked.values()) < len(made.runs)
    assert found.stopped == "every combination was tried"
    assert vars(search(made, GRID, 6, higher=False, measure=measure)) == vars(found)


def test_more_can_be_better_and_a_failing_combination_cannot_win() -> None:
    def measure(run: Run) -> float | None:
        if run.settings["dynamic_scale"] == 1.5:
            raise ArmFailed
        return None if run.settings["inference_steps"] == 5 else float(run.settings["inference_steps"])

    found = search(plan(randomized=False), GRID, 6, higher=True, measure=measure)
    assert max(found.means, key=found.means.__getitem__) == "inference_steps=25 dynamic_scale=1"
    assert set(found.failed) == {f"inference_steps={steps} dynamic_scale=1.5" for steps in (5, 10, 25)} | {
        "inference_steps=5 dynamic_scale=1"
    }


def test_at_most_so_many_combinations_are_tried() -> None:
    found = search(plan(randomized=False), GRID, 3, higher=False, measure=outcome)
    assert found.tried == 3
    assert found.stopped == "3 combinations were tried"


def test_pictures_and_sounds_are_told_apart_by_their_bytes(tmp_path: Path) -> None:
    assert {kind_of(path) for path in MEDIA.glob("*.wav")} == {"audio"}
    assert {kind_of(path) for path in [*MEDIA.glob("*.png"), *MEDIA.glob("*.jpg")]} == {"portrait"}
    misnamed = tmp_path / "speech.wav"
    misnamed.write_bytes((MEDIA / "portrait_astronaut.png").read_bytes())
    assert kind_of(misnamed) == "portrait"
    text = tmp_path / "face.png"
    text.write_text("hello")
    with pytest.raises(PlanError, match="neither a picture nor a sound"):
        kind_of(text)
    with pytest.raises(PlanError, match="cannot be read"):
        kind_of(tmp_path / "none.png")
