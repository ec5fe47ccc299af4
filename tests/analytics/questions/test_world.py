"""What comes in has changed, or it has not: planted shifts are found, the same world twice is left alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analytics.questions.sentences import lint
from analytics.questions.world import Shift, world


def recognitions(n: int, seed: int, **change: float) -> pd.DataFrame:
    """Pictures of three kinds. `cats`: the share of cats; `darker` and `less_sure` are taken off."""
    random = np.random.default_rng(seed)
    cats = change.get("cats", 0.3)
    return pd.DataFrame({
        "request_id": [f"{seed}-{k}" for k in range(n)], "operation": "recognize",
        "top1_label": random.choice(["tabby", "espresso", "tripod"], n, p=[cats, 0.7 - cats / 2, 0.3 - cats / 2]),
        "top1_score": np.clip(random.beta(6, 2, n) - change.get("less_sure", 0.0), 0, 1),
        "input_brightness": np.clip(random.normal(0.5, 0.1, n) - change.get("darker", 0.0), 0, 1),
        "input_width": random.integers(300, 2000, n), "input_channels": random.choice([1, 3, 4], n, p=[0.05, 0.85, 0.1]),
        "input_format": random.choice(["JPEG/RGB", "PNG/RGBA"], n), "source_prefix": random.choice(["a", "b"], n),
    })  # fmt: skip


def found(now: pd.DataFrame, before: pd.DataFrame) -> dict[str, Shift]:
    return {shift.column: shift for shift in world(now, before)}


def shifted(now: pd.DataFrame, before: pd.DataFrame) -> set[str]:
    return {name for name, shift in found(now, before).items() if shift.verdict == "associated"}


def test_planted_shifts_are_found_and_nothing_else() -> None:
    now = recognitions(600, 1, cats=0.5, darker=0.06, less_sure=0.1)
    assert shifted(now, recognitions(600, 2)) == {"top1_label", "input_brightness", "top1_score"}
    by_name = found(now, recognitions(600, 2))
    label, brightness = by_name["top1_label"], by_name["input_brightness"]
    assert label.value == "tabby"
    assert label.estimate == pytest.approx(0.2, abs=0.07)
    assert label.interval is not None
    assert label.interval[0] < 0.2 < label.interval[1]
    assert brightness.estimate == pytest.approx(-0.06, abs=0.02)
    assert label.sentence().startswith("top1_label = tabby: ")


def test_the_same_world_twice_shifts_in_few_of_many_comparisons() -> None:
    wrong = sum(bool(shifted(recognitions(300, 2 * k), recognitions(300, 2 * k + 1))) for k in range(1, 41))
    assert wrong <= 6  # q < 0.05 over each comparison: 2 of 40 are expected


def test_little_is_too_little_and_one_value_never_varied() -> None:
    assert {shift.verdict for shift in world(recognitions(20, 1), recognitions(500, 2))} == {"too_few"}
    same = [recognitions(100, seed).assign(model_name="lite") for seed in (1, 2)]
    assert found(*same)["model_name"].verdict == "never_varied"
    assert world(pd.DataFrame(), pd.DataFrame()) == ()


def test_weights_count_as_requests() -> None:
    """Cats are as many as ever; their traces were kept five times as often."""
    now, before = recognitions(3000, 1), recognitions(600, 2)
    kept = np.where(now["top1_label"] == "tabby", 1.0, 0.2)
    now["sampling_weight"] = 1 / kept
    now = now[np.random.default_rng(3).random(len(now)) < kept]
    assert "top1_label" not in shifted(now, before)
    assert "top1_label" in shifted(now.drop(columns="sampling_weight"), before)


def test_many_values_are_told_apart_up_to_a_bound() -> None:
    random = np.random.default_rng(0)
    frames = [pd.DataFrame({"source_prefix": random.integers(0, 500, 2000).astype(str)}) for _ in range(2)]
    (shift,) = world(*frames)
    assert shift.verdict == "not_shown"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_sentence_keeps_the_contract(language: str) -> None:
    shifts = [*world(recognitions(300, 1, cats=0.5), recognitions(300, 2)), *world(recognitions(9, 1), recognitions(9, 2))]
    for shift in shifts:
        assert lint(shift.sentence(language)) == [], shift  # type: ignore[arg-type]
