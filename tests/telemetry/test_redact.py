"""Keyed hashes: the same key gives the same hash, whoever made the key."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from telemetry.redact import Redactor


def test_a_hash_is_stable_keyed_and_holds_any_file_name() -> None:
    redactor = Redactor(b"k" * 32)
    assert redactor.hash("Alice") == Redactor(b"k" * 32).hash("Alice") != Redactor(b"l" * 32).hash("Alice")
    assert len(redactor.hash("a\udcff.png")) == 32


def test_the_key_file_is_the_owners_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "redact.key"
    first = Redactor.from_file(path).hash("x")
    assert Redactor.from_file(path).hash("x") == first
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_size == 32
    assert list(path.parent.iterdir()) == [path], "no draft stays behind"


def test_all_who_start_at_once_agree_on_one_key(tmp_path: Path) -> None:
    hashes: list[str] = []
    barrier = threading.Barrier(8)

    def start() -> None:
        barrier.wait()
        hashes.append(Redactor.from_file(tmp_path / "key").hash("x"))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(hashes) == 8
    assert len(set(hashes)) == 1


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="5 bytes"):
        Redactor(b"short")
