"""The cache of a node: whole files, a bound, nothing taken away from whoever reads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deployments.node_cache import LEFT_OVER_S, NodeCache


def content(text: str):
    return lambda draft: draft.write_text(text)


def never(draft: Path) -> None:
    raise AssertionError(f"fetched into {draft}")


def test_a_file_is_fetched_once(tmp_path: Path) -> None:
    cache = NodeCache(tmp_path, 1000)
    with cache.get("a", content("first")) as path:
        assert path.read_text() == "first"
    with cache.get("a", never) as path:
        assert path.read_text() == "first"


def test_beyond_the_bound_the_least_recently_used_go(tmp_path: Path) -> None:
    cache = NodeCache(tmp_path, 25)
    for age, key in ((3, "a"), (2, "b")):
        with cache.get(key, content("0123456789")) as path:
            os.utime(path, (1000 - age, 1000 - age))
    with cache.get("a", never):
        pass  # used just now, so that b is older
    with cache.get("c", content("0123456789")):
        pass
    assert cache.find("b") is None
    assert all(cache.find(key) is not None for key in "ac")


def test_what_is_in_use_stays_even_beyond_the_bound(tmp_path: Path) -> None:
    cache = NodeCache(tmp_path, 0)
    with cache.get("a", content("0123456789")) as path:
        cache.trim()
        assert path.read_text() == "0123456789"
    cache.trim()
    assert not path.exists()


def test_another_process_respects_what_this_one_reads(tmp_path: Path) -> None:
    trim = f"from deployments.node_cache import NodeCache; from pathlib import Path; NodeCache(Path({str(tmp_path)!r}), 0).trim()"
    with NodeCache(tmp_path, 0).get("a", content("kept")) as path:
        subprocess.run([sys.executable, "-c", trim], check=True)
        assert path.read_text() == "kept"
    subprocess.run([sys.executable, "-c", trim], check=True)
    assert not path.exists()


def test_a_fetch_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def half(draft: Path) -> None:
        draft.write_text("half")
        raise ConnectionError("gone")

    cache = NodeCache(tmp_path, 1000)
    with pytest.raises(ConnectionError):
        cache.get("a", half)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_of_two_that_fetch_at_once_one_counts_and_both_read(tmp_path: Path) -> None:
    cache = NodeCache(tmp_path, 1000)

    def slow(draft: Path) -> None:
        with cache.get("a", content("first")):  # meanwhile somebody else got it
            draft.write_text("second")

    with cache.get("a", slow) as path:
        assert path.read_text() == "first"
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["a"]


def test_what_dead_processes_left_goes_after_a_day(tmp_path: Path) -> None:
    cache = NodeCache(tmp_path, 1000)
    old, new = cache.draft("old"), cache.draft("new")
    for path in (old, new):
        path.write_text("half")
    at = old.stat().st_mtime - LEFT_OVER_S - 1
    os.utime(old, (at, at))
    cache.trim()
    assert (old.exists(), new.exists()) == (False, True)
