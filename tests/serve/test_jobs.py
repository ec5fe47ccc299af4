"""The table of jobs: claimed once, in order, and final only once."""

import threading
import time
from pathlib import Path

import pytest

from serve import jobs
from serve.jobs import JobTable
from telemetry.names import search_keys


def row(job_id: str, **more) -> dict:
    return {
        "job_id": job_id, "request_id": f"r-{job_id}", "operation": "generate", "state": jobs.QUEUED, "values": {"fps": 25.0},
        "traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01", "accepted_ns": time.time_ns(), **more,
    }  # fmt: skip


@pytest.fixture
def table(tmp_path: Path) -> JobTable:
    return JobTable(f"sqlite:///{tmp_path / 'jobs.db'}")


def test_a_job_is_found_by_either_id(table: JobTable) -> None:
    table.add(row("one"))
    for id in ("one", "r-one"):
        found = table.get(id)
        assert found is not None
        assert found["values"] == {"fps": 25.0}
    assert table.get("two") is None


def test_the_highest_priority_goes_first_then_the_oldest(table: JobTable) -> None:
    table.add(row("old"))
    table.add(row("new"))
    table.add(row("urgent", priority=5))
    assert [table.claim("me")["job_id"] for _ in range(3)] == ["urgent", "old", "new"]
    assert table.claim("me") is None


def test_a_job_that_must_wait_is_not_claimed(table: JobTable) -> None:
    table.add(row("later", not_before=time.time() + 60))
    assert table.claim("me") is None


def test_many_claimers_get_every_job_once(table: JobTable) -> None:
    for number in range(40):
        table.add(row(str(number)))
    claimed: list[str] = []

    def work(name: str) -> None:
        while (taken := table.claim(name)) is not None:
            claimed.append(taken["job_id"])

    threads = [threading.Thread(target=work, args=(str(number),)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed, key=int) == [str(number) for number in range(40)]


def test_a_final_state_stays(table: JobTable) -> None:
    table.add(row("one"))
    assert table.finish("one", jobs.SUCCEEDED, result={"status": "ok"})
    assert not table.finish("one", jobs.FAILED)
    assert table.get("one")["state"] == jobs.SUCCEEDED


def test_position_counts_who_goes_before(table: JobTable) -> None:
    for name in ("first", "second", "third"):
        table.add(row(name))
    assert table.position(table.get("third")) == 2
    assert table.waiting() == 3


def test_orphans_are_those_of_another_runner(table: JobTable) -> None:
    table.add(row("one"))
    table.claim("dead")
    assert [r["job_id"] for r in table.orphans("alive")] == ["one"]
    assert not table.orphans("dead")


def test_the_same_upload_is_noted_once_for_each_owner(table: JobTable) -> None:
    for owner in ("a", "a", "b"):
        table.add_asset("f" * 64, owner, "face.png", 7)


def test_an_upload_is_found_by_letters_pinyin_and_one_letter_off(table: JobTable) -> None:
    for number, name in enumerate(("bailing.png", "bai-ling.jpg", "百灵.png", "dog.png")):
        table.add_asset(str(number) * 64, "", name, 1, search_keys(name))
    for query in ("bailing", "bai ling", "bailin"):
        assert {row["name"] for row in table.find_assets(query)} == {"bailing.png", "bai-ling.jpg", "百灵.png"}, query
