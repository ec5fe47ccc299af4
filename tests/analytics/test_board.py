"""Rows held in memory: one taking for many looks, taken anew in the background, old ones while the store is down."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from analytics.board import Board
from analytics.compare import inputs, newest
from analytics.filters import parse
from analytics.requests import Joined, joined
from analytics.stores.base import Range
from tests.analytics.conftest import START, Service


class Source:
    """Opens the rows of a service, counts how often, and fails when told to."""

    def __init__(self, service: Service) -> None:
        self.service, self.takings, self.broken = service, 0, False

    @contextmanager
    def __call__(self) -> Iterator[Joined]:
        self.takings += 1
        if self.broken:
            raise OSError("the disk is gone")
        with joined(self.service.store, Range()) as view:
            yield view


def wait_for(condition) -> None:
    end = time.monotonic() + 200
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_many_looks_take_the_rows_once(service: Service) -> None:
    service.request(1)
    source = Source(service)
    board = Board(source, fresh_s=3600)
    threads = [threading.Thread(target=board.held) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert source.takings == 1
    with board.view() as view:
        assert view.count(parse("operation = generate"))[0] == 1


def test_old_rows_answer_while_new_ones_are_taken(service: Service) -> None:
    service.request(1)
    board = Board(Source(service), fresh_s=0.0, shares_of_time=0.0)
    assert board.held().coverage.requests == 1
    service.request(2)
    assert board.held().coverage.requests == 1
    wait_for(lambda: board.held().coverage.requests == 2)


def test_a_store_that_fails_later_leaves_the_rows_and_says_why(service: Service) -> None:
    service.request(1)
    source = Source(service)
    board = Board(source, fresh_s=0.0, shares_of_time=0.0)
    board.held()
    source.broken = True
    board.held()
    wait_for(lambda: board.error is not None)
    assert "disk is gone" in str(board.error)
    assert board.held().table.num_rows == 1
    source.broken = False
    board.held()
    wait_for(lambda: board.error is None)


def test_rows_are_not_taken_again_where_nothing_was_written(service: Service) -> None:
    service.request(1)
    source = Source(service)
    board = Board(source, position=service.store.position, fresh_s=0.0, shares_of_time=0.0)
    first = board.held()
    wait_for(lambda: board.held().seen_at > first.seen_at)
    assert (source.takings, board.held().taken_at) == (1, first.taken_at)
    service.request(2)
    wait_for(lambda: board.held().coverage.requests == 2)
    assert source.takings == 2


def test_who_does_not_wait_for_the_first_rows_has_them_at_a_later_look(service: Service) -> None:
    service.request(1)
    gate = threading.Event()

    @contextmanager
    def slow() -> Iterator[Joined]:
        assert gate.wait(200)
        with joined(service.store, Range()) as view:
            yield view

    board = Board(slow)
    assert board.ready(0.0) is None
    gate.set()
    wait_for(lambda: board.ready(0.0) is not None)
    assert board.held().coverage.requests == 1


def test_the_columns_that_hold_something_are_known(service: Service) -> None:
    service.request(1, inference_steps=25)
    held = Board(Source(service)).held()
    assert "inference_steps" in held.filled
    assert "user_score" not in held.filled


def test_a_store_that_never_answered_raises(service: Service) -> None:
    source = Source(service)
    source.broken = True
    with pytest.raises(OSError, match="disk is gone"):
        Board(source).held()


def test_videos_of_one_input_the_newest_of_each_setting(service: Service) -> None:
    same = {"portrait_hash": "a" * 64, "audio_hash": "b" * 64}
    for number, steps in enumerate((10, 20, 20, 30)):
        service.request(number, START + number * 10**9, inference_steps=steps, **same)
    service.request(9, inference_steps=99, portrait_hash="c" * 64, audio_hash="d" * 64)
    with Board(Source(service)).view() as view:
        assert inputs(view).to_pylist() == [{"input": "aaaaaaaa/bbbbbbbb", "count": 4}, {"input": "cccccccc/dddddddd", "count": 1}]
        rows = newest(view, None, "aaaaaaaa/bbbbbbbb", ["inference_steps"], ["audio_drift_ms"], 12).to_pylist()
    assert [(row["request_id"], row["inference_steps"]) for row in rows] == [
        ("request-0000", 10), ("request-0002", 20), ("request-0003", 30),
    ]  # fmt: skip
