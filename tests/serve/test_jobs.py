"""The table of jobs, in SQLite and in PostgreSQL: claimed once, in order, held by leases, and final only once."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from serve import jobs, tables
from serve.jobs import JobTable, KeyTaken
from serve.tables import JOBS
from serve.webhooks import WebhookTable
from telemetry.names import search_keys
from tests.servers.postgres import Postgres

Job = Callable[..., dict]
LEASE_S = 30.0


def held(table: JobTable, job: dict, runner: str = "me", lease_s: float = LEASE_S) -> jobs.Row:
    """The job, stored and claimed."""
    table.add(job)
    row = table.claim(runner, lease_s)
    assert row is not None
    return row


def test_a_job_is_found_by_either_id(table: JobTable, job: Job) -> None:
    table.add(job("one"))
    for id in ("one", "r-one"):
        found = table.get(id)
        assert found is not None
        assert found["values"]["fps"] == 25.0
    assert table.get("two") is None


def test_the_highest_priority_goes_first_then_the_oldest(table: JobTable, job: Job) -> None:
    for name, priority in (("old", 0), ("new", 0), ("batch", -1), ("urgent", 1)):
        table.add(job(name, priority=priority))
    assert [table.claim("me", LEASE_S)["job_id"] for _ in range(4)] == ["urgent", "old", "new", "batch"]
    assert table.claim("me", LEASE_S) is None


def test_a_job_that_must_wait_is_not_claimed(table: JobTable, job: Job) -> None:
    table.add(job("later", not_before=time.time() + 60))
    assert table.claim("me", LEASE_S) is None


def test_many_claimers_get_every_job_once(table: JobTable, job: Job) -> None:
    for number in range(40):
        table.add(job(str(number)))
    claimed: list[str] = []

    def work(name: str) -> None:
        while (taken := table.claim(name, LEASE_S)) is not None:
            claimed.append(taken["job_id"])

    threads = [threading.Thread(target=work, args=(str(number),)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed, key=int) == [str(number) for number in range(40)]


def test_a_final_state_stays_and_is_due_to_be_told(table: JobTable, job: Job) -> None:
    row = held(table, job("one"))
    assert table.finish(row, jobs.SUCCEEDED, ended_ns=time.time_ns(), result={"status": "ok"})
    assert not table.finish(row, jobs.FAILED)
    assert table.get("one")["state"] == jobs.SUCCEEDED
    assert [r["job_id"] for r in table.untold("another", time.time_ns())] == ["one"]
    assert not table.untold("me", time.time_ns()), "its own runner is about to tell it"
    assert not table.untold("another", time.time_ns() - 10**10), "its runner may still be at it"
    table.note("one", "me", told=True)
    assert not table.untold("another", time.time_ns())


def test_the_traces_of_the_jobs_that_have_not_ended_are_named(table: JobTable, job: Job) -> None:
    traces = {name: letter * 32 for name, letter in (("waits", "1"), ("runs", "2"), ("done", "3"))}
    for name, trace in traces.items():
        table.add(job(name, traceparent=f"00-{trace}-{'b' * 16}-01", priority={"waits": -1}.get(name, 0)))
    for _ in range(2):
        row = table.claim("me", LEASE_S)
        assert row is not None
        if row["job_id"] == "done":
            assert table.finish(row, jobs.SUCCEEDED)
    assert table.running_traces() == {traces["waits"], traces["runs"]}


def test_the_jobs_ahead_are_those_that_run_and_those_that_go_before(table: JobTable, job: Job) -> None:
    held(table, job("running"))
    for name in ("first", "second", "third"):
        table.add(job(name))
    table.add(job("urgent", priority=1))
    states = [row["state"] for row in table.ahead(table.get("third"))]
    assert sorted(states) == ["queued"] * 3 + ["running"]
    assert table.waiting() == 4


def test_a_job_whose_lease_has_ended_is_abandoned_and_no_other(table: JobTable, job: Job) -> None:
    held(table, job("dead"), "dead", lease_s=-1)
    held(table, job("alive"), "alive")
    assert [row["job_id"] for row in table.abandoned("new")] == ["dead"]
    assert not table.abandoned("dead"), "who asks lives"


def test_a_lease_is_renewed_for_all_that_a_runner_holds_and_says_what_is_to_be_cancelled(table: JobTable, job: Job) -> None:
    held(table, job("one"), lease_s=-1)
    held(table, job("two"), lease_s=-1)
    table.request_cancel("two")
    assert table.renew("me", LEASE_S) == {"one": False, "two": True}
    assert not table.abandoned("new")


def test_what_a_runner_without_its_lease_writes_changes_nothing(table: JobTable, job: Job) -> None:
    stale = held(table, job("one"), "slow", lease_s=-1)
    assert table.requeue(stale, not_before=0.0, values=stale["values"])
    again = table.claim("new", LEASE_S)
    assert again is not None
    assert again["attempt"] == 2
    table.note("one", "slow", step=7)
    assert not table.requeue(stale, not_before=0.0, values={})
    assert not table.finish(stale, jobs.FAILED)
    now = table.get("one")
    assert (now["state"], now["runner"], now["step"]) == (jobs.RUNNING, "new", None)
    assert table.finish(again, jobs.SUCCEEDED)


def test_a_job_that_is_to_be_cancelled_does_not_go_back_into_the_queue(table: JobTable, job: Job) -> None:
    row = held(table, job("one"))
    table.request_cancel("one")
    assert not table.requeue(row, not_before=0.0, values=row["values"])
    assert table.finish(row, jobs.CANCELLED)


def test_a_queued_job_that_is_cancelled_or_too_late_is_hopeless_and_can_be_taken_by_name(table: JobTable, job: Job) -> None:
    table.add(job("first"))
    table.add(job("cancelled"))
    table.add(job("late", deadline=time.time() - 1))
    table.add(job("in time", deadline=time.time() + 60))
    table.request_cancel("cancelled")
    assert {row["job_id"] for row in table.hopeless()} == {"cancelled", "late"}
    assert table.take("cancelled", "me", LEASE_S)["job_id"] == "cancelled"
    assert table.take("cancelled", "me", LEASE_S) is None


def test_a_key_belongs_to_one_job(table: JobTable, job: Job) -> None:
    table.add(job("one", idempotency_key="k" * 64))
    with pytest.raises(KeyTaken):
        table.add(job("two", idempotency_key="k" * 64))
    assert table.by_key("k" * 64)["job_id"] == "one"
    assert table.get("two") is None
    for name in ("three", "four"):
        table.add(job(name))  # none at all is not a key


def test_a_job_ends_with_its_webhook_due_or_not_at_all(table: JobTable, job: Job) -> None:
    row = held(table, job("one", webhook_url="https://example.org/done"))
    hooks = WebhookTable(table)
    assert hooks.get("one") is None
    assert table.finish(row, jobs.SUCCEEDED)
    assert hooks.get("one")["next_at"] <= time.time()
    assert not table.finish(row, jobs.FAILED)


def test_an_older_table_gets_the_new_columns_and_keeps_its_rows(tmp_path: Path, job: Job) -> None:
    url = f"sqlite:///{tmp_path / 'jobs.db'}"
    table = JobTable(url)
    table.add(job("one"))
    with table.engine.begin() as connection:
        connection.execute(sa.text("DROP INDEX ix_jobs_ended_ns"))
        for name in ("attempt_limit", "content_hash", "queued_ns", "told", "removed_ns"):
            connection.execute(sa.text(f"ALTER TABLE jobs DROP COLUMN {name}"))
    row = JobTable(url).get("one")
    assert row is not None
    assert set(JOBS.columns.keys()) == set(row.keys())


def test_the_same_upload_is_noted_once_for_each_owner(table: JobTable) -> None:
    for owner in ("a", "a", "b"):
        table.add_asset("f" * 64, owner, "face.png", 7)


def test_an_upload_is_found_by_letters_pinyin_and_one_letter_off(tmp_path: Path) -> None:
    table = JobTable(f"sqlite:///{tmp_path / 'jobs.db'}")
    for number, name in enumerate(("bailing.png", "bai-ling.jpg", "百灵.png", "dog.png")):
        table.add_asset(str(number) * 64, "", name, 1, search_keys(name))
    for query in ("bailing", "bai ling", "bailin"):
        assert {row["name"] for row in table.find_assets(query)} == {"bailing.png", "bai-ling.jpg", "百灵.png"}, query


@pytest.mark.server
def test_a_machine_that_vanished_in_a_transaction_holds_no_job(
    postgres: Postgres, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection never ends: the server has to let go of what it had locked."""
    monkeypatch.setitem(tables.GONE, "idle_in_transaction_session_timeout", "1s")
    vanished, next_one = JobTable(postgres.url), JobTable(postgres.url)
    row = held(vanished, job(), lease_s=0.0)
    said_nothing_more = vanished.engine.raw_connection()
    said_nothing_more.cursor().execute("UPDATE jobs SET step = 1 WHERE job_id = %s", (row["job_id"],))
    done: list[bool] = []
    runner = threading.Thread(target=lambda: done.append(next_one.requeue(row, not_before=0.0, values=row["values"])), daemon=True)
    runner.start()
    runner.join(60)
    assert done == [True]
    said_nothing_more.detach()
    said_nothing_more.close()
    for one in (vanished, next_one):
        one.close()
