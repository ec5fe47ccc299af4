"""A service that we do not run is asked in the columns of its mapping file."""

from __future__ import annotations

import time
from pathlib import Path

import orjson
import pytest

from analytics.columns import vocabulary
from analytics.filters import parse
from analytics.requests import load
from analytics.stores.local import LocalStore
from analytics.stores.mapping import read_mapping
from telemetry.journal import Journal

FILE = """
record:
  span: render_clip
  event: {kind: clip.done}
columns:
  request_id: {span: req.id, log: reqId}
  steps: {span: gen.num_steps, log: numSteps, kind: parameter, type: int}
  av_skew_ms: {log: "av'skew", kind: outcome, type: float, unit: ms}
"""


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """Three clips: spans with their attributes, log lines with their fields."""
    (tmp_path / "mapping.yaml").write_text(FILE)
    journal, now = Journal(tmp_path / "journal"), time.time_ns()
    for n in range(3):
        attributes = [
            {"key": "req.id", "value": {"stringValue": f"c{n}"}},
            {"key": "gen.num_steps", "value": {"intValue": str(10 * n)}},
        ]
        span = {"traceId": f"{n + 1:032x}", "spanId": f"{n + 1:016x}", "name": "render_clip", "attributes": attributes}
        span |= {"startTimeUnixNano": str(now), "endTimeUnixNano": str(now + 10**9)}
        journal.write("spans", orjson.dumps({"resourceSpans": [{"resource": {}, "scopeSpans": [{"spans": [span]}]}]}))
        line = {"@timestamp": "2026-11-22T10:00:00Z", "kind": "clip.done", "reqId": f"c{n}", "av'skew": 60.0 * n}
        journal.write("events", orjson.dumps(line))
        journal.write("events", orjson.dumps({"@timestamp": "2026-11-22T10:00:00Z", "kind": "clip.begun", "reqId": f"c{n}"}))
    journal.close()
    return LocalStore(tmp_path / "journal", mapping=read_mapping(tmp_path / "mapping.yaml"))


def test_their_spans_and_lines_become_one_row_under_our_names(store: LocalStore) -> None:
    found = load(store)
    assert found.coverage.with_both == 3
    rows = sorted(found.table.to_pylist(), key=lambda row: row["request_id"])
    assert [(row["request_id"], row["steps"], row["av_skew_ms"]) for row in rows] == [
        ("c0", 0, 0.0),
        ("c1", 10, 60.0),
        ("c2", 20, 120.0),
    ]


def test_declared_columns_are_asked_with_their_units(store: LocalStore) -> None:
    where = parse("steps > 5 && av_skew_ms > 100ms", vocabulary(store.mapping.own))
    assert load(store, where=where).table["request_id"].to_pylist() == ["c2"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("columns: {x: {span: a, typ: int}}", "typ is not known"),
        ("columns: {x: {type: int}}", "say from which"),
        ("columns: {x: {span: a, type: number}}", "type number"),
        ("columns: {x: {span: a, kind: setting}}", "kind setting"),
        ("fields: {}", "only `record` and `columns`"),
        ("columns: [", "mapping.yaml"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "mapping.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=words):
        read_mapping(path)
