"""The table of all benchmarks: every ratio once with its aim, every failure with its reason."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from bench import ratios
from bench.ratios import Ratio, keep
from bench.table import ALL, Benchmark, Ran, run, table

WHEN = datetime.date(2026, 11, 27)


def test_ratios_come_back_as_they_were_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tmp_path / "ratios.jsonl"
    monkeypatch.setenv(ratios.KEPT, str(kept))
    keep("a join", 1.4, "a bare join", at_most=1.5)
    keep("videos a second", 0.5, "the cores", at_least=0.95)
    keep("a model", 3.0, "no model")
    found = ratios.read(kept)
    assert found[0] == Ratio("a join", 1.4, "a bare join", "at most", 1.5)
    assert [one.met for one in found] == [True, False, None]


def test_nothing_is_kept_where_nobody_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ratios.KEPT, raising=False)
    monkeypatch.chdir(tmp_path)
    keep("a join", 1.4, "a bare join")
    assert not list(tmp_path.iterdir())


def test_a_benchmark_runs_in_a_process_and_its_ratios_are_in_the_page() -> None:
    ran = run(Benchmark("capacity", "explain.md"))
    assert not ran.failed
    assert [one.against for one in ran.ratios] == ["a simulated queue"] * 2
    page = table("2 cores", WHEN, [ran])
    assert page.count("a simulated queue") == 2
    assert "[capacity](explain.md)" in page
    assert "2026-11-27: 2 cores" in page


@pytest.mark.parametrize("name", ["console", "contrast", "coverage", "read", "scale_sim"])
def test_those_that_take_seconds_still_run(name: str) -> None:
    ran = run(next(one for one in ALL if one.name == name))
    assert not ran.failed, ran.said
    assert ran.ratios


def test_what_fails_or_takes_too_long_says_so() -> None:
    broken = run(Benchmark("capacity", "explain.md", ("--no-such-flag",)))
    slow = run(Benchmark("capacity", "explain.md", limit_s=0.1))
    assert broken.failed
    assert "--no-such-flag" in broken.said
    assert slow.failed
    assert "not done after 0.1 s" in slow.said
    assert table("2 cores", WHEN, [broken, slow]).count("**failed**") == 2


def test_a_missed_aim_is_named() -> None:
    page = table("2 cores", WHEN, [Ran(Benchmark("load", "jobs.md"), ratios=[Ratio("videos", 0.5, "cores", "at least", 0.95)])])
    assert "| 0.5 | at least 0.95 | **missed** |" in page


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.name)
def test_each_benchmark_and_its_page_are_there(one: Benchmark) -> None:
    root = Path(__file__).parents[2]
    assert (root / "bench" / f"{one.name}.py").exists()
    assert (root / "docs" / one.page).resolve().exists()
