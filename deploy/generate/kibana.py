"""Kibana's saved objects: a data view, searches for error analysis, charts, and a dashboard of them."""

from __future__ import annotations

import json
from typing import Any

from deploy.generate.elasticsearch import INDEX

VERSION = "8.8.0"
"""Migration level of the objects; newer Kibana migrates them as it imports."""
VIEW = "sonoscope-logs"
_SOURCE = "kibanaSavedObjectMeta.searchSourceJSON.index"
SEARCHES = {
    "errors": ("Errors", "event_type : request_failed", ["error_type", "failed_stage", "error_message", "trace.id"]),
    "drift": (
        "Drift of more than 100 ms at more than 20 steps",
        "event_type : business_output and inference_steps > 20 and audio_drift_ms > 100",
        ["inference_steps", "dynamic_scale", "audio_drift_ms", "sync_confidence", "trace.id"],
    ),
    "slow": ("Slower than their video by ten times", "event_type : business_output and rtf > 10", ["rtf", "latency_s", "trace.id"]),
    "recognition": ("Recognition, all events", "operation : recognize", ["event_type", "source_prefix", "error_type", "trace.id"]),
}


def objects() -> list[dict[str, Any]]:
    """The objects, what others refer to first."""
    failed = "event_type : request_failed"
    charts = [
        _chart(
            "errors-over-time", "Errors over time", "histogram", failed, [_count(), _over_time(), _terms("error_type", 10, "group")]
        ),
        _chart("top-errors", "Top errors", "table", failed, [_count(), _terms("error_type", 20, "bucket")]),
        _chart("errors-by-stage", "Errors by stage", "table", failed, [_count(), _terms("failed_stage", 10, "bucket")]),
        # Folder or manifest of a batch against the hour: which uploads broke, and when.
        _chart("paths-by-hour", "Paths by hour", "heatmap", "source_prefix : *", [_count(), _over_time("h"), _paths()]),
    ]
    searches = [_search(name, *search) for name, search in SEARCHES.items()]
    return [_view(), *searches, *charts, _dashboard([chart["id"] for chart in charts])]


def _object(kind: str, id: str, attributes: dict[str, Any], references: list[dict[str, str]]) -> dict[str, Any]:
    made = {"id": id, "type": kind, "attributes": attributes, "references": references}
    return {**made, "coreMigrationVersion": VERSION, "managed": False}


def _view() -> dict[str, Any]:
    return _object("index-pattern", VIEW, {"title": f"{INDEX}-*", "timeFieldName": "@timestamp", "name": "Sonoscope"}, [])


def _search(name: str, title: str, query: str, columns: list[str]) -> dict[str, Any]:
    attributes = {"title": title, "description": "", "columns": columns, "sort": [["@timestamp", "desc"]], **_meta(query)}
    return _object("search", f"sonoscope-search-{name}", attributes, [_reference()])


def _chart(name: str, title: str, kind: str, query: str, parts: list[dict[str, Any]]) -> dict[str, Any]:
    numbered = [{**part, "id": str(n + 1), "enabled": True} for n, part in enumerate(parts)]
    state = {"title": title, "type": kind, "params": _PARAMS[kind], "aggs": numbered}
    attributes = {"title": title, "visState": json.dumps(state), "uiStateJSON": "{}", "description": "", **_meta(query)}
    return _object("visualization", f"sonoscope-{name}", attributes, [_reference()])


def _dashboard(charts: list[str]) -> dict[str, Any]:
    panels = [
        {
            "type": "visualization", "panelIndex": str(n), "panelRefName": f"panel_{n}", "embeddableConfig": {},
            "gridData": {"x": n % 2 * 24, "y": n // 2 * 15, "w": 24, "h": 15, "i": str(n)},
        }
        for n in range(len(charts))
    ]  # fmt: skip
    references = [{"id": id, "name": f"{n}:panel_{n}", "type": "visualization"} for n, id in enumerate(charts)]
    meta = {"kibanaSavedObjectMeta": {"searchSourceJSON": json.dumps({"query": {"query": "", "language": "kuery"}, "filter": []})}}
    attributes = {"title": "Sonoscope: errors", "panelsJSON": json.dumps(panels), "optionsJSON": "{}", "timeRestore": False, **meta}
    return _object("dashboard", "sonoscope-errors", attributes, references)


def _meta(query: str) -> dict[str, Any]:
    source = {"query": {"query": query, "language": "kuery"}, "filter": [], "indexRefName": _SOURCE}
    return {"kibanaSavedObjectMeta": {"searchSourceJSON": json.dumps(source)}}


def _reference() -> dict[str, str]:
    return {"id": VIEW, "name": _SOURCE, "type": "index-pattern"}


def _count() -> dict[str, Any]:
    return {"type": "count", "schema": "metric", "params": {}}


def _over_time(interval: str = "auto") -> dict[str, Any]:
    params = {"field": "@timestamp", "interval": interval, "min_doc_count": 1, "drop_partials": False, "extended_bounds": {}}
    return {"type": "date_histogram", "schema": "segment", "params": params}


def _terms(name: str, size: int, schema: str) -> dict[str, Any]:
    return {"type": "terms", "schema": schema, "params": {"field": name, "size": size, "order": "desc", "orderBy": "1"}}


def _paths() -> dict[str, Any]:
    return _terms("source_prefix", 25, "group")


_AXES: dict[str, Any] = {
    "categoryAxes": [{"id": "CategoryAxis-1", "type": "category", "position": "bottom", "show": True, "scale": {"type": "linear"}}],
    "valueAxes": [
        {"id": "ValueAxis-1", "name": "LeftAxis-1", "type": "value", "position": "left", "show": True, "scale": {"type": "linear"}}
    ],
    "seriesParams": [
        {
            "show": True, "type": "histogram", "mode": "stacked", "valueAxis": "ValueAxis-1",
            "data": {"label": "Count", "id": "1"}, "drawLinesBetweenPoints": True, "showCircles": True,
        }
    ],
}  # fmt: skip
_PARAMS: dict[str, dict[str, Any]] = {
    "histogram": {"type": "histogram", "addTooltip": True, "addLegend": True, "legendPosition": "right", **_AXES},
    "table": {"perPage": 20, "showPartialRows": False, "showTotal": False, "totalFunc": "sum"},
    "heatmap": {
        "type": "heatmap", "addTooltip": True, "addLegend": True, "legendPosition": "right", "colorSchema": "Greens",
        "colorsNumber": 6, "percentageMode": False,
        "valueAxes": [{"id": "ValueAxis-1", "type": "value", "show": False, "scale": {"type": "linear"}}],
    },
}  # fmt: skip
