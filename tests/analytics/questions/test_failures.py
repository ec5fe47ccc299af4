"""What fails, since when, where, and with which words."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from analytics.questions.failures import failures
from analytics.questions.patterns import masked, patterns
from analytics.questions.sentences import lint
from tests.planted_incidents import traffic


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """3,000 requests: department news has no face in a third of its pictures; for a while host h2 loses its encoder."""
    random = np.random.default_rng(21)
    made = traffic(3000, random)
    made["status"], made["error_type"], made["error_message"], made["failed_stage"] = "ok", None, None, None
    face = (made["department"] == "news") & (random.random(3000) < 0.33)
    place = np.arange(3000)
    lost = (made["host"] == "h2") & (place > 1500) & (place < 1700) & (random.random(3000) < 0.9)
    names = ["status", "error_type", "error_message", "failed_stage"]
    made.loc[face, names] = ["error", "face_not_found", "no face in picture 17", "preprocess_image"]
    made.loc[lost, names] = ["error", "encoder_timeout", "", "encode_video"]
    made.loc[lost, "error_message"] = [f"ffmpeg took longer than {k}.5 s on 10.0.0.{k % 9}" for k in range(int(lost.sum()))]
    return made


def test_types_and_stages_are_counted(frame: pd.DataFrame) -> None:
    found = failures(frame)
    assert found.failed == int((frame["status"] == "error").sum())
    assert {one["value"] for one in found.types} == {"face_not_found", "encoder_timeout"}
    assert {one["value"] for one in found.stages} == {"preprocess_image", "encode_video"}
    assert sum(one["share"] for one in found.types) == pytest.approx(1)
    assert sum(sum(one["failed"].values()) for one in found.over_time) == pytest.approx(found.failed)


def test_the_spike_is_found_where_it_is(frame: pd.DataFrame) -> None:
    spikes = failures(frame).spikes
    assert len(spikes) == 1
    lost = frame.loc[frame["error_type"] == "encoder_timeout", "started_at"]
    assert pd.Timestamp(spikes[0].start) <= lost.max()
    assert pd.Timestamp(spikes[0].end) >= lost.min()


def test_the_values_that_fail_more_are_named_with_their_error(frame: pd.DataFrame) -> None:
    found = {(one.what, one.error_type) for one in failures(frame).values}
    assert ("department = news", "face_not_found") in found
    assert ("host = h2", "encoder_timeout") in found
    assert ("department = news", "encoder_timeout") not in found


def test_random_failures_have_neither_spikes_nor_values() -> None:
    news = 0
    for seed in range(20):
        random = np.random.default_rng(seed)
        frame = traffic(600, np.random.default_rng(500 + seed)).assign(status=np.where(random.random(600) < 0.1, "error", "ok"))
        found = failures(frame)
        news += bool(found.spikes) + bool(found.values)
    assert news <= 5  # of 40 questions 2 are expected at most


def test_messages_become_templates(frame: pd.DataFrame) -> None:
    found = {one.template: one for one in failures(frame).messages}
    assert found["ffmpeg took longer than <number> s on <address>"].types == ("encoder_timeout",)
    assert found["no face in picture <number>"].n == int((frame["error_type"] == "face_not_found").sum())


@pytest.mark.parametrize(
    ("message", "template"),
    [
        ("request 01a204df-ee11-75b3-ad2a-3f791e1c3c44 lost", "request <id> lost"),
        ("at 2026-11-22T18:00:00.5Z the disk was full", "at <time> the disk was full"),
        ("cannot open /srv/a b/x.wav: no such file", "cannot open <path>: no such file"),
        (r"cannot open C:\media\x.wav", "cannot open <path>"),
        ("error 0xdeadbeef in 3f791e1c3c44", "error <hex> in <hex>"),
        ("tried to allocate 2.00 GiB, -3 left", "tried to allocate <number> GiB, <number> left"),
        ("two\nlines", "two lines"),
        ("没有找到人脸(第 3 帧)", "没有找到人脸(第 <number> 帧)"),
    ],
)
def test_what_varies_is_masked(message: str, template: str) -> None:
    assert masked(message) == template


def test_templates_that_differ_in_a_word_are_one_and_missing_messages_none() -> None:
    found = patterns(["worker anna lost its lease early", "worker berta lost its lease early", None, "disk full", ""])
    assert [(one.template, one.n) for one in found] == [("worker <*> lost its lease early", 2), ("disk full", 1)]
    assert found[0].estimate == pytest.approx(2 / 3)
    assert patterns([None, ""]) == []


def test_weights_count(frame: pd.DataFrame) -> None:
    weighted = failures(frame.assign(sampling_weight=np.where(frame["status"] == "error", 1.0, 5.0)))
    assert (weighted.estimate or 0) < (failures(frame).estimate or 0) / 4
    assert sum(one["requests"] for one in weighted.over_time) > 4 * 2800


def test_no_data_and_one_row_are_answers(frame: pd.DataFrame) -> None:
    assert failures(frame.head(0)).verdict == "no_data"
    assert failures(frame.drop(columns=["status", "error_type"])).verdict == "no_data"
    one = failures(frame[frame["status"] == "ok"].head(1))
    assert (one.failed, one.verdict, one.spikes, one.values) == (0, "not_shown", (), ())
    assert failures(frame[["status"]]).failed == failures(frame).failed


def test_sentences_keep_the_contract(frame: pd.DataFrame) -> None:
    found = failures(frame)
    json.dumps(found.to_dict())
    for one in (found, *found.spikes, *found.values, *found.messages, failures(frame.head(0))):
        assert lint(one.sentence()) == lint(one.sentence("zh")) == []
