"""Anything at all as YAML: a value or a YAMLError, soon, and no larger than the file."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from telemetry.yaml_text import MAX_CHARACTERS, read_yaml
from tests.fuzzing import cases, nothing_left_behind, sent_bytes

BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGED = "a: &a {x: 1}\n" + "".join(
    f"{b}: &{b} {{<<: [*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a}]}}\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
SEEDS = (
    b"- {fault: tail_cut, seconds: 1.5, when: {share: 0.5, after: 2026-01-01T00:00:00Z}}\n",
    b"columns:\n  steps: &s {span: gen.steps, type: int}\n  again: *s\nrecord: {<<: {span: x}}\n",
    b"a: !!set {x, y}\nb: !!binary aGk=\nc: !!timestamp 2001-01-01\nd: !!omap [a: 1]\ne: |\n  text\n",
)


@pytest.fixture(autouse=True)
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with nothing_left_behind(tmp_path, monkeypatch):
        yield


@cases(400)
@given(st.one_of(sent_bytes(SEEDS).map(lambda data: data.decode("utf-8", "replace")), st.text(max_size=60)))
@example(BOMB)
@example(MERGED)
@example("&a [*a]")
@example("&a {<<: *a}")
@example("[" * 5000)
@example("{a: " * 300)
@example("? " * 2000)
@example("- " * 2000)
@example("2001-99-99")
@example("!!timestamp x")
@example("!!int ''")
@example("!!bool x")
@example("!!float x")
@example("!!int 0b")
@example("9" * 5000)
@example('"\\ud800"')
@example('"\\UFFFFFFFF"')
@example("1:" + "9:" * 3000 + "9.0")
@example("[[1]]: 2")
@example("x" * (MAX_CHARACTERS + 1))
def test_a_value_or_a_yaml_error(text: str) -> None:
    try:
        value = read_yaml(text)
    except yaml.YAMLError:
        return
    repr(value).encode()  # what aliases stand for can be written out, and is text


def test_what_people_write_is_read_as_ever() -> None:
    assert read_yaml("") is None
    assert read_yaml("a: &x {b: 1}\nc: *x\nd: {<<: *x, e: 2026-01-01}") == yaml.safe_load(
        "a: &x {b: 1}\nc: *x\nd: {<<: *x, e: 2026-01-01}"
    )
