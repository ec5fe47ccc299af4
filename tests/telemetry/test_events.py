"""Events: one flat line each, stamped, in the types of the table."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from telemetry.context import RequestContext
from telemetry.fields import EVENT_FIELDS
from telemetry.journal import read_lines, read_losses
from telemetry.tracing import Telemetry
from telemetry.values import clean, rfc3339

Rows = Callable[[str], list[dict[str, Any]]]


class _Scalar:
    """What NumPy and torch hand out for one number."""

    def item(self) -> float:
        return 0.5


def test_an_event_carries_trace_process_service_and_request(telemetry: Telemetry, context: RequestContext, rows: Rows) -> None:
    event_id = telemetry.events.log_event("request_received", context, inference_steps=30.0)
    (row,) = rows("events")
    assert EVENT_FIELDS.keys() <= row.keys()
    assert row["event_id"] == event_id
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", row["@timestamp"])
    assert (row["trace.id"], row["span.id"]) == (context.trace_id, context.span_id)
    assert (row["service.name"], row["service.version"], row["schema_version"]) == ("test", "1.2.3", 1)
    assert (row["request_id"], row["department"], row["inference_steps"]) == (context.request_id, "film", 30)
    assert isinstance(row["inference_steps"], int)


def test_a_span_can_be_named(telemetry: Telemetry, context: RequestContext, rows: Rows) -> None:
    telemetry.events.log_event("input_start", context, span_id="1" * 16)
    assert rows("events")[0]["span.id"] == "1" * 16


def test_floats_keep_their_point_and_times_are_rfc3339(telemetry: Telemetry, context: RequestContext) -> None:
    telemetry.events.log_event("sync_measured", context, audio_drift_ms=100, started_at=1_700_000_000_000_000_001)
    (line,) = read_lines(telemetry.journal.directory, "events")
    assert b'"audio_drift_ms":100.0' in line
    assert b'"started_at":"2023-11-14T22:13:20.000000001Z"' in line


def test_an_unknown_type_is_a_mistake_that_shows(telemetry: Telemetry, context: RequestContext) -> None:
    with pytest.raises(ValueError, match="unknown event type 'reqest_received'"):
        telemetry.events.log_event("reqest_received", context)


def test_a_name_that_no_text_can_hold_does_not_cost_the_event(telemetry: Telemetry, context: RequestContext, rows: Rows) -> None:
    telemetry.events.log_event("input_error", context, file_name="a\udcff.png", size=2**70)
    assert (rows("events")[0]["file_name"], rows("events")[0]["size"]) == ("a?.png", str(2**70))


def test_values_of_unknown_names_are_kept_only_as_scalars_or_lists_of_strings(telemetry: Telemetry) -> None:
    kept = {"text": "a", "whole": 1, "float": 0.5, "flag": False, "list": ["a"]}
    wrong = {"map": {}, "numbers": [1], "object": object(), "fps": "fast", "advice": 3}
    missing = {"none": None, "nan": float("nan"), "rtf": float("inf")}
    converted = {"tuple": ("a",), "array": _Scalar()}
    assert clean({**kept, **converted, **missing, **wrong}) == {**kept, "tuple": ["a"], "array": 0.5}
    assert read_losses(telemetry.journal.directory)["telemetry_errors"] == len(wrong)


@pytest.mark.parametrize(
    ("name", "given", "kept"),
    [
        ("inference_steps", 30.0, 30), ("fps", 25, 25.0), ("cache_hit", 1, True), ("model_name", "lite", "lite"),
        ("advice", ("a", "b"), ["a", "b"]), ("started_at", 5, 5), ("seed", None, None), ("fps", float("nan"), None),
    ],
)  # fmt: skip
def test_known_names_have_one_type_for_ever(name: str, given: Any, kept: Any) -> None:
    row = clean({name: given})
    assert row == ({} if kept is None else {name: kept})
    assert [type(value) for value in row.values()] == ([] if kept is None else [type(kept)])


def test_times_have_nine_decimals() -> None:
    assert rfc3339(0) == "1970-01-01T00:00:00.000000000Z"
    assert rfc3339(1_795_371_593_123_456_789) == "2026-11-22T18:19:53.123456789Z"


def test_what_is_not_known_is_left_out(telemetry: Telemetry, rows: Rows) -> None:
    telemetry.events.log_event("input_start", RequestContext("r", f"00-{'1' * 32}-{'2' * 16}-01"))
    assert "job_id" not in rows("events")[0]
