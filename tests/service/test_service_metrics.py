"""`/metrics`, as a real Prometheus takes it in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import yaml

from telemetry import fields
from tests.servers.process import wait_for
from tests.servers.prometheus import RULES, Prometheus, prometheus_binary

pytestmark = [pytest.mark.service, pytest.mark.server]


@pytest.fixture(scope="module")
def prometheus(service: Any) -> Iterator[Prometheus]:
    if prometheus_binary() is None:
        pytest.skip("Prometheus is not installed: make packages")
    made = service.generate(min_resolution="128")
    assert made.status_code == 200
    assert service.generate(inference_steps="0").status_code == 422
    server = Prometheus(service.url.removeprefix("http://"))
    server.start()
    wait_for(lambda: bool(server.ask("sonoscope_requests_total")), 60, lambda: str(server.targets()))
    yield server
    server.stop()


def one(prometheus: Prometheus, expression: str) -> float:
    (sample,) = prometheus.ask(expression)
    return float(sample["value"][1])


def test_prometheus_finds_what_ended_what_was_refused_and_how_long_each_stage_took(prometheus: Prometheus) -> None:
    assert one(prometheus, 'sum(sonoscope_requests_total{status="ok"})') >= 1
    assert one(prometheus, 'sonoscope_refused_total{error_type="invalid_parameter"}') >= 1
    stages = {sample["metric"]["stage"] for sample in prometheus.ask("sonoscope_stage_seconds_count > 0")}
    assert stages == set(fields.STAGES)
    assert one(prometheus, "histogram_quantile(0.5, sum by (le) (sonoscope_latency_seconds_bucket))") > 0
    assert prometheus.targets()[0]["health"] == "up"


def test_queue_journal_and_losses_are_gauges(prometheus: Prometheus) -> None:
    assert one(prometheus, "sonoscope_runner_up") == 1
    assert {sample["metric"]["priority"] for sample in prometheus.ask("sonoscope_queue_depth")} == {"low", "normal", "high"}
    assert one(prometheus, "sonoscope_queue_limit") == 100
    assert one(prometheus, "sonoscope_journal_bytes") > 0
    assert one(prometheus, "sum(sonoscope_telemetry_lost)") == 0
    assert one(prometheus, "sonoscope_jobs_in_flight") >= 0


def test_the_rules_of_deploy_are_loaded_and_every_name_of_ours_in_them_is_scraped(service: Any, prometheus: Prometheus) -> None:
    groups = httpx.get(f"{prometheus.url}/api/v1/rules", timeout=10).json()["data"]["groups"]
    assert all(rule["health"] in ("ok", "unknown") for group in groups for rule in group["rules"])
    text = httpx.get(f"{service.url}/metrics", timeout=30).text
    rules = yaml.safe_load(RULES.read_text())["groups"]
    named = {name for group in rules for rule in group["rules"] for name in re.findall(r"sonoscope_\w+", rule["expr"])}
    ours = {name for name in named if "forward" not in name}  # nothing is forwarded here
    assert len(ours) >= 6
    assert all(f"\n{word}" in text for word in ours), [word for word in ours if f"\n{word}" not in text]
