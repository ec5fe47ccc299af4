"""What differs in the bad ones: planted causes are found first, planted nothing is found to be nothing."""

from __future__ import annotations

import io
import json

import numpy as np
import pandas as pd
import pytest

from analytics.questions.contrast import Contrast, contrast, extremes
from analytics.questions.copies import explained
from analytics.questions.sentences import lint
from tests.planted_incidents import CAUSES, Incident, incident

DRIFT = ("audio_drift_ms",)
SINGLE = [cause for cause in CAUSES if cause not in ("setting", "pair", "two")]


def ask(planted: Incident) -> Contrast:
    return contrast(planted.frame, planted.inside, filtered=DRIFT)


@pytest.mark.parametrize("cause", SINGLE)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_planted_cause_stands_first(cause: str, seed: int) -> None:
    planted = incident(cause, 3000, seed)
    best = ask(planted).differences[0]
    assert planted.truth[0] in (best.field, *(other.split(" ")[0] for other in best.same_as)), best.what


@pytest.mark.parametrize("cause", ["setting", "pair"])
@pytest.mark.parametrize("seed", [1, 2])
def test_two_values_that_matter_together_are_a_pair(cause: str, seed: int) -> None:
    planted = incident(cause, 4000, seed)
    best = ask(planted).differences[0]
    assert best.kind == "pair"
    assert {part["field"] for part in best.parts} == set(planted.truth)


def test_two_causes_that_add_up_are_two_explanations() -> None:
    planted = incident("two", 8000, 1, strength=0.8)
    found = [one for one in ask(planted).differences if one.role == "explanation"]
    assert {one.field for one in found[:2]} == set(planted.truth)
    assert found[1].alike_in == (found[0].what,)


def test_few_bad_requests_are_enough_for_a_strong_cause() -> None:
    planted = incident("host", 120, 4, strength=0.5, other=0.0)
    made = ask(planted)
    assert planted.inside.sum() < 20
    assert made.differences[0].field == "host"
    assert any("weak cause" in words for words in made.warnings)


def test_where_nothing_is_planted_nothing_is_found() -> None:
    found = [ask(incident(None, 800, seed, other=0.1)).differences for seed in range(100, 130)]
    assert sum(bool(one) for one in found) <= 4  # 5 % of 30 expected; more than 4 has a chance of 2 %


def test_shuffled_labels_find_nothing() -> None:
    planted, random = incident("host", 800, 1), np.random.default_rng(7)
    found = [contrast(planted.frame, random.permutation(planted.inside)).differences for _ in range(30)]
    assert sum(bool(one) for one in found) <= 4


def test_what_goes_along_is_marked_and_comes_later() -> None:
    made = ask(incident("host", 4000, 1))
    along = {one.field: one for one in made.differences if one.role == "goes along"}
    assert made.differences[0].what == "host = h3"
    assert along["replica"].explained_by == "host = h3"


def test_equal_explanations_are_one() -> None:
    planted = incident("host", 2000, 1)
    frame = planted.frame.assign(replica=planted.frame["host"].str.replace("h", "r"))
    best = contrast(frame, planted.inside, filtered=DRIFT).differences[0]
    assert {best.what, *best.same_as} == {"host = h3", "replica = r3"}


def test_other_names_of_the_outcome_and_what_was_injected_are_left_out() -> None:
    made = ask(incident("region", 3000, 1))
    assert made.left_out["audio_offset_ms"] == "another name of audio_drift_ms"
    assert made.left_out["audio_drift_ms"] == "asked about"
    shown = {one.field for one in (*made.differences, *made.outcomes)}
    assert not shown & {"audio_offset_ms", "audio_drift_ms", "fault_injected", "request_id", "trace_id"}


def test_what_is_judged_afterwards_is_no_explanation() -> None:
    made = ask(incident("host", 3000, 1))
    assert "lip_match" in {one.field for one in made.outcomes}
    assert "lip_match" not in {one.field for one in made.differences}


def test_who_asks_about_failures_does_not_learn_that_they_failed() -> None:
    frame = incident(None, 2000, 3).frame
    failed = ((frame["host"] == "h2") & (np.arange(len(frame)) % 3 == 0)).to_numpy(bool)
    frame["status"] = np.where(failed, "error", "ok")
    frame["error_type"] = np.where(failed, "encoder_timeout", None)
    frame["http_status"] = np.where(failed, 504, 200)
    made = contrast(frame, failed, filtered=("status",))
    assert made.differences[0].what == "host = h2"
    assert {"error_type", "http_status", "failed_stage"} <= made.left_out.keys()


def test_rows_without_the_outcome_are_not_the_good_ones() -> None:
    planted = incident("host", 2000, 1)
    made = ask(planted)
    assert made.n_in + made.n_out == len(planted.frame)
    assert made.n_unmeasured == int(planted.frame["audio_drift_ms"].isna().sum()) > 0
    assert any("not compared" in words for words in made.warnings)


@pytest.mark.parametrize(
    ("rows", "label", "verdict"),
    [(0, True, "no_data"), (1, True, "no_data"), (1, False, "no_data"), (50, True, "no_data"), (50, False, "no_data")],
)
def test_without_two_sides_there_is_nothing_to_compare(rows: int, label: bool, verdict: str) -> None:
    frame = incident("host", 200, 1).frame.head(rows)
    made = contrast(frame, np.full(rows, label), filtered=DRIFT)
    assert (made.verdict, made.differences) == (verdict, ())
    assert lint(made.sentence()) == []


