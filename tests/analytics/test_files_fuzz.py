"""Anything at all as mapping.yaml, as a file of alerts, of rules, or as a fault plan: what it says, or the reader's own error."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from analytics.alerts.schema import AlertsError, read_alerts
from analytics.rules.schema import RuleError, read_rules
from analytics.stores.mapping import arrow_fields, read_mapping
from deployments.faults import FaultPlanError, read_plan
from tests.fuzzing import JSON, cases, nothing_left_behind, sent_bytes
from tests.telemetry.test_yaml_fuzz import BOMB, MERGED

MAPPING = """record: {span: render_clip, event: {kind: clip.done}}
columns:
  request_id: {span: req.id, log: reqId}
  av_skew_ms: {log: av.skew, kind: outcome, type: float, unit: ms}
"""
ALERTS = """every: 10s
sinks: {log: {kind: log}, ops: {kind: webhook, url: "http://127.0.0.1/x", secret: {env: X}}}
alerts:
- {id: errors, where: 'status = "error"', among: 'fps > 10', window: 10m, condition: {kind: share, above: 0.5}, group_by: [host],
   hold: 30s, repeat_every: 1d, clear: 0.1, sinks: [log, ops]}
"""
RULES = """- id: slow_host
  when: 'host = "a" && latency_s > 3'
  same: [model_name]
  cause: {en: "It is slow.", zh: "慢"}
  suggestion: {en: "Wait.", zh: "等"}
"""
PLAN = """- fault: tail_cut
  seconds: 1.5
  when: {share: 0.5, department: film, parameters: {fps: {min: 30}}, after: 2026-01-01T00:00:00Z}
- {fault: slow_stage, stage: load_audio, seconds: 2}
- {fault: failing_stage, stage: run_inference, error_type: internal}
"""
HOSTILE = (
    BOMB, MERGED, "&a [*a]", "[" * 3000, "2001-99-99", "!!timestamp x", "9" * 5000, '"\\ud800"', "!!set {x, y}", "1", "[1]", ".nan",
)  # fmt: skip


@pytest.fixture(autouse=True)
def small(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch):
    with nothing_left_behind(tmp_path_factory.mktemp("temporary"), monkeypatch):
        yield


def changed(right: str) -> st.SearchStrategy[bytes]:
    """The file with bytes changed, or with one of its values replaced by any other."""
    tree: Any = yaml.safe_load(right)
    places = list(_places(tree))

    def with_value(place: tuple[Any, ...], value: Any) -> bytes:
        copy = yaml.safe_load(right)
        inside = copy
        for key in place[:-1]:
            inside = inside[key]
        inside[place[-1]] = value
        return yaml.safe_dump(copy, allow_unicode=True).encode("utf-8", "surrogatepass")

    odd = JSON | st.dates() | st.sampled_from([".nan", math.inf, "9" * 400 + "d", "1:1", "=~", 10**30, -1, {1: 2}, {None: 1}, [[]]])
    hostile = st.sampled_from([text.encode() for text in HOSTILE])
    return st.one_of(sent_bytes([right.encode()]), st.builds(with_value, st.sampled_from(places), odd), hostile)


def _places(tree: Any, above: tuple[Any, ...] = ()) -> Any:
    for key in tree if isinstance(tree, dict) else range(len(tree)):
        yield (*above, key)
        if isinstance(tree[key], dict | list):
            yield from _places(tree[key], (*above, key))


def read(path: Path, data: bytes, reader: Callable[[Path], Any], refusal: type[ValueError]) -> Any:
    """What the reader says, None where it refused in its own words."""
    path.write_bytes(data)
    told: ValueError | None = None
    try:
        return reader(path)
    except refusal as error:
        told = error
    assert path.name in str(told)
    assert type(told) is refusal
    return None


@cases()
@given(changed(MAPPING))
@example(b"columns: [1]")
@example(b"columns: {5: {span: x}}")
@example(b"columns: {a: [span]}")
@example(b"columns: {a: {span: x, type: [int]}}")
@example(b"columns: {a: {1: x, span: y, z: 2}}")
@example(b"record: x")
@example(b"record: {event: [a]}")
@example(b"\xff")
@example((BOMB + "columns: {z: {span: x, unit: *i}}").encode())
def test_a_mapping(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.getbasetemp()
    found = read(folder / "mapping.yaml", data, read_mapping, ValueError)
    if found is None:
        return
    arrow_fields(found)
    with duckdb.connect() as connection:  # what it makes of a view is SQL, whatever the names are
        connection.execute("CREATE TABLE t (request_id VARCHAR, is_record BOOLEAN, name VARCHAR, event_type VARCHAR, extra JSON)")
        known = {row[0] for row in connection.execute("SELECT column_name FROM (DESCRIBE t)").fetchall()}
        for kind in ("spans", "events"):
            if {mapped.column.column for mapped in found.columns if mapped.column not in found.own} <= known:
                connection.extract_statements(found.view(kind, "t"))


@cases()
@given(changed(ALERTS))
@example(b"sinks: {}\nalerts: !!set {x, y}")
@example(b"\xff")
@example(b"every: .inf\nsinks: {}\nalerts: []")
@example(b"every: .nan\nsinks: {}\nalerts: []")
@example(("every: " + "9" * 400 + "d\nsinks: {}\nalerts: []").encode())
@example(ALERTS.replace("above: 0.5", "above: .nan").encode())
@example(ALERTS.replace("fps > 10", "(" * 2000).encode())
@example(ALERTS.replace("http://127.0.0.1/x", "http://\\0[").encode())
def test_alerts(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    found = read(tmp_path_factory.getbasetemp() / "alerts.yaml", data, read_alerts, AlertsError)
    if found is None:
        return
    assert math.isfinite(found.every)
    for alert in found.alerts:
        assert all(math.isfinite(one) for one in (alert.window, alert.hold, alert.resolve_after, alert.repeat_every or 0.0))
        assert not math.isnan(getattr(alert.condition, "above", 0.0))
    orjson.dumps(found.model_dump(mode="json", by_alias=True))


@cases()
@given(changed(RULES))
@example(b"!!set {x, y}")
@example(b"\xff")
@example(RULES.replace("latency_s > 3", "latency_s > 3 && " + "!" * 5000 + "cache_hit").encode())
def test_rules(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    read(tmp_path_factory.getbasetemp() / "rules.yaml", data, read_rules, RuleError)


@cases()
@given(changed(PLAN))
@example(b"!!set {x, y}")
@example(b"\xff")
@example(PLAN.replace("1.5", ".nan").encode())
@example(PLAN.replace("seconds: 2", "seconds: .inf").encode())
def test_a_fault_plan(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    found = read(tmp_path_factory.getbasetemp() / "faults.yaml", data, read_plan, FaultPlanError)
    for fault in found or ():
        numbers = [value for value in fault.model_dump(exclude={"when"}).values() if isinstance(value, float)]
        assert all(math.isfinite(value) for value in numbers)
