"""Pictures over HTTP: a label or an error for each, a record for each, and names only where they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from serve.schema import RecognizeAnswer
from telemetry import fields
from tests.serve.recognising import Recognising, picture, recognising

pytestmark = pytest.mark.filterwarnings("ignore::pydantic.PydanticDeprecatedSince20")  # Ray's own models, when they are imported

COFFEE, CAT, GRASS, MAN = picture("coffee.png"), picture("chelsea.png"), picture("grass.png"), picture("astronaut.png")
BROKEN = ("broken.png", COFFEE[1][:5000])


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Recognising]:
    made = recognising(tmp_path)
    yield made
    made.telemetry.shutdown()


def test_one_picture_gets_its_label_in_both_languages(service: Recognising) -> None:
    answer = service.post(COFFEE)
    assert answer.status_code == 200, answer.text
    found = RecognizeAnswer.model_validate(answer.json())
    assert found.request_id == answer.headers["x-request-id"] == found.results[0].request_id
    assert found.failed == 0
    one = found.results[0]
    assert one.label is not None
    assert (one.label.en, one.label.zh) == ("espresso", "意式浓缩咖啡")
    assert len(one.top3) == 3
    assert one.picture is not None
    assert (one.picture["width"], one.picture["height"], one.picture["format"]) == (600, 400, "PNG/RGB")


def test_what_nobody_is_sure_of_has_no_label(service: Recognising) -> None:
    one = service.post(GRASS).json()["results"][0]
    assert one["label"] is one["score"] is None
    assert one["low_confidence"]
    assert len(one["top3"]) == 3
    assert "low_confidence" in one["advice"]


def test_one_picture_that_fails_is_an_error_answer_and_leaves_its_record(service: Recognising) -> None:
    answer = service.post(BROKEN)
    assert answer.status_code == 422
    assert answer.json()["error"]["type"] == "image_undecodable"
    assert answer.json()["error"]["field"] == "image"
    events = service.events()
    assert [event["event_type"] for event in events] == ["request_received", "input_start", "input_error", "request_failed"]
    assert events[-1]["error_type"] == events[2]["error_type"] == "image_undecodable"
    assert events[-1]["failed_stage"] == "preprocess_image"
    assert events[-1]["operation"] == "recognize"


def test_of_several_each_has_its_own_answer_and_its_own_request(service: Recognising) -> None:
    answer = service.post(COFFEE, BROKEN, MAN, ("empty.png", b""), source_prefix="uploads/a")
    assert answer.status_code == 200
    found = RecognizeAnswer.model_validate(answer.json())
    assert found.failed == 2
    assert [one.status for one in found.results] == ["ok", "error", "ok", "error"]
    assert found.results[2].label is not None
    assert found.results[2].label.zh == "人像"
    assert len({one.request_id for one in found.results} | {found.request_id}) == 5
    assert len({one.trace_id for one in found.results}) == 4
    rows = [event for event in service.events() if event["event_type"] in fields.TERMINAL_EVENTS]
    assert len(rows) == 4
    assert {row["batch_id"] for row in rows} == {found.request_id}
    assert {row["source_prefix"] for row in rows} == {"uploads/a"}


def test_the_stage_events_come_in_order_with_what_they_promise(service: Recognising) -> None:
    service.post(COFFEE)
    events = {event["event_type"]: event for event in service.events()}
    assert list(events) == [
        "request_received", "input_start", "input_success", "preprocess_complete", "inference_complete", "business_output",
    ]  # fmt: skip
    made = events["preprocess_complete"]
    assert (made["shape"], made["dtype"], made["norm_mean"], made["tensor_constant"]) == (
        "224x224x3",
        "float32",
        "127, 127, 127",
        False,
    )
    assert made["scale_ratio"] == pytest.approx(0.64)
    assert events["input_success"]["channels"] == 3
    assert events["input_start"]["file_size"] == len(COFFEE[1])
    seen = events["inference_complete"]
    assert (seen["top1_label"], seen["logits_dim"]) == ("espresso", 1000)
    assert seen["top1_score"] > 0.9
    row = events["business_output"]
    assert row["top3_labels"][0] == "espresso"
    assert row["input_width"] == 600
    assert {event["image_hash"] for name, event in events.items() if name != "request_received"} == {row["image_hash"]}


def test_each_request_of_a_batch_keeps_its_own_trace_and_the_batch_links_to_all(service: Recognising) -> None:
    parents = [f"00-{digit * 32}-{digit * 16}-01" for digit in "123456789abcde"]
    answers = service.post_all([((CAT,), {}, {"traceparent": parent}) for parent in parents])
    assert {answer.status_code for answer in answers} == {200}
    spans = service.spans()
    inference = {span["spanId"]: span for span in spans if span["name"] == "run_inference"}
    records = {span["traceId"]: span for span in spans if span["name"] == "recognition"}
    assert {span["traceId"] for span in inference.values()} == {parent.split("-")[1] for parent in parents}
    for span in inference.values():
        assert span["parentSpanId"] == records[span["traceId"]]["spanId"]
        assert records[span["traceId"]]["parentSpanId"] == span["traceId"][:16]
    batches = [span for span in spans if span["name"] == "recognize_batch"]
    assert len(batches) < len(parents), "some of them went together"
    links = [(link["traceId"], link["spanId"]) for span in batches for link in span["links"]]
    assert sorted(links) == sorted((span["traceId"], span["spanId"]) for span in inference.values())
    for batch in batches:
        assert batch["traceId"] not in records
        assert batch["attributes"]["batch_size"] == len(batch["links"])
        for link in batch["links"]:
            assert inference[link["spanId"]]["attributes"]["batch_span_id"] == batch["spanId"]


def test_names_that_hide_characters_are_shown_with_their_code_points(service: Recognising) -> None:
    one = service.post(("ca\u200bt\u202e.png", CAT[1])).json()["results"][0]
    assert one["name"] == "ca‹U+200B›t‹U+202E›.png"
    assert one["name_differences"][0] == "U+200B ZERO WIDTH SPACE at 2"
    assert "path_invisible_characters" in one["advice"]
    row = service.events()[-1]
    assert row["invisible_characters"] == ["U+200B", "U+202E"]
    assert "path_invisible_characters" in row["advice"]


def test_they_are_refused_where_the_setting_says_so(tmp_path: Path) -> None:
    service = recognising(tmp_path, refuse_invisible_names=True)
    answer = service.post(("ca\u200bt.png", CAT[1]))
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["type"] == "path_invisible_characters"
    assert "ca‹U+200B›t.png" in error["message"]
    assert service.events()[-1]["failed_stage"] == "admission"
    service.telemetry.shutdown()


@pytest.mark.parametrize("keep", [False, True])
def test_names_stay_out_of_telemetry_unless_they_are_to_be_kept(tmp_path: Path, keep: bool) -> None:
    service = recognising(tmp_path, redact_keep_names=keep)
    service.post(("bailing-secret.png", CAT[1]))
    written = b"".join(path.read_bytes() for path in service.settings.journal_dir.iterdir() if path.is_file())
    assert (b"bailing-secret" in written) is keep
    row = service.events()[-1]
    assert len(row["name_hash"]) == 32
    assert [found["name"] for found in service.table.find_assets("bailing")] == ["bailing-secret.png"]
    service.telemetry.shutdown()


def test_the_same_name_hidden_or_not_has_one_hash(service: Recognising) -> None:
    service.post(("cat.png", CAT[1]), ("ｃat\u200b.png", CAT[1]))
    hashes = {event["name_hash"] for event in service.events() if "name_hash" in event}
    assert len(hashes) == 1


def test_an_asset_id_is_recognised_without_sending_it_again(service: Recognising) -> None:
    asset = service.post(COFFEE).json()["results"][0]["image_hash"]
    answer = service.post_json({"image": [asset, "f" * 64], "synthetic": True})
    found = answer.json()["results"]
    assert found[0]["label"]["en"] == "espresso"
    assert found[1]["error"]["type"] == "asset_not_found"


@pytest.mark.parametrize(
    ("files", "form", "status", "kind"),
    [
        ((), {"x": "1"}, 415, "unsupported_media"),
        ((COFFEE,), {"source_prefix": "a\nb"}, 422, "invalid_parameter"),
        ((COFFEE,), {"inference_steps": "3"}, 422, "invalid_parameter"),
        ((("black.png", b""),), {}, 422, "image_undecodable"),
        ((COFFEE,) * 65, {}, 422, "invalid_parameter"),
    ],
)
def test_a_wrong_request_is_refused_in_words_and_leaves_a_record(service: Recognising, files, form, status, kind) -> None:
    answer = service.post(*files, **form)
    assert (answer.status_code, answer.json()["error"]["type"]) == (status, kind)
    last = service.events()[-1]
    assert (last["event_type"], last["error_type"], last["operation"]) == ("request_failed", kind, "recognize")


def test_too_many_pictures_at_a_time_are_overloaded(tmp_path: Path) -> None:
    service = recognising(tmp_path, max_pictures_waiting=2)
    answer = service.post(COFFEE, CAT, GRASS)
    assert answer.status_code == 503
    assert answer.json()["error"]["type"] == "overloaded"
    service.telemetry.shutdown()


def test_a_deadline_that_has_passed_ends_the_request(service: Recognising) -> None:
    answer = service.post(COFFEE, headers={"X-Deadline-Seconds": "0"})
    assert answer.status_code == 504


def test_a_fault_of_a_drill_fails_one_stage_and_says_so(tmp_path: Path) -> None:
    plan = tmp_path / "faults.yaml"
    plan.write_text("- {fault: failing_stage, stage: run_inference, error_type: out_of_memory}")
    service = recognising(tmp_path, faults_file=plan)
    assert service.post(COFFEE).status_code == 503
    assert {event["event_type"] for event in service.events()} >= {"fault_injected", "request_failed"}
    service.telemetry.shutdown()
