"""What is asked of a store says the same as what is asked of all its rows, and says where it is from a sample."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analytics.filters import parse
from analytics.questions import of_store
from analytics.questions.capacity import capacity
from analytics.questions.contrast import contrast
from analytics.questions.failures import failures, failures_of
from analytics.questions.of_store import contrast_of, effects_of, times_of, twin_of
from analytics.questions.report import analyze
from analytics.requests import Joined, from_file
from tests.planted import planted
from tests.planted_incidents import incident

BAD = parse("audio_drift_ms > 100.0")
N = 12_000


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """12,000 requests of an invented service in which host h3 lets the sound drift."""
    return incident("host", N).frame


@pytest.fixture(scope="module")
def view(frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Joined]:
    path = tmp_path_factory.mktemp("rows") / "rows.parquet"
    frame.to_parquet(path)
    with from_file(path) as opened:
        yield opened


def test_failures_counted_in_the_store_are_those_of_the_rows(view: Joined, frame: pd.DataFrame) -> None:
    there, here = failures_of(view).to_dict(), failures(frame).to_dict()
    for name in ("n", "failed", "estimate", "types", "stages", "spikes", "values", "interval"):
        assert there[name] == here[name], name
    assert [one["requests"] for one in there["over_time"]] == [one["requests"] for one in here["over_time"]]
    assert [(one["template"], one["n"]) for one in there["messages"]] == [(one["template"], one["n"]) for one in here["messages"]]


def test_failures_of_a_filter_are_those_of_its_rows(view: Joined, frame: pd.DataFrame) -> None:
    found = failures_of(view, parse('host = "h3"'))
    assert (found.n, found.failed) == (
        int((frame["host"] == "h3").sum()),
        int(((frame["host"] == "h3") & (frame["status"] == "error")).sum()),
    )


def test_a_sampled_contrast_names_the_same_cause_and_counts_all(
    view: Joined, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_store, "COMPARED", 3_000)
    asked = contrast_of(view, None, BAD, list(frame.columns))
    exact = contrast(frame, frame["audio_drift_ms"] > 100, filtered=["audio_drift_ms"])
    assert asked.sampled
    assert (asked.bad, asked.bad + asked.rest) == (int((frame["audio_drift_ms"] > 100).sum()), N)
    here, there = asked.answer.differences[0], exact.differences[0]
    assert here.what == there.what == "host = h3"
    assert (here.interval or (1, 0))[0] <= (there.estimate or 0) <= (here.interval or (1, 0))[1]
    assert here.rate_with == pytest.approx(there.rate_with, abs=0.05)


def test_rare_requests_are_all_compared_and_their_rates_are_those_of_all(
    view: Joined, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    rare = parse('audio_drift_ms > 100.0 && host = "h3" && department = "lab"')
    bad = (frame["audio_drift_ms"] > 100) & (frame["host"] == "h3") & (frame["department"] == "lab")
    monkeypatch.setattr(of_store, "COMPARED", 3_000)
    asked = contrast_of(view, None, rare, list(frame.columns))
    assert asked.bad == int(bad.sum())
    assert asked.answer.n_in == asked.bad
    replica = next((one for one in asked.answer.differences if one.field == "replica"), None)
    if replica is not None:
        share = bad[frame["replica"] == replica.value].mean()
        assert replica.rate_with == pytest.approx(share, rel=0.5)


def test_sampled_effects_say_what_all_rows_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = planted(12_000)
    rows.to_parquet(tmp_path / "rows.parquet")
    monkeypatch.setattr(of_store, "ROWS", 4_000)
    with from_file(tmp_path / "rows.parquet") as opened:
        asked = effects_of(opened, None, "audio_drift_ms")
    exact = analyze(rows)
    assert asked.sampled
    assert asked.of == len(rows)
    sampled = {one.parameter: one for one in asked.answer.outcomes[0].effects}
    for there in exact.outcomes[0].effects:
        here = sampled[there.parameter]
        if there.q is not None and there.q < 1e-6 and there.estimate is not None:
            assert here.verdict == "associated", here.parameter
            assert np.sign(here.estimate or 0) == np.sign(there.estimate), here.parameter


def test_arrivals_are_counted_over_all_although_times_are_sampled(
    view: Joined, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_store, "TIMED", 3_000)
    rows = times_of(view, None, "run_inference")
    here = capacity(rows.answer.frame, 30.0, 10.0, seen=rows.answer.seen)
    there = capacity(frame, 30.0, 10.0)
    assert rows.sampled
    assert here.ca2 == pytest.approx(there.ca2, rel=1e-6)
    assert here.observed is not None
    assert there.observed is not None
    assert here.observed["rate"] == pytest.approx(there.observed["rate"], rel=0.01)
    assert here.service_s == pytest.approx(there.service_s, rel=0.1)


def test_a_twin_is_found_in_a_sample_and_nobody_has_none(
    view: Joined, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_store, "LIKELY", 500)
    bad = frame.loc[frame["audio_drift_ms"] > 100, "request_id"].iloc[0]
    asked = twin_of(view, None, list(frame.columns), bad)
    assert asked.sampled
    assert asked.answer is not None
    assert asked.answer.bad == bad
    assert asked.answer.twin not in (None, bad)
    assert twin_of(view, None, list(frame.columns), "nobody").answer is None
