"""What a stage moves and multiplies is counted as one counts it by hand; the figure of the autoscaler shows what it was given."""

from __future__ import annotations

import pytest
import torch

from bench.autoscale_figure import Line, figure
from bench.gpu import Ceilings, Moved, Stage, counted

MOST = Ceilings(copied=1e9, half=1e12, full=1e12, off=1e9)


def test_a_product_reads_both_sides_and_writes_the_result() -> None:
    one, other = torch.ones((10, 20)), torch.ones((20, 30))
    moved, operations, least = counted(lambda: one @ other, MOST, rate=1e3)
    assert moved == 4 * (200 + 600 + 300)
    assert operations == 2 * 10 * 20 * 30
    assert least == pytest.approx(operations / 1e3)


def test_a_lookup_counts_what_it_takes_and_a_view_nothing() -> None:
    table, index = torch.zeros(1_000_000, dtype=torch.int32), torch.arange(10)
    with Moved() as moved:
        table.index_select(0, index)
    assert moved.bytes == 10 * 8 + 2 * 10 * 4
    with Moved() as moved:
        table.view(1000, 1000)[3:5]
    assert moved.bytes == 0
    with Moved() as moved:
        table.add_(1)
    assert moved.bytes == 2 * 4_000_000


def test_a_stage_that_takes_twice_the_least_is_at_half() -> None:
    assert Stage("drawing", 10, 2.0, 1.0).share == 0.5


def test_the_figure_steps_from_value_to_value() -> None:
    line = Line("running")
    line.at(0, 0)
    line.at(50, 2)
    drawn = figure([("replicas", [line])], until_s=100)
    assert drawn.startswith("<svg")
    assert "450.0,140.0 450.0,30.0" in drawn  # in the middle of the time from the bottom of the panel to its top
    assert "replicas" in drawn
