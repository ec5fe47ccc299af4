"""Traces are held until they are whole, sampled whole, and sent again after a while."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from telemetry.shipping.outcome import backoff, retry_after
from telemetry.shipping.sampling import Sampler
from telemetry.shipping.tail import Line
from telemetry.shipping.traces import Holder, weighted
from telemetry.tables import table


class Clock:
    """Seconds, moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def span(trace: int, name: str = "load_audio", *, status: int = 1, size: int = 0, **attributes: Any) -> Line:
    pairs = [
        {"key": key, "value": {"doubleValue" if isinstance(value, float) else "stringValue": value}}
        for key, value in attributes.items()
    ]
    one = {"traceId": f"{trace:032x}", "spanId": "1" * 16, "name": name, "status": {"code": status}, "attributes": pairs,
           "startTimeUnixNano": "1", "endTimeUnixNano": "2", "x": "x" * size}  # fmt: skip
    data = orjson.dumps({"resourceSpans": [{"resource": {}, "scopeSpans": [{"spans": [one]}]}]})
    return Line("s", 0, len(data), data)


def holder(clock: Callable[[], float], **more: Any) -> Holder:
    return Holder(**{"hold_s": 100.0, "max_bytes": 10**6, "now": clock, **more})


def test_a_trace_waits_for_its_record_and_then_goes_whole() -> None:
    clock = Clock()
    held = holder(clock)
    first, other = span(1), span(2)
    held.add(first)
    held.add(other)
    clock.now = 50.0
    assert held.release().send == []
    record, late = span(1, "sonic_generation"), span(1, "measure_sync")
    held.add(record)
    held.add(late)  # another process's file, read after the record's
    assert held.release().send == []
    clock.now = 51.5
    assert held.release().send == [first, record, late]
    assert (held.traces, held.bytes) == (1, len(other.data))


def test_in_a_backlog_a_trace_waits_until_everything_has_been_read() -> None:
    clock = Clock()
    held = holder(clock)
    lines = [span(1, "sonic_generation"), span(1, "run_inference")]
    held.add(lines[0])
    clock.now = 10.0
    assert held.release(caught_up=False).send == []
    held.add(lines[1])  # another process's segment, written to until later
    assert held.release(caught_up=True).send == lines


def test_what_never_gets_a_record_goes_when_its_time_is_over() -> None:
    clock = Clock()
    held = holder(clock)
    held.add(span(1))
    clock.now = 101.0
    released = held.release()
    assert len(released.send) == 1
    assert released.counts == {"without_record": 1}


def test_without_the_record_here_a_trace_goes_when_its_request_runs_no_more() -> None:
    clock, running, asked = Clock(), {f"{1:032x}", f"{2:032x}"}, list[float]()

    def ask() -> set[str]:
        asked.append(clock.now)
        return running

    held = holder(clock, running=ask)
    first, other, unknown = span(1), span(2), span(3)
    for line in (first, other):
        held.add(line)
    assert held.release().send == []
    assert asked == [], "what has just come may belong to a request that is just being stored"
    for clock.now in (2.0, 2.3, 4.0):
        assert held.release().send == []
    assert asked == [2.0, 4.0]
    running.remove(f"{1:032x}")
    clock.now = 6.0
    held.add(late := span(1, "measure_sync"))
    held.add(unknown)  # of a request that is no job
    held.release()
    clock.now = 7.5
    assert held.release().send == [first, late]
    clock.now = 9.0
    assert held.release().send == [unknown]
    assert held.traces == 1


def test_where_nobody_can_say_what_runs_spans_wait_and_it_is_asked_less_often() -> None:
    clock, asked = Clock(), list[float]()

    def ask() -> None:
        asked.append(clock.now)

    held = holder(clock, running=ask)
    held.add(span(1))
    for clock.now in (2.0, 10.0, 33.0, 40.0):
        assert held.release().send == []
    assert asked == [2.0, 33.0]
    clock.now = 101.0
    assert len(held.release().send) == 1


def test_in_a_backlog_nobody_is_asked_what_runs() -> None:
    """The rest of a request that has ended may lie further on."""
    clock = Clock()
    held = holder(clock, running=set)
    held.add(span(1))
    clock.now = 10.0
    assert held.release(caught_up=False).send == []
    assert held.release(caught_up=False).send == []


