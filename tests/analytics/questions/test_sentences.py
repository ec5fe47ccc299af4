"""The words: numbers with units, and no claim of a cause."""

from __future__ import annotations

import pytest

from analytics.questions.sentences import LANGUAGES, TEMPLATES, amount, interval, lint, number


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1234567, "0.123"),
        (12.0, "12"),
        (1234.5, "1234"),
        (-0.5, "-0.5"),
        (0.0, "0"),
        (None, "-"),
        (float("nan"), "-"),
        (2.5e9, "2.5e+09"),
    ],
)
def test_numbers_keep_the_digits_that_matter(value: float | None, text: str) -> None:
    assert number(value) == text


def test_shares_are_percent_and_their_changes_points() -> None:
    assert amount(0.25, "share") == "25 %"
    assert amount(0.25, "share", signed=True) == "+25 pp"
    assert interval((-0.01, 0.02), "share", change=True) == "95 % interval -1 pp to +2 pp"
    assert amount(3.14159, "ms") == "3.14 ms"


def test_the_linter_finds_causes_and_missing_numbers() -> None:
    assert lint("A causes B (n = 3).") == ["says 'causes' of an association"]
    assert lint("A causes B (n = 3).", causal=True) == []
    assert lint("A goes with B.") == ["no n"]
    assert lint("A goes with B: None (n = 3).") == ["a value is missing"]
    assert lint("A 导致 B(n = 3)。") != []


def test_every_template_is_in_both_languages_with_the_same_values() -> None:
    for key, texts in TEMPLATES.items():
        asked = [sorted({part.split("}")[0] for part in texts[language].split("{")[1:]}) for language in LANGUAGES]
        assert asked[0] == asked[1], key
