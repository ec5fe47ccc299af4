"""Answers are made once, in the background where they take long, and an older one stands in for the newest."""

from __future__ import annotations

import threading
import time

import pytest

from analytics.answers import Answers, Question


def asked(version: int = 1, *options: int) -> Question:
    return Question("effects", options, ("status = ok", None), version)


def eventually(condition) -> None:
    end = time.monotonic() + 200
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_an_answer_is_made_once_for_the_same_rows_and_options() -> None:
    answers, made = Answers(), list[int]()
    for version, option in ((1, 5), (1, 5), (1, 6), (2, 5)):
        answers.now(asked(version, option), lambda: made.append(1))
    assert len(made) == 3


def test_none_is_an_answer_like_any_other() -> None:
    answers, made = Answers(), list[int]()
    for _ in range(2):
        assert answers.soon(asked(), lambda: made.append(1), 200.0) == (None,)
    assert made == [1]


def test_what_takes_long_is_there_at_a_later_look() -> None:
    answers, gate = Answers(), threading.Event()
    assert answers.soon(asked(), lambda: gate.wait(200), 0.0) is None
    assert not answers.done(asked())
    gate.set()
    eventually(lambda: answers.done(asked()))
    assert answers.soon(asked(), lambda: pytest.fail("made twice"), 0.0) == (True,)


def test_the_answer_over_older_rows_stands_while_the_new_one_is_made() -> None:
    answers, gate = Answers(), threading.Event()
    assert answers.soon(asked(1), lambda: "old", 200.0) == ("old",)
    assert answers.soon(asked(2), lambda: gate.wait(200) and "new", 0.0) == ("old",)
    gate.set()
    eventually(lambda: answers.soon(asked(2), lambda: "new", 0.0) == ("new",))


def test_an_error_reaches_who_asks_and_is_not_kept() -> None:
    answers = Answers()

    def fail() -> str:
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="disk"):
        answers.soon(asked(), fail, 200.0)
    assert answers.soon(asked(), lambda: "well", 200.0) == ("well",)


def test_only_so_many_are_kept() -> None:
    answers, made = Answers(size=2), list[int]()
    for option in (1, 2, 3, 1):
        answers.now(asked(1, option), lambda option=option: made.append(option))
    assert made == [1, 2, 3, 1]