def test_the_memory_is_bounded_by_letting_the_oldest_trace_go() -> None:
    held = holder(Clock(), max_bytes=50_000)
    lines = [span(number, size=10_000) for number in range(8)]
    sent: list[Line] = []
    for line in lines:
        held.add(line)
        sent += held.release().send
        assert held.bytes <= 50_000
    assert sent == lines[: len(sent)]
    assert len(sent) == 4


def test_a_straggler_of_a_trace_that_has_gone_does_not_wait() -> None:
    clock = Clock()
    held = holder(clock)
    held.add(span(1, "recognition"))
    clock.now = 2.0
    held.release()
    held.add(span(1, "http"))
    clock.now = 4.0
    assert len(held.release().send) == 1


def test_what_is_no_span_is_handed_back() -> None:
    held = holder(Clock())
    bad = [
        Line("s", 0, 1, data) for data in (b"{", b"[]", b"{}", b'{"resourceSpans":[]}', b'{"resourceSpans":[{"scopeSpans":[]}]}')
    ]
    for line in bad:
        held.add(line)
    assert held.release().unreadable == bad


def test_sampling_keeps_errors_and_a_share_and_says_for_how_many_a_trace_stands() -> None:
    rng = random.Random(7)
    held = holder(clock := Clock(), max_bytes=10**9, sampler=Sampler(0.1))
    errors = 0
    for _ in range(3000):
        failed = rng.random() < 0.05
        errors += failed
        held.add(span(rng.getrandbits(128), "sonic_generation", status=2 if failed else 1))
    clock.now = 2.0
    released = held.release()
    rows, unreadable = table("spans", [line.data for line in released.send])
    assert unreadable == 0
    weights = rows["sampling_weight"].to_pylist()
    assert weights.count(1.0) == errors
    assert set(weights) == {1.0, 10.0}
    assert sum(weights) == pytest.approx(3000, rel=0.15)
    assert released.counts["sampled_out"] == len(released.dropped) == 3000 - len(weights)


def test_sampling_decides_the_same_for_the_same_trace() -> None:
    ids = [f"{random.Random(1).getrandbits(128):032x}" for _ in range(50)]
    one, two = Sampler(0.3), Sampler(0.3)
    assert [one.decide(id, {}, {}) for id in ids] == [two.decide(id, {}, {}) for id in ids]
    with pytest.raises(ValueError, match="share"):
        Sampler(0.0)


def test_sampling_keeps_what_is_slow_for_its_settings_and_its_length() -> None:
    sampler = Sampler(1e-9)
    usual = {"inference_steps": 25, "audio_s": 10.0, "run_inference_ms": 4000.0}
    for _ in range(20):
        assert not sampler.decide("f" * 32, {}, usual)[0]
    assert sampler.decide("f" * 32, {}, {**usual, "run_inference_ms": 9000.0}) == (True, 1.0)
    assert not sampler.decide("f" * 32, {}, {**usual, "audio_s": 22.0, "run_inference_ms": 9000.0})[0], "longer, not slower"
    assert not sampler.decide("f" * 32, {}, {**usual, "inference_steps": 60, "run_inference_ms": 9000.0})[0], (
        "nothing to compare with"
    )


def test_the_weight_is_a_float_and_stands_once() -> None:
    once = weighted(weighted(span(1, "sonic_generation", fps=25.0), 2), 4)
    rows, _ = table("spans", [once.data])
    assert rows["sampling_weight"].to_pylist() == [4.0]
    assert rows["fps"].to_pylist() == [25.0]
    assert b'"doubleValue":4.0' in once.data


def test_waits_grow_to_the_cap_are_never_equal_and_honour_the_server() -> None:
    waits = [backoff(failures, 30.0) for failures in range(1, 40)]
    assert waits[0] <= 0.5
    assert max(waits) <= 30.0
    assert min(waits[10:]) >= 15.0
    assert len(set(waits)) == len(waits)
    assert backoff(1, 30.0, 20.0) == 20.0
    assert backoff(1, 1.0, 86_400.0) == 10.0, "a server that says tomorrow is asked before"
    assert retry_after("7") == 7.0
    assert retry_after("Sun, 06 Nov 1994 08:49:37 GMT") == 0.0
    assert retry_after("soon") is None
