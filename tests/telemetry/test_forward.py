"""The forwarder against a receiver on a real socket that is down, slow, full, or wants less at a time."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from telemetry.context import RequestContext
from telemetry.forward import Forwarder, ForwarderBusy, Forwarding, Otlp, read_status
from telemetry.ids import new_traceparent
from telemetry.journal import Journal
from telemetry.record import RequestRecord
from telemetry.segments import read_lines
from telemetry.shipping.connect import Elastic
from telemetry.shipping.worker import Limits
from telemetry.stages import stage
from telemetry.tracing import Telemetry
from tests.servers.faulty import Faulty
from tests.servers.process import wait_for
from tests.telemetry.forwarding import FAST, drain, forwarding, request, status


def config(folder: Path, server: Faulty, **more: Any) -> Forwarding:
    return Forwarding(
        folder, Otlp(f"{server.url}/v1/traces", timeout_s=2.0), Elastic(server.url, timeout_s=2.0), **{"limits": FAST, **more}
    )


def written(folder: Path) -> list[str]:
    """The ids of every span and event in the journal."""
    spans = (
        orjson.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["spanId"]
        for line in read_lines(folder / "journal", "spans")
    )
    events = (orjson.loads(line)["event_id"] for line in read_lines(folder / "journal", "events"))
    return sorted([*spans, *events])


def write(telemetry: Telemetry, count: int = 20) -> list[str]:
    for number in range(count):
        request(telemetry, number)
    telemetry.journal.close()
    return written(telemetry.data_dir)


def test_everything_arrives_once_and_a_second_run_has_nothing_to_do(telemetry: Telemetry, faulty: Faulty) -> None:
    ids = write(telemetry)
    first = drain(config(telemetry.data_dir, faulty))
    assert sorted(faulty.accepted()) == ids
    assert {kind: one["delivered"] for kind, one in first.items()} == {"spans": 40, "events": 40}
    again = drain(config(telemetry.data_dir, faulty))
    assert sorted(faulty.accepted()) == ids
    assert again["spans"]["delivered"] == 40, "counted over restarts"


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
def test_a_server_that_says_later_gets_it_later(telemetry: Telemetry, faulty: Faulty, code: int) -> None:
    ids = write(telemetry)
    faulty.behave(status=code, share=0.6)
    found = drain(config(telemetry.data_dir, faulty, limits=Limits(lines=10, backoff_s=0.1)))
    assert sorted(faulty.accepted()) == ids
    assert found["events"]["retries"] + found["spans"]["retries"] > 0
    assert f"HTTP {code}" in found["events"]["last_error"] + found["spans"]["last_error"]


@pytest.mark.parametrize("code", [401, 403, 404])
def test_wrong_credentials_lose_nothing_and_are_named(telemetry: Telemetry, faulty: Faulty, code: int) -> None:
    ids = write(telemetry)
    faulty.behave(status=code)
    with forwarding(config(telemetry.data_dir, faulty)):
        wait_for(lambda: status(telemetry.data_dir, "spans").get("retries", 0) > 1, 20, lambda: "no second attempt")
        assert f"HTTP {code}" in status(telemetry.data_dir, "spans")["last_error"]
        assert status(telemetry.data_dir, "spans")["state"] == "retrying"
        faulty.behave()
        wait_for(lambda: sorted(faulty.accepted()) == ids, 20, lambda: "not all came")


def test_too_large_is_halved_and_what_alone_is_too_large_is_set_aside(telemetry: Telemetry, faulty: Faulty) -> None:
    request(telemetry, 1, house_rule="x" * 8000)
    ids = write(telemetry)
    faulty.behave(max_bytes=7000)
    found = drain(config(telemetry.data_dir, faulty))
    set_aside = [json.loads(line) for line in (telemetry.data_dir / "set_aside" / "events.jsonl").read_text().splitlines()]
    assert found["events"]["set_aside"] == len(set_aside) == 1
    assert "413" in set_aside[0]["reason"]
    assert "x" * 8000 in set_aside[0]["line"]
    assert found["spans"]["set_aside"] == 1
    assert len(faulty.accepted()) == len(ids) - 2


def test_one_bad_span_does_not_take_the_batch_with_it(telemetry: Telemetry, faulty: Faulty) -> None:
    request(telemetry, 1, house_rule="poison")
    ids = write(telemetry)
    faulty.behave(refuse="poison")
    found = drain(config(telemetry.data_dir, faulty))
    assert (found["spans"]["set_aside"], found["events"]["set_aside"]) == (1, 1)
    assert len(set(faulty.accepted())) == len(faulty.accepted()) == len(ids) - 2


def test_a_receiver_that_was_down_gets_what_was_written_meanwhile(telemetry: Telemetry, faulty: Faulty) -> None:
    faulty.kill()
    with forwarding(config(telemetry.data_dir, faulty)):
        ids = write(telemetry)
        wait_for(lambda: status(telemetry.data_dir, "events").get("retries", 0) > 1, 20, lambda: "no attempt")
        late = status(telemetry.data_dir, "events")
        assert late["lag_bytes"] > 0
        assert "Connect" in late["last_error"]
        faulty.start()
        wait_for(lambda: sorted(faulty.accepted()) == ids, 20, lambda: "not all came")
        wait_for(lambda: status(telemetry.data_dir, "events")["lag_bytes"] == 0, 20, lambda: "a lag stays")


def test_a_receiver_that_takes_it_and_does_not_say_so_gets_it_again_and_nothing_is_missing(
    telemetry: Telemetry, faulty: Faulty
) -> None:
    ids = write(telemetry)
    faulty.behave(drop=0.5)
    drain(config(telemetry.data_dir, faulty, limits=Limits(lines=5, backoff_s=0.1)))
    assert sorted(set(faulty.accepted())) == ids
    assert len(faulty.accepted()) > len(ids), "the same ids: whoever keeps them knows them again"


def test_a_slow_receiver_delays_and_loses_nothing(telemetry: Telemetry, faulty: Faulty) -> None:
    ids = write(telemetry)
    faulty.behave(slow_s=3.0)  # beyond our patience of two seconds
    with forwarding(config(telemetry.data_dir, faulty)):
        wait_for(lambda: status(telemetry.data_dir, "spans").get("retries", 0) > 0, 20, lambda: "no attempt")
        assert "Timeout" in status(telemetry.data_dir, "spans")["last_error"]
        faulty.behave()
        wait_for(lambda: set(faulty.accepted()) == set(ids), 20, lambda: "not all came")


def test_spans_that_a_receiver_rejects_are_counted_and_not_sent_again(telemetry: Telemetry, faulty: Faulty) -> None:
    ids = write(telemetry)
    faulty.behave(rejected=3)
    found = drain(config(telemetry.data_dir, faulty))
    assert len(faulty.accepted()) == len(ids)
    assert found["spans"]["rejected"] >= 3
    assert "too old" in found["spans"]["last_error"]


def test_a_trace_arrives_whole_after_its_record(telemetry: Telemetry, faulty: Faulty) -> None:
    context = RequestContext("r", new_traceparent(), job_id="j")
    record = RequestRecord(telemetry, context, started_ns=time.time_ns(), values={})
    with forwarding(config(telemetry.data_dir, faulty)):
        for name in ("load_audio", "run_inference"):
            with stage(telemetry, name, context):
                pass
        wait_for(lambda: status(telemetry.data_dir, "spans").get("held_traces") == 1, 20, lambda: "nothing is held")
        assert faulty.accepted() == []
        record.finish()
        wait_for(lambda: len(faulty.accepted()) == 4, 20, lambda: f"{faulty.accepted()}")
    moments = [at for id, at in faulty.moments().items() if len(id) == 16]
    assert max(moments) == min(moments), "one request, so Tempo does not cut it"


def test_what_is_not_configured_stays_and_is_not_waited_for(telemetry: Telemetry, faulty: Faulty) -> None:
    write(telemetry)
    found = drain(Forwarding(telemetry.data_dir, elastic=Elastic(faulty.url), limits=FAST))
    assert found.keys() == {"events"}
    assert len(list(read_lines(telemetry.data_dir / "journal", "spans"))) == 40


def test_lines_that_nobody_can_read_are_set_aside(tmp_path: Path, faulty: Faulty) -> None:
    journal = Journal(tmp_path / "journal")
    for line in (b"{", b'{"event_id": "1"}', b'{"@timestamp": "yesterday"}', b'{"@timestamp": 5}', b"[1]"):
        journal.write("events", line)
        journal.write("spans", line)
    journal.close()
    found = drain(config(tmp_path, faulty))
    assert (found["events"]["set_aside"], found["spans"]["set_aside"]) == (5, 5)
    assert found["events"]["lag_bytes"] == found["spans"]["lag_bytes"] == 0


def test_there_is_one_forwarder_a_folder(tmp_path: Path, faulty: Faulty) -> None:
    with forwarding(config(tmp_path, faulty)):
        wait_for(lambda: read_status(tmp_path) is not None, 20, lambda: "no status")
        with pytest.raises(ForwarderBusy):
            Forwarder(config(tmp_path, faulty), threading.Event(), drain=True).run()


def test_a_backlog_beyond_its_bound_is_said_aloud_and_nothing_is_deleted(
    telemetry: Telemetry, faulty: Faulty, caplog: pytest.LogCaptureFixture
) -> None:
    ids = write(telemetry)
    faulty.behave(status=503)
    with forwarding(config(telemetry.data_dir, faulty, max_backlog_bytes=1000)):
        wait_for(lambda: (read_status(telemetry.data_dir) or {}).get("over_bound") is True, 20, lambda: "nobody complains")
        assert "nothing is deleted" in caplog.text
        assert written(telemetry.data_dir) == ids
        faulty.behave()
        wait_for(lambda: (read_status(telemetry.data_dir) or {})["over_bound"] is False, 20, lambda: "it stays over the bound")
