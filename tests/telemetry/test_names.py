"""A file is found by what a person remembers of its name."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.names import MAX_KEYS, invisible, matches, normalise, read_synonyms, search_keys


@pytest.mark.parametrize(
    "name",
    ["bailing.png", "bai-ling.jpg", "百灵.png", "BaiLing.PNG", "ｂａｉｌｉｎｇ．ｐｎｇ", "bai\u200bling.png", "a/b/bai_ling"],
)
def test_bailing_is_found_however_it_is_written(name: str) -> None:
    assert matches("bailing", search_keys(name, {}), {})
    assert matches("百灵", search_keys(name, {}), {})


@pytest.mark.parametrize("typo", ["bailin", "bailng", "baling", "bialing", "bailingg", "vailing", "bail1ng"])
def test_one_letter_off_is_near_enough(typo: str) -> None:
    assert matches(typo, search_keys("百灵.png"))


@pytest.mark.parametrize("other", ["banking", "xyz", "gnilaib", ""])
def test_what_is_further_off_is_not_found(other: str) -> None:
    assert not matches(other, ["bailing"], {})


def test_a_short_name_forgives_nothing() -> None:
    assert not matches("cat", search_keys("car.png"))


def test_synonyms_are_found_and_can_be_extended(tmp_path: Path) -> None:
    assert matches("lark", search_keys("百灵.png"))
    (tmp_path / "more.txt").write_text("boss 老板  # who pays\n", "utf-8")
    own = read_synonyms(tmp_path / "more.txt")
    assert matches("boss", search_keys("老板.png", own), own)
    assert not matches("boss", search_keys("老板.png", {}), {})


def test_a_character_with_several_readings_is_found_by_each() -> None:
    keys = search_keys("银行.png")
    assert {"yinhang", "yinxing"} <= set(keys)
    assert len(search_keys("行" * 12)) <= MAX_KEYS


def test_the_ending_is_no_part_of_the_name_but_a_version_is() -> None:
    assert search_keys("take.v1.2.png", {}) == ["takev12"]
    assert search_keys("take v1.2", {}) == ["takev12"]
    assert search_keys("…", {}) == []


@given(st.text(max_size=20))
def test_normalising_twice_changes_nothing_and_a_name_finds_itself(name: str) -> None:
    assert normalise(normalise(name)) == normalise(name)
    keys = search_keys(name, {})
    assert not keys or matches(name, keys, {})


@pytest.mark.parametrize(
    ("name", "hidden"),
    [
        ("speech.wav", []),
        ("百灵 1.png", []),
        ("a\u200bb\u200b.png", ["U+200B"]),
        ("\ufeffa\u202e.png", ["U+FEFF", "U+202E"]),
        ("a\n.png", ["U+000A"]),
    ],
)
def test_characters_that_nobody_sees_are_named_once(name: str, hidden: list[str]) -> None:
    assert invisible(name) == hidden
