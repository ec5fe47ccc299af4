"""Results go after the stated time, the job says so for as long again, and then it goes too."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

from deployments.artifacts import FolderArtifacts
from serve import jobs
from serve.jobs import JobTable
from serve.retention import sweep, sweep_assets
from serve.uploads import AssetStore


def test_a_result_is_removed_after_its_time_and_its_job_later(tmp_path: Path, table: JobTable, job: Callable[..., dict]) -> None:
    videos, store = tmp_path / "videos", FolderArtifacts(tmp_path)
    videos.mkdir()
    for name, age_s in (("fresh", 1), ("old", 15), ("ancient", 25)):
        table.add(job(name))
        row = table.claim("me", 30.0)
        assert row is not None
        table.finish(row, jobs.SUCCEEDED, ended_ns=time.time_ns() - age_s * 10**9)
        for suffix in (".mp4", ".sync.parquet"):
            (videos / f"r-{name}{suffix}").touch()
    assert sweep(table, store, 10.0) == 2
    assert {path.name for path in videos.glob("r-*")} == {"r-fresh.mp4", "r-fresh.sync.parquet"}
    assert table.get("fresh")["removed_ns"] is None
    assert table.get("old")["removed_ns"] is not None
    assert table.get("ancient") is None
    assert sweep(table, store, 10.0) == 0


def test_what_a_killed_encoder_left_goes_with_the_rest_and_nothing_else(tmp_path: Path) -> None:
    for name in ("a.mp4", ".a.mp4.1f.part", "a.sync.parquet", "ab.mp4", ".ab.mp4.2e.part"):
        (tmp_path / "videos").mkdir(exist_ok=True)
        (tmp_path / "videos" / name).touch()
    FolderArtifacts(tmp_path).remove_result("a")
    assert {path.name for path in (tmp_path / "videos").iterdir()} == {"ab.mp4", ".ab.mp4.2e.part"}


def test_an_upload_goes_after_its_last_use_and_never_while_a_job_needs_it(
    tmp_path: Path, table: JobTable, job: Callable[..., dict]
) -> None:
    folder, store = tmp_path / "assets", FolderArtifacts(tmp_path)
    folder.mkdir()
    needed, used, old = ("a" * 64, "b" * 64, "c" * 64)
    for name in (needed, used, old, ".1f.part"):
        (folder / name).touch()
        os.utime(folder / name, (time.time() - 15,) * 2)
        table.add_asset(name, "", f"{name[0]}.png", 0)
    table.add(job("waiting", values={"portrait_hash": needed, "audio_hash": None}))
    asyncio.run(AssetStore(store).find(used, "portrait"))
    assert sweep_assets(table, store, 10.0) == 2
    assert {path.name for path in folder.iterdir()} == {needed, used}
    assert not table.has_asset(old, "")
    assert table.has_asset(used, "")
    row = table.claim("me", 30.0)
    assert row is not None
    table.finish(row, jobs.SUCCEEDED, ended_ns=time.time_ns())
    assert sweep_assets(table, store, 10.0) == 1
