"""A sample is the same at every asking, about as large as asked, and keeps rare requests that are asked about."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import numpy as np
import pandas as pd
import pytest

from analytics.filters import parse
from analytics.points import points
from analytics.requests import Joined
from analytics.sample import sample, sides

N = 20_000


@pytest.fixture(scope="module")
def view() -> Iterator[Joined]:
    """20,000 requests, every hundredth with a drift of 150 ms, every fifth without a number of steps."""
    place = np.arange(N)
    steps = pd.array(np.where(place % 5, 25, -1), "Int64")
    frame = pd.DataFrame({
        "request_id": [f"request-{k}" for k in place], "trace_id": None, "inference_steps": steps,
        "audio_drift_ms": np.where(place % 100 == 7, 150.0, 10.0),
    })  # fmt: skip
    frame.loc[frame["inference_steps"] < 0, "inference_steps"] = pd.NA
    with duckdb.connect() as connection:
        connection.register("requests", frame)
        yield Joined(connection, truncated=False)


def ids(table) -> list[str]:
    return table.column("request_id").to_pylist()


def test_a_sample_is_about_as_large_as_asked_and_always_the_same(view: Joined) -> None:
    found = sample(view, ["request_id"], None, 2_000)
    assert (found.of, found.whole) == (N, False)
    assert found.n == pytest.approx(2_000, rel=0.1)
    assert ids(found.table) == ids(sample(view, ["request_id"], None, 2_000).table)


def test_what_is_small_is_taken_whole(view: Joined) -> None:
    found = sample(view, ["request_id"], parse("audio_drift_ms > 100.0"), 2_000)
    assert (found.n, found.of, found.whole) == (200, 200, True)


def test_rows_without_any_of_the_values_are_not_counted(view: Joined) -> None:
    assert sample(view, ["request_id"], None, 10**6, any_of=["inference_steps"]).of == N * 4 // 5


def test_of_rare_ones_all_are_taken_and_each_row_knows_how_many_it_stands_for(view: Joined) -> None:
    found = sides(view, ["request_id", "audio_drift_ms"], None, parse("audio_drift_ms > 100.0"), 2_000)
    assert (found.bad, found.rest, int(found.inside.sum()), found.whole) == (200, N - 200, 200, False)
    assert set(np.asarray(found.table.column("audio_drift_ms"))[found.inside]) == {150.0}
    assert found.stands[0] == 1.0
    assert found.stands[1] == pytest.approx(N / 1_800, rel=0.15)


def test_dots_are_few_and_their_number_is_said(view: Joined) -> None:
    found, count = points(view, None, ["inference_steps", "audio_drift_ms"], 1_000)
    assert count == N * 4 // 5
    assert 800 < found.num_rows <= 1_000
