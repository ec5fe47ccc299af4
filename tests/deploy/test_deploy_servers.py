"""What real servers say to the files below deploy/: the Collector runs its configuration, Elasticsearch takes its template."""

from __future__ import annotations

import json
import os
import time
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from elasticsearch import Elasticsearch as Client

from telemetry.values import rfc3339
from tests.servers.collector import Collector
from tests.servers.elasticsearch import Elasticsearch
from tests.servers.fetch import collector_binary
from tests.servers.process import Server, free_port, wait_for

DEPLOY = Path(__file__).parents[2] / "deploy"
pytestmark = [pytest.mark.server, pytest.mark.timeout(400)]


class Deployed(Server):
    """deploy/'s own Collector configuration, on free ports and with a quick verdict."""

    name = "deployed-collector"
    ready_s = 20.0

    def __init__(self, target: str) -> None:
        super().__init__()
        self._target = target
        self._health = free_port()
        text = (DEPLOY / "collector" / "config.yaml").read_text()
        ports = {"4317": free_port(), "4318": self.port, "13133": self._health}
        for port, free in ports.items():
            text = text.replace(f"${{env:LISTEN}}:{port}", f"${{env:LISTEN}}:{free}")
        (self.folder / "config.yaml").write_text(text.replace("port: 8888", f"port: {free_port()}"))

    def command(self) -> list[str]:
        return [str(collector_binary()), "--config", str(self.folder / "config.yaml")]

    def environment(self) -> dict[str, str]:
        return {**os.environ, "LISTEN": "127.0.0.1", "DECISION_WAIT": "1s", "TEMPO_OTLP": self._target}

    def ready(self) -> bool:
        return httpx.get(f"http://127.0.0.1:{self._health}", timeout=2.0).status_code == 200


def test_the_collector_keeps_every_error_everything_slow_and_a_share(collector: Collector) -> None:
    deployed = Deployed(collector.url)
    deployed.start()
    try:
        kinds = {"error": 20, "slow": 20, "rest": 600}
        for kind, count in kinds.items():
            for _ in range(count):
                _send(deployed.url, kind)
        wait_for(lambda: _kept(collector)["error"] == 20 and _kept(collector)["slow"] == 20, 30, lambda: str(_kept(collector)))
        time.sleep(2)  # what is still to come of the share
        assert 25 <= _kept(collector)["rest"] <= 110  # 60 expected; 4.8 and 6.8 standard deviations
    finally:
        deployed.stop()


def _send(url: str, kind: str) -> None:
    now = time.time_ns()
    span = {"traceId": uuid.uuid4().hex, "spanId": uuid.uuid4().hex[:16], "name": f"sonic_generation/{kind}", "kind": 1}
    span |= {"startTimeUnixNano": str(now), "endTimeUnixNano": str(now + (61 if kind == "slow" else 1) * 10**9)}
    span["status"] = {"code": 2 if kind == "error" else 1}
    body = {"resourceSpans": [{"resource": {}, "scopeSpans": [{"spans": [span]}]}]}
    httpx.post(f"{url}/v1/traces", json=body).raise_for_status()


def _kept(collector: Collector) -> dict[str, int]:
    names = [span["name"].partition("/")[2] for span in collector.spans()]
    return {kind: names.count(kind) for kind in ("error", "slow", "rest")}


def test_the_weight_overlay_keeps_the_pipeline_and_adds_to_it() -> None:
    base, overlay = (yaml.safe_load((DEPLOY / "collector" / name).read_text()) for name in ("config.yaml", "weight.yaml"))
    pipeline, first = overlay["service"]["pipelines"]["traces"], base["service"]["pipelines"]["traces"]
    assert [name for name in pipeline["processors"] if name in first["processors"]] == first["processors"]
    assert set(pipeline["processors"]) == base["processors"].keys() | overlay["processors"].keys()
    share = base["processors"]["tail_sampling"]["policies"][2]["probabilistic"]["sampling_percentage"]
    slow = base["processors"]["tail_sampling"]["policies"][1]["latency"]["threshold_ms"]
    statements = " ".join(overlay["processors"]["transform"]["trace_statements"][0]["statements"])
    assert f"* {100 / share:.1f})" in statements
    assert f'Duration("{slow // 1000}s")' in statements


@pytest.fixture
def logs(elasticsearch: Elasticsearch, index: str) -> Any:
    """A client, and an index that the template of deploy/ has made, with one event of each end."""
    template = json.loads((DEPLOY / "elasticsearch" / "index-template.json").read_text())
    template["template"]["settings"].pop("index.lifecycle.name")  # this server has no lifecycles
    template |= {"index_patterns": [f"{index}-*"], "priority": 300}
    with Client(elasticsearch.url) as client:
        client.indices.put_index_template(name=index, body=template)
        for n, kind in enumerate(("business_output", "request_failed")):
            event = {"@timestamp": rfc3339(time.time_ns()), "event_type": kind, "event_id": str(n), "trace.id": f"{n:032x}"}
            event |= {"latency_s": 1.5, "queue_wait_ms": 2.0, "audio_drift_ms": 50.0, "inference_steps": 25, "rtf": 2.0}
            event |= {"error_type": "internal"} if n else {}
            client.index(index=f"{index}-2026.11.22", document=event, refresh=True)
        yield client, f"{index}-*"
        client.indices.delete_index_template(name=index)


def test_a_real_elasticsearch_answers_every_panel(logs: tuple[Client, str]) -> None:
    client, index = logs
    for path in (DEPLOY / "grafana" / "dashboards").glob("*.json"):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                if target["datasource"]["type"] != "elasticsearch":
                    continue
                answer = client.search(index=index, size=1, query={"query_string": {"query": target["query"]}}, aggs=_aggs(target))
                assert answer["hits"]["total"]["value"] >= 1, panel["title"]


def _aggs(target: dict[str, Any]) -> dict[str, Any]:
    """The aggregations that Grafana makes of a panel."""
    inner: dict[str, Any] = {}
    for metric in target["metrics"]:
        if metric["type"] == "percentiles":
            inner[metric["id"]] = {
                "percentiles": {"field": metric["field"], "percents": [float(p) for p in metric["settings"]["percents"]]}
            }
        elif metric["type"] == "avg":
            inner[metric["id"]] = {"avg": {"field": metric["field"]}}
    for group in reversed(target["bucketAggs"]):
        kind = {"terms": {"field": group["field"], "size": int(group["settings"].get("size", 10))}}
        if group["type"] == "date_histogram":
            kind = {"date_histogram": {"field": group["field"], "fixed_interval": "1h"}}
        inner = {group["id"]: {**kind, **({"aggs": inner} if inner else {})}}
    return inner
