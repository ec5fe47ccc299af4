"""Results go after the stated time, the job says so for as long again, and then it goes too."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from serve import jobs
from serve.jobs import JobTable
from serve.retention import remove_files, sweep


def test_a_result_is_removed_after_its_time_and_its_job_later(tmp_path: Path, table: JobTable, job: Callable[..., dict]) -> None:
    for name, age_s in (("fresh", 1), ("old", 15), ("ancient", 25)):
        table.add(job(name))
        row = table.claim("me", 30.0)
        assert row is not None
        table.finish(row, jobs.SUCCEEDED, ended_ns=time.time_ns() - age_s * 10**9)
        for suffix in (".mp4", ".sync.parquet"):
            (tmp_path / f"r-{name}{suffix}").touch()
    assert sweep(table, tmp_path, 10.0) == 2
    assert {path.name for path in tmp_path.glob("r-*")} == {"r-fresh.mp4", "r-fresh.sync.parquet"}
    assert table.get("fresh")["removed_ns"] is None
    assert table.get("old")["removed_ns"] is not None
    assert table.get("ancient") is None
    assert sweep(table, tmp_path, 10.0) == 0


def test_what_a_killed_encoder_left_goes_with_the_rest_and_nothing_else(tmp_path: Path) -> None:
    for name in ("a.mp4", ".a.mp4.1f.part", "a.sync.parquet", "ab.mp4", ".ab.mp4.2e.part"):
        (tmp_path / name).touch()
    remove_files(tmp_path, "a")
    assert {path.name for path in tmp_path.iterdir()} == {"ab.mp4", ".ab.mp4.2e.part"}
