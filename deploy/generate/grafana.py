"""Grafana dashboards over Tempo (TraceQL metrics) and Elasticsearch: health, stages, parameters against drift.

Quantiles come from Elasticsearch: Tempo's `quantile_over_time` answers nothing for an attribute that is a double.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from telemetry import fields

TEMPO, ELASTIC = {"type": "tempo", "uid": "tempo"}, {"type": "elasticsearch", "uid": "elasticsearch"}
RECORD = 'name = "sonic_generation"'
ENDED = "event_type: (business_output OR request_failed)"
_WIDTH, _HEIGHT = 12, 8
_TIME = {"id": "time", "type": "date_histogram", "field": "@timestamp", "settings": {"interval": "auto", "min_doc_count": "0"}}
Panel = dict[str, Any]


def dashboards() -> list[dict[str, Any]]:
    """The three dashboards."""
    return [
        _board("sonoscope-health", "Sonoscope: health", _health()),
        _board("sonoscope-stages", "Sonoscope: stages", _stages()),
        _board("sonoscope-drift", "Sonoscope: parameters against drift", _drift()),
    ]


def _health() -> list[Panel]:
    errors = {**_top("error_type"), "settings": {**_top("error_type")["settings"], "size": "10"}}
    return [
        _traceql("Requests by status", f"{{ {RECORD} }} | count_over_time() by (span.status)", "short"),
        _elastic("Errors by type", "event_type: request_failed", [_count()], [errors, _TIME]),
        _elastic("Latency", "event_type: business_output", [_percentiles("latency_s")], [_TIME], "s"),
        _elastic("Time in the queue", ENDED, [_percentiles("queue_wait_ms")], [_TIME], "ms"),
        _elastic("Requests by department", ENDED, [_count()], [_top("department"), _TIME]),
        _elastic("Latency by length of the video", "event_type: business_output", [_percentiles("rtf")], [_TIME]),
    ]


def _stages() -> list[Panel]:
    panels = [
        _elastic(f"{stage}", ENDED, [_percentiles(f"{stage}_ms"), _average(f"{stage}_busy_ms")], [_TIME], "ms")
        for stage in fields.STAGES
    ]
    where = f"{{ {RECORD} && span.run_inference_ms != nil }}"
    return [
        *panels,
        _traceql("Inference by steps", f"{where} | avg_over_time(span.run_inference_ms) by (span.inference_steps)", "ms"),
    ]


def _drift() -> list[Panel]:
    asked = f"{{ {RECORD} && span.inference_steps > 20 && span.audio_drift_ms > 100.0 }} | count_over_time()"
    measured = "event_type: business_output AND _exists_: audio_drift_ms"
    settings = [field.name for field in fields.PARAMETERS if field.name not in ("seed", "duration_s")]
    return [
        _traceql("More than 20 steps and more than 100 ms of drift", asked, "short"),
        _elastic("Drift", measured, [_percentiles("audio_drift_ms")], [_TIME], "ms"),
        *(_table(f"Drift by {name}", measured, name) for name in settings),
    ]


def _board(uid: str, title: str, panels: Sequence[Panel]) -> dict[str, Any]:
    placed = [
        {**panel, "id": n + 1, "gridPos": {"x": n % 2 * _WIDTH, "y": n // 2 * _HEIGHT, "w": _WIDTH, "h": _HEIGHT}}
        for n, panel in enumerate(panels)
    ]
    return {
        "uid": uid, "title": title, "tags": ["sonoscope"], "timezone": "browser", "schemaVersion": 39, "version": 1,
        "editable": True, "refresh": "1m", "time": {"from": "now-6h", "to": "now"}, "panels": placed,
    }  # fmt: skip


def _panel(title: str, kind: str, source: dict[str, str], target: dict[str, Any], unit: str) -> Panel:
    config = {"defaults": {"unit": unit}, "overrides": []}
    targets = [{"refId": "A", "datasource": source, **target}]
    return {"title": title, "type": kind, "datasource": source, "targets": targets, "fieldConfig": config, "options": {}}


def _traceql(title: str, query: str, unit: str) -> Panel:
    return _panel(title, "timeseries", TEMPO, {"queryType": "traceql", "query": query, "metricsQueryType": "range"}, unit)


def _elastic(title: str, query: str, metrics: list[dict[str, Any]], groups: list[dict[str, Any]], unit: str = "short") -> Panel:
    numbered = [{**metric, "id": str(n + 1)} for n, metric in enumerate(metrics)]
    target = {"query": query, "metrics": numbered, "bucketAggs": groups, "timeField": "@timestamp"}
    return _panel(title, "timeseries", ELASTIC, target, unit)


def _table(title: str, query: str, name: str) -> Panel:
    metrics = [{**_count(), "id": "1"}, {**_percentiles("audio_drift_ms"), "id": "2"}]
    target = {"query": query, "metrics": metrics, "bucketAggs": [_top(name, "_key")], "timeField": "@timestamp"}
    return _panel(title, "table", ELASTIC, target, "ms")


def _top(name: str, order: str = "_count") -> dict[str, Any]:
    settings = {"size": "20", "order": "desc", "orderBy": order, "min_doc_count": "1"}
    return {"id": f"by_{name}", "type": "terms", "field": name, "settings": settings}


def _count() -> dict[str, Any]:
    return {"type": "count"}


def _average(name: str) -> dict[str, Any]:
    return {"type": "avg", "field": name}


def _percentiles(name: str) -> dict[str, Any]:
    return {"type": "percentiles", "field": name, "settings": {"percents": ["50", "95"]}}
