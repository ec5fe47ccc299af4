"""The audit trail: what is told in it, and that one changed byte, a missing, an added or a moved entry is found where it is."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from serve import jobs
from serve.audit import Trail
from serve.jobs import JobTable
from sonoscope.cli import app


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with eight entries of two persons."""
    trail = Trail(f"sqlite:///{tmp_path / 'jobs.db'}")
    for number in range(8):
        person = "lin" if number % 2 else "kai"
        about = {"department": "film", "owner_hash": f"hash-{person}", "who": person, "request_id": f"r{number}"}
        trail.note("video", about)
    return tmp_path / "jobs.db"


def trail_of(path: Path) -> Trail:
    return Trail(f"sqlite:///{path}")


def change(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as connection:
        assert connection.execute(statement).rowcount >= 1


def test_an_untouched_trail_holds_and_says_its_head(path: Path) -> None:
    told = trail_of(path).verify()
    assert (told.entries, told.erased, told.faults) == (8, 0, ())
    assert told.head[0] == 8
    assert len(told.head[1]) == 64


@pytest.mark.parametrize(
    ("statement", "at"),
    [
        ("UPDATE audit SET entry = replace(entry, 'lin', 'lim') WHERE seq = 4", 4),
        ("UPDATE audit SET salt = 'x' || substr(salt, 2) WHERE seq = 5", 5),
        ("UPDATE audit SET commitment = replace(commitment, substr(commitment, 1, 1), 'x') WHERE seq = 3", 3),
        ("UPDATE audit SET hash = replace(hash, substr(hash, 1, 1), 'x') WHERE seq = 2", 2),
        ("UPDATE audit SET owner_hash = 'hash-kai' WHERE seq = 4", 4),
        ("DELETE FROM audit WHERE seq = 6", 6),
        ("DELETE FROM audit WHERE seq = 8", 8),
        ("UPDATE audit SET seq = 9 WHERE seq = 8", 8),
        ("UPDATE audit SET entry = NULL, salt = NULL WHERE seq = 7", 7),
    ],
)  # fmt: skip
def test_one_changed_byte_is_found_where_it_is(path: Path, statement: str, at: int) -> None:
    change(path, statement)
    faults = trail_of(path).verify().faults
    assert faults
    assert faults[0].seq == at


def test_the_last_entries_cannot_be_cut_off_together_with_the_head(path: Path) -> None:
    """Cutting both leaves a whole, shorter trail: only a head that is kept elsewhere tells. The command prints it for that."""
    head = trail_of(path).verify().head
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM audit WHERE seq = 8")
        connection.execute("UPDATE audit_head SET seq = 7, hash = (SELECT hash FROM audit WHERE seq = 7)")
    told = trail_of(path).verify()
    assert not told.faults
    assert told.head != head


def test_erasing_a_person_leaves_the_chain_whole_and_nothing_to_guess_from(path: Path) -> None:
    trail = trail_of(path)
    assert trail.erase("asked by the person", owner_hash="hash-lin") == (4, ["r1", "r3", "r5", "r7"])
    told = trail.verify()
    assert (told.entries, told.erased, told.faults) == (9, 4, ())
    left = list(trail.entries())
    assert {entry.get("who") for entry in left} == {"kai", None}
    assert left[-1]["why"] == "asked by the person"
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT * FROM audit WHERE entry IS NULL").fetchall()
    assert len(rows) == 4
    assert not any("lin" in str(value) for row in rows for value in row)
    assert trail.erase("again", owner_hash="hash-lin") == (0, [])


def test_entries_of_several_processes_make_one_chain(path: Path) -> None:
    def write(number: int) -> None:
        trail = trail_of(path)
        for _ in range(20):
            trail.note("score", {"request_id": f"w{number}"})

    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for one in writers:
        one.start()
    for one in writers:
        one.join()
    told = trail_of(path).verify()
    assert (told.entries, told.faults) == (88, ())


def test_a_job_and_its_end_are_told_with_them_or_not_at_all(table: JobTable, job: Callable[..., dict[str, Any]]) -> None:
    trail = Trail(str(table.engine.url.render_as_string(hide_password=False)))
    values = {"department": "film", "inference_steps": 25, "portrait_hash": "p" * 64, "source_prefix": "x"}
    table.add(job("one", values=values), "generate", {"who": "lin", "consent_reference": "C-17"})
    row = table.claim("me", 30.0)
    assert row is not None
    assert table.finish(row, jobs.FAILED, error={"type": "face_not_found"})
    assert not table.finish(row, jobs.SUCCEEDED)
    first, second = trail.entries(request_id=row["request_id"])
    assert (first["action"], first["settings"], first["who"], first["consent_reference"]) == (
        "generate", {"inference_steps": 25}, "lin", "C-17",
    )  # fmt: skip
    assert (second["action"], second["state"], second["error_type"]) == ("ended", "failed", "face_not_found")
    assert not trail.verify().faults
    trail.close()


def test_the_commands_show_export_verify_and_erase(path: Path, tmp_path: Path) -> None:
    def run(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["audit", *words, "--data-dir", str(tmp_path)])
        return done.exit_code, done.output

    assert [entry["who"] for entry in json.loads(run("list", "--request", "r3", "--json")[1])] == ["lin"]
    assert run("list", "--department", "film", "-o", str(tmp_path / "all.parquet"))[0] == 0
    assert len(pd.read_parquet(tmp_path / "all.parquet")) == 8
    assert json.loads(run("verify", "--json")[1])["entries"] == 8
    (tmp_path / "videos").mkdir(exist_ok=True)
    (tmp_path / "videos" / "r3.mp4").write_bytes(b"video")
    assert "1 entries erased" in run("erase", "the person asked", "--request", "r3")[1]
    assert not (tmp_path / "videos" / "r3.mp4").exists()
    assert run("erase", "why")[0] == 1
    change(path, "UPDATE audit SET entry = replace(entry, 'kai', 'kay') WHERE seq = 1")
    code, said = run("verify")
    assert code == 1
    assert "entry 1" in said
