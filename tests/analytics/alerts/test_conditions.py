"""What each condition reads from rows, and how an incident begins and ends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from pydantic import TypeAdapter

from analytics.alerts.conditions import Condition, Reading, fires
from analytics.alerts.ledger import Known
from analytics.alerts.schema import Alert
from analytics.alerts.step import step
from analytics.alerts.watchers import Incident

_CONDITION: TypeAdapter[Any] = TypeAdapter(Condition)
HOUR = 3600.0


def rows(words: str, *, apart: float = 60.0, **columns: list[Any]) -> pd.DataFrame:
    """One row a letter, the last at 0 s: `.` is good, another letter is bad with that error."""
    at = [-(len(words) - 1 - place) * apart for place in range(len(words))]
    ids, bad = [f"r{place}" for place in range(len(words))], [letter != "." for letter in words]
    errors = [None if letter == "." else letter for letter in words]
    return pd.DataFrame({"at": at, "request_id": ids, "matched": bad, "error_type": errors, **columns})


def read(frame: pd.DataFrame, window: float = HOUR, **condition: Any) -> list[Reading]:
    return list(_CONDITION.validate_python(condition).read(frame, 0.0, window))


def test_a_count_and_a_rate_are_of_the_window() -> None:
    assert read(rows("aaa.a"), kind="count", above=2)[0].value == 4
    assert read(rows("aaa.a"), 121.0, kind="count", above=2)[0] == Reading(2.0, 2, ("r2", "r4"))
    assert read(rows("aaa.a"), 120.0, kind="rate", above=2)[0].value == pytest.approx(0.5)


def test_a_share_of_too_few_is_no_number() -> None:
    assert read(rows("a.a."), kind="share", above=0.2, fewest=4)[0].value == 0.5
    assert read(rows("a.a."), kind="share", above=0.2, fewest=5)[0].value is None


def test_a_quantile_is_of_the_rows_that_match_and_names_those_beyond() -> None:
    frame = rows("aaaa.", latency_s=[1.0, 2.0, 30.0, None, 99.0])
    (found,) = read(frame, kind="quantile", of="latency_s", q=0.5, above=5, fewest=3)
    assert (found.value, found.ids) == (2.0, ("r2",))


@pytest.mark.parametrize(("words", "value"), [("abbb", 3), ("bbb.bb", 2), ("bb.", 0), ("bbba", 0)])
def test_a_run_counts_the_same_error_back_from_the_newest_row(words: str, value: int) -> None:
    found = {one.cause: one for one in read(rows(words), kind="repeated", times=3)}
    assert found["b"].value == value
    if value:
        assert found["b"].ids == tuple(f"r{place}" for place in range(len(words) - value, len(words)))


def test_three_in_a_row_fire_and_two_do_not() -> None:
    condition = _CONDITION.validate_python({"kind": "repeated"})
    assert fires(condition, Reading(3.0, 3))
    assert not fires(condition, Reading(2.0, 3))


def test_a_change_is_against_the_window_before_and_must_be_sure() -> None:
    sudden = rows("." * 40 + "a" * 20 + "." * 20, apart=1.0)
    (found,) = read(sudden, 40.0, kind="change", above=0.3)
    assert (found.value, found.sure) == (0.5, True)
    (chance,) = read(rows("....a." * 4 + "..a.a." * 4, apart=1.0), 24.0, kind="change", above=0.1)
    assert chance.value == pytest.approx(1 / 6)
    assert not chance.sure
    assert not fires(_CONDITION.validate_python({"kind": "change", "above": 0.1}), chance)
    times = [1.0 + place % 5 / 10 for place in range(40)] + [3.0 + place % 5 / 10 for place in range(40)]
    (slower,) = read(rows("a" * 80, apart=1.0, latency_s=times), 40.0, kind="change", of="latency_s", above=0.5)
    assert slower.value == pytest.approx(2.0 / 1.2)
    assert slower.sure


def alert(**values: Any) -> Alert:
    base = {"id": "a", "where": "clock_skew", "condition": {"kind": "share", "above": 0.2}, "sinks": ["log"]}
    return Alert.model_validate({**base, **values})


def course(one: Alert, *values: float | None) -> list[str]:
    """What happens at readings that come ten seconds apart."""
    known, happened = None, []
    for place, value in enumerate(values):
        known, event = step(known, Incident(one, "", Reading(value, 9)), 10.0 * place)
        happened.append(event or (known.state if known else "ok"))
        known = None if event == "resolved" else known
    return happened


def test_between_the_limit_and_clear_it_stays_what_it_is() -> None:
    assert course(alert(clear=0.1), 0.15, 0.3, 0.15, 0.15, 0.1, 0.15) == ["ok", "fired", "firing", "firing", "resolved", "ok"]


def test_without_clear_it_resolves_at_the_limit() -> None:
    assert course(alert(), 0.3, 0.2) == ["fired", "resolved"]


def test_what_nobody_can_say_changes_nothing() -> None:
    assert course(alert(), None, 0.3, None, 0.0) == ["ok", "fired", "firing", "resolved"]


def test_it_must_hold_and_be_clear_for_as_long_as_it_says() -> None:
    assert course(alert(hold="20s"), 0.3, 0.3, 0.1, 0.3, 0.3, 0.3) == ["pending", "pending", "ok", "pending", "pending", "fired"]
    flapping = course(alert(resolve_after="20s"), 0.3, 0.1, 0.1, 0.3, 0.1, 0.1, 0.1)
    assert flapping == ["fired", "firing", "firing", "firing", "firing", "firing", "resolved"]


def test_the_requests_of_an_incident_are_the_last_that_were_bad() -> None:
    known = Known("a", "", "firing", 0.0, requests=("old",))
    after, _ = step(known, Incident(alert(clear=0.1), "", Reading(0.15, 9, ("new",))), 1.0)
    assert after == replace(known, turned=None)
