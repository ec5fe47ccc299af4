"""The incident that ships is read by the local store, and its true cause comes first."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from analytics.columns import vocabulary
from analytics.filters import parse
from analytics.questions.contrast import contrast
from analytics.questions.filtered import columns_of, matching
from analytics.questions.trials import effects, trials
from analytics.requests import Requests, load
from analytics.stores.base import Range
from analytics.stores.local import LocalStore
from examples.incident.show import complaint
from sonoscope.cli import app

DATA = Path(__file__).parents[2] / "examples" / "incident" / "data"
BIGGEST = 15_000_000


@pytest.fixture(scope="module")
def found() -> Requests:
    return load(LocalStore(DATA / "journal"))


REPLAY = "incident-replay"


def test_every_request_is_whole_and_says_what_it_is(found: Requests) -> None:
    rows = found.frame
    assert found.coverage.with_both == found.coverage.requests == len(rows)
    names = rows["experiment"].value_counts()
    assert (names["incident"], names[REPLAY]) == (300, 32)
    assert set(rows.loc[rows["replay_of"].notna(), "replay_of"]) <= set(rows.loc[rows["experiment"] == "incident", "request_id"])
    assert {"face_not_found", "audio_silent"} <= set(rows["error_type"].dropna())


def test_the_contrast_names_the_true_cause_first(found: Requests) -> None:
    incident = found.table.filter(pd.Series(found.frame["experiment"] == "incident").to_numpy())
    where = parse("audio_drift_ms > 100.0", vocabulary())
    made = contrast(incident.to_pandas(), matching(incident, where), filtered=columns_of(where))
    assert made.differences[0].field == "fps"
    assert "30" in made.differences[0].what


def test_the_command_line_names_it_first_from_the_filter_and_from_the_video() -> None:
    base = ["--data-dir", str(DATA), "--json"]
    done = CliRunner().invoke(app, ["explain", "audio_drift_ms > 100.0", "--among", "experiment = incident", *base])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["contrast"][0]["field"] == "fps"
    told = CliRunner().invoke(app, ["explain", str(complaint()), "--data-dir", str(DATA)])
    assert told.exit_code == 0, told.output
    assert re.search(r"The sound is late [^:]*: fps (>=|=) 30", told.stdout)


def test_the_replay_confirms_it(found: Requests) -> None:
    first = effects(found.frame, REPLAY)[0]
    assert "fps = 25 instead of as it was causes audio_drift_ms to change by -134 ms" in first.to_dict()["sentence"]
    assert {one.name for one in trials(found.frame)} == {"incident", REPLAY}


def test_the_injected_fault_is_kept_for_scoring_and_never_a_column(found: Requests) -> None:
    kept = LocalStore(DATA / "journal").logs.count_by("event_type", Range()).table.to_pylist()
    assert next(one["count"] for one in kept if one["value"] == "fault_injected") > 16
    assert not [name for name in found.frame.columns if "fault" in name]


def test_videos_and_thumbnails_belong_to_requests_and_all_is_small(found: Requests) -> None:
    ids = set(found.frame["request_id"])
    videos, thumbnails = list(DATA.glob("videos/*.mp4")), list(DATA.glob("thumbnails/*.jpg"))
    assert 8 <= len(videos) <= 12
    assert {path.stem for path in (*videos, *thumbnails)} <= ids
    assert len(thumbnails) == int((found.frame["status"] == "ok").sum())
    assert sum(path.stat().st_size for path in DATA.rglob("*") if path.is_file()) < BIGGEST