def test_too_few_is_an_answer() -> None:
    planted = incident("host", 200, 1)
    made = contrast(planted.frame, np.arange(200) < 2)
    assert made.verdict == "too_few"
    assert "Too few" in made.sentence()
    assert "太少" in made.sentence("zh")


def test_a_csv_gives_the_same_answer_with_all_columns_as_text() -> None:
    planted = incident("region", 2000, 1)
    text = planted.frame.to_csv(index=False)
    typed, texts = ask(planted), pd.read_csv(io.StringIO(text), dtype=str)
    made = contrast(texts, planted.inside, filtered=DRIFT)
    assert made.differences[0].what == typed.differences[0].what


def test_few_columns_and_mixed_types_do() -> None:
    random = np.random.default_rng(3)
    bad = random.random(400) < 0.3
    place = np.arange(400)
    frame = pd.DataFrame({"where": np.where(bad, "x", random.choice(["x", "y", "z", "u"], 400)), "flag": random.random(400) < 0.5})
    frame["advice"] = [["fps_high"] if k % 3 else [] for k in place]
    frame["mixed"] = [k if k % 2 else f"v{k % 5}" for k in place]
    frame["wide"] = np.where(place % 7 == 0, np.inf, place)
    frame["none"] = None
    made = contrast(frame, bad)
    assert made.differences[0].what == "where = x"
    assert made.left_out["none"] == "no data"


def test_a_users_own_field_in_extra_explains() -> None:
    planted = incident(None, 1500, 2)
    scene = np.where(planted.inside & (np.arange(1500) % 10 > 0), "night", "day")
    frame = planted.frame.assign(extra=[json.dumps({"scene": one}) for one in scene])
    assert contrast(frame, planted.inside, filtered=DRIFT).differences[0].what == "scene = night"


def test_a_missing_setting_can_be_the_difference_but_a_missing_replica_cannot() -> None:
    planted = incident(None, 1500, 2)
    frame = planted.frame.assign(
        department=planted.frame["department"].where(~planted.inside, None),
        replica=planted.frame["replica"].where(~planted.inside, None),
    )
    found = {one.what for one in contrast(frame, planted.inside, filtered=DRIFT).differences}
    assert "department = missing" in found
    assert not any(what.startswith("replica") for what in found)


def test_sampled_rows_count_for_what_they_stand_for_but_add_no_certainty() -> None:
    planted = incident("host", 2000, 1)
    heavy = planted.frame.assign(sampling_weight=np.where(planted.frame["host"] == "h3", 10.0, 1.0))
    even, weighted = ask(planted).differences[0], contrast(heavy, planted.inside, filtered=DRIFT)
    assert weighted.differences[0].what == "host = h3"
    assert weighted.differences[0].share_out > even.share_out
    assert any("tell as much as" in words for words in weighted.warnings)
    all_heavy = planted.frame.assign(sampling_weight=10.0)
    assert contrast(all_heavy, planted.inside, filtered=DRIFT).differences[0].q == pytest.approx(even.q)


def test_copies_of_a_record_count_once() -> None:
    planted = incident("host", 1000, 1)
    twice = pd.concat([planted.frame, planted.frame.head(100)], ignore_index=True)
    made = contrast(twice, np.r_[planted.inside, planted.inside[:100]], filtered=DRIFT)
    assert made.n_in + made.n_out == 1000


def test_best_and_worst_tenth() -> None:
    frame = incident("region", 3000, 1, strength=0.9).frame
    made = extremes(frame, "audio_drift_ms")
    assert made.differences[0].field == "dynamic_scale"
    assert extremes(frame.assign(audio_drift_ms=np.nan), "audio_drift_ms").verdict == "no_data"
    assert extremes(frame.assign(audio_drift_ms=1.0), "audio_drift_ms").verdict == "never_varied"


def test_every_sentence_keeps_the_contract_in_both_languages() -> None:
    for cause in ("host", "pair", None):
        made = ask(incident(cause, 2500, 1))
        for one in (made, *made.differences, *made.outcomes):
            assert lint(one.sentence()) == []
            assert lint(one.sentence("zh")) == []


def test_the_json_is_plain_and_ranked() -> None:
    made = json.loads(json.dumps(ask(incident("hour", 2000, 1)).to_dict()))
    first = made["contrast"][0]
    assert first["field"] == "started_at"
    assert first.keys() >= {"field", "kind", "value", "share_in", "share_out", "q", "sentence"}
    assert made.keys() >= {"n_in", "n_out", "warnings", "truncated"}
    assert 0 <= first["share_out"] < first["share_in"] <= 1


def test_labels_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="3 values for 10 rows"):
        contrast(incident(None, 10, 1).frame, [True, False, True])


def test_a_copy_is_known_whatever_its_sign() -> None:
    random = np.random.default_rng(1)
    offset = random.normal(0, 40, 2000)
    assert explained(offset, np.abs(offset)) > 0.95
    assert explained(offset, np.abs(offset) + random.normal(0, 40, 2000)) < 0.8
    assert abs(explained(random.normal(size=2000), offset)) < 0.1
