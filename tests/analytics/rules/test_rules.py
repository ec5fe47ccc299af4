"""Rules: what a file may say, what a match says of the past, and what no rule may look at."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analytics.record import load
from analytics.requests import joined
from analytics.rules.engine import Match, matches
from analytics.rules.evidence import Evidence
from analytics.rules.schema import SHIPPED, Rule, RuleError, load_rules, read_rules
from analytics.stores.base import Range
from telemetry.errors import RequestError
from tests.analytics.conftest import SECOND, START, Service

WORDS = {"cause": {"en": "It is so.", "zh": "如此。"}, "suggestion": {"en": "Change it.", "zh": "请修改。"}}


def rule(**values: Any) -> Rule:
    return Rule.model_validate({"id": "own", **WORDS, **values})


def found(service: Service, number: int, *rules: Rule) -> list[Match]:
    record = load(service.store, f"request-{number:04}")
    assert record is not None
    with joined(service.store, Range()) as view:
        return matches(record, rules, view)


def only(service: Service, number: int, one: Rule) -> Evidence:
    (match,) = found(service, number, one)
    return match.evidence


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("when: 'inference_stepz < 20'", "unknown name inference_stepz"),
        ("when: 'inference_steps <'", "ends too early"),
        ("when: 'fault_injected = \"audio_late\"'", "answer key"),
        ("when: 'event_type = \"fault_injected\"', over: events", "answer key"),
        ("when: 'clock_skew', colour: red", "colour"),
        ("when: 'clock_skew', same: [nobody]", "nobody is no column"),
        ("when: 'clock_skew', group: {by: host}, expect: 'orphan'", "has its own evidence"),
        ("when: 'clock_skew', group: {by: host, share: 2}", "group.share"),
        ("when: 'clock_skew', expect: 'nothing > 1'", "unknown name nothing"),
    ],
)
def test_a_file_with_a_mistake_is_refused_by_rule_and_problem(tmp_path: Path, change: str, problem: str) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(f"- {{id: own, cause: {{en: a, zh: b}}, suggestion: {{en: a, zh: b}}, {change}}}")
    with pytest.raises(RuleError, match=re.escape(problem)) as caught:
        read_rules(path)
    assert "own" in str(caught.value)


def test_an_own_rule_takes_the_place_of_the_shipped_one_or_turns_it_off(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    texts = "cause: {en: a, zh: b}, suggestion: {en: a, zh: b}"
    path.write_text(
        f"- {{id: few_steps, when: 'inference_steps < 5', {texts}}}\n- {{id: no_face, when: clock_skew, enabled: false, {texts}}}"
    )
    shipped, mine = {one.id for one in load_rules()}, {one.id: one for one in load_rules(path)}
    assert mine["few_steps"].when == "inference_steps < 5"
    assert shipped - mine.keys() == {"no_face"}


def test_no_shipped_rule_reads_what_a_drill_knows() -> None:
    assert "fault_injected" not in SHIPPED.read_text()


def test_the_answer_key_is_not_among_the_events_that_a_rule_sees(service: Service) -> None:
    context = service.context(0)
    service.receive(context)
    service.telemetry.events.log_event("fault_injected", context, fault="audio_late")
    service.finish(context, START)
    assert found(service, 0, rule(when='fault = "audio_late"', over="events", fields=["fault"])) == []
    assert len(found(service, 0, rule(when='event_type = "request_received"', over="events"))) == 1


def test_a_match_says_how_often_what_it_expects_followed_before(service: Service) -> None:
    for number in range(10):  # six with few steps, four of them drifted; of the others one
        drift = 150.0 if number in (0, 1, 2, 3, 9) else 20.0
        service.request(number, inference_steps=10 if number < 6 else 25, audio_drift_ms=drift)
    service.request(10, inference_steps=10)
    evidence = only(service, 10, rule(when="inference_steps < 20", expect="audio_drift_ms > 100.0"))
    assert (evidence.n, evidence.held, evidence.rest) == (6, 4, 0.25)
    assert evidence.counter == ("request-0005", "request-0004")
    said = evidence.sentence()
    assert "Of 6 earlier requests" in said
    assert "4 had audio_drift_ms > 100.0: 66.7 %" in said
    assert "of the others 25 %" in said
    assert "request-0005" in said
    assert "request-0005" in evidence.sentence("zh")


def test_what_was_not_measured_is_neither_example_nor_counter_example(service: Service) -> None:
    for number in range(4):
        service.request(number, inference_steps=10, **({"audio_drift_ms": 20.0} if number == 0 else {}))
    evidence = only(service, 3, rule(when="inference_steps < 20", expect="audio_drift_ms > 100.0"))
    assert (evidence.n, evidence.held) == (1, 0)


def test_a_symptom_is_compared_with_earlier_requests_of_the_same_input(service: Service) -> None:
    broken = RequestError("face_not_found", "No face.", stage="preprocess_image")
    for number, (portrait, error) in enumerate([("a", broken), ("a", None), ("b", broken), ("a", broken), ("b", None)]):
        service.finish(service.context(number), START + number * SECOND, error, portrait_hash=portrait * 64)
    evidence = only(service, 3, rule(when='error_type = "face_not_found"', same=["portrait_hash"]))
    assert (evidence.n, evidence.held, evidence.counter) == (2, 1, ("request-0001",))


def test_only_earlier_requests_of_the_same_kind_are_evidence(service: Service) -> None:
    service.request(0, inference_steps=10, synthetic=True)
    service.finish(replace(service.context(1), operation="recognize"), START + SECOND, inference_steps=10)
    service.request(2, inference_steps=10)
    service.request(3, inference_steps=10)
    evidence = only(service, 2, rule(when="inference_steps < 20"))
    assert evidence.n == 0
    assert "no earlier request" in evidence.sentence()


def test_a_rule_over_events_counts_the_requests_that_logged_one(service: Service) -> None:
    for number in range(5):
        context = service.context(number)
        service.receive(context)
        if number != 1:
            service.telemetry.events.log_event("advice", context, advice_code="face_turned")
        service.finish(context, START + number * SECOND)
    one = rule(when='event_type = "advice" && advice_code = "face_turned"', over="events", fields=["advice_code"])
    evidence = only(service, 4, one)
    assert (evidence.n, evidence.held, evidence.counter) == (4, 3, ("request-0001",))
    assert found(service, 1, one) == []


def test_a_request_that_still_runs_matches_nothing(service: Service) -> None:
    service.receive(service.context(0))
    assert found(service, 0, rule(when="inference_steps = nil")) == []
