"""A short form of the drill: a few incidents of every kind, scored blind."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from analytics.questions.cause import Cause, Place
from bench.drill import Report, rank, run, score
from bench.drill_incidents import FAULTS, KINDS, Truth, incident

SEED = 4


def test_the_cause_of_nearly_every_incident_is_named_first() -> None:
    report = Report(list(run(7, SEED, KINDS[::2], prefixes=False)))
    told = report.as_dict()
    assert told["incidents"] == 7
    assert told["first"] >= 6
    assert told["false_alarms"] == 0
    assert {"incidents", "first", "in_three", "false_alarms", "median_bad_requests", "median_seconds", "kinds"} <= told.keys()
    assert json.dumps(told)
    assert "false alarms" in report.table()


@pytest.mark.parametrize("kind", list(FAULTS)[::4])
def test_an_incident_ends_at_the_thirtieth_struck_request_and_does_not_say_which_they_are(kind: str) -> None:
    staged = incident(kind, 11)
    assert 12 <= staged.struck.sum() <= 30
    assert not [name for name in staged.frame if "fault" in name or "struck" in name]
    pd.testing.assert_frame_equal(staged.frame, incident(kind, 11).frame)


def test_an_incident_without_a_fault_has_no_struck_request() -> None:
    staged = incident("none", 11)
    assert staged.truths == ()
    assert not staged.struck.any()


def cause(symptom: str, *where: tuple[str, str], same: tuple[str, ...] = ()) -> Cause:
    places = tuple(Place(name, "categorical", value, f"{name} = {value}") for name, value in where)
    return Cause(n=1, verdict="associated", symptom=symptom, where=places, same_as=same)


def test_a_truth_is_named_by_its_symptom_and_the_whole_place() -> None:
    truth, length = Truth(("sound_late",), (("host", "h1"),)), pd.Timedelta("1h")
    assert truth.named_by(cause("sound_late", ("host", "h1")), length)
    assert truth.named_by(cause("sound_late", ("replica", "r1"), same=("host = h1",)), length)
    assert not truth.named_by(cause("sound_late", ("host", "h2")), length)
    assert not truth.named_by(cause("tail_cut", ("host", "h1")), length)
    assert not truth.named_by(cause("sound_late", ("host", "h1"), ("department", "film")), length)
    assert not truth.named_by(cause("sound_late"), length)


def test_two_faults_are_first_only_where_both_are() -> None:
    one, other = Truth(("sound_late",), (("host", "h1"),)), Truth(("tail_cut",), (("host", "h2"),))
    wrong = cause("frozen_tail", ("host", "h3"))
    right = [cause("tail_cut", ("host", "h2")), cause("sound_late", ("host", "h1"))]
    length = pd.Timedelta("1h")
    assert rank((one, other), tuple(right), length) == 1
    assert rank((one, other), (wrong, *right), length) == 2
    assert rank((one, other), (right[0], wrong, right[1]), length) == 2
    assert rank((one, other), (right[0],), length) is None
    assert rank((), (), length) == 1
    assert rank((), (wrong,), length) is None


def test_the_answer_does_not_depend_on_names_or_on_the_order_of_the_rows() -> None:
    staged = incident("tail frozen", 11)
    shuffled = np.random.default_rng(1).permutation(len(staged.frame))
    again = type(staged)(staged.kind, staged.frame.iloc[shuffled].reset_index(drop=True), staged.struck[shuffled], staged.truths)
    assert score(staged, 0, prefixes=False).rank == score(again, 0, prefixes=False).rank == 1
