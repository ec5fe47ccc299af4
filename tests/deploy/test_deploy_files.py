"""The files below deploy/ agree with each other and with the table of names. No container is started."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from analytics.filters import parse
from deploy.generate.__main__ import files
from telemetry import fields
from telemetry.shipping.template import body

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
NAMES = fields.BY_NAME.keys() | fields.EVENT_FIELDS.keys()
BOARDS = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))


def test_compose_is_what_its_schema_says() -> None:
    tool = Path(sys.executable).parent / "check-jsonschema"
    done = subprocess.run(
        [tool, "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yaml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_pinned_watched_and_has_no_more_rights_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert re.search(r":v?\d+\.\d+\.\d+$", service["image"])
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged")
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    assert service["healthcheck"]
    assert service["restart"] in ("unless-stopped", "on-failure:5")
    needs = service.get("depends_on", {}).items()
    assert all(other in SERVICES and how["condition"] != "service_started" for other, how in needs)


def test_what_is_mounted_is_there_and_written_to_volumes_only() -> None:
    for service in SERVICES.values():
        for mount in service.get("volumes", ()):
            source, _, rest = mount.rpartition(":ro") if mount.endswith(":ro") else (mount, "", "")
            source = (source or mount).rpartition(":")[0] if not source.startswith("${") else source
            if source.startswith("./"):
                assert (DEPLOY / source).exists(), mount
                assert mount.endswith(":ro")
            elif not source.startswith("${"):
                assert source in COMPOSE["volumes"]
            assert rest == ""


def test_every_variable_is_in_the_example_and_no_password_has_a_value() -> None:
    used = set(re.findall(r"(?<!\$)\$\{(\w+)", (DEPLOY / "compose.yaml").read_text()))
    example = dict(line.split("=", 1) for line in (DEPLOY / ".env.example").read_text().splitlines() if re.match(r"\w+=", line))
    assert used == example.keys() | set()
    assert not any(value for name, value in example.items() if "PASSWORD" in name or "KEY" in name)


def test_addresses_name_services_and_ports_that_exist() -> None:
    texts = [
        path.read_text() for path in DEPLOY.rglob("*") if path.suffix in (".yaml", ".yml", ".sh") and path.name != "rules_test.yaml"
    ]
    listening = {"tempo": {3200, 4318}, "elasticsearch": {9200}, "kibana": {5601}, "prometheus": {9090}, "grafana": {3000}}
    found = {
        pair
        for text in texts
        for pair in re.findall(r"\b(tempo|elasticsearch|kibana|prometheus|grafana|collector):(\d{4,5})\b", text)
    }
    assert found
    for host, port in found:
        assert int(port) in (listening | {"collector": {8888}})[host], (host, port)
        assert host in SERVICES
    for host, ports in listening.items():
        assert {int(port.rsplit(":", 1)[1]) for port in SERVICES[host].get("ports", ())} <= ports


@pytest.mark.parametrize("name", files())
def test_generated_files_are_up_to_date(name: str) -> None:
    assert (DEPLOY / name).read_text("utf-8") == files()[name], "python -m deploy.generate"


def test_the_index_template_is_the_forwarder_s() -> None:
    made = json.loads((DEPLOY / "elasticsearch" / "index-template.json").read_text())
    assert made == json.loads(json.dumps(body("sonoscope-logs", "sonoscope-logs")))
    assert made["template"]["settings"]["index.lifecycle.name"] == "sonoscope-logs"


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_a_dashboard_asks_only_for_what_is_written(path: Path) -> None:
    board = json.loads(path.read_text())
    sources = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/sonoscope.yaml").read_text())["datasources"]
    places = {tuple(panel["gridPos"].values()) for panel in board["panels"]}
    assert len(places) == len(board["panels"]) > 0
    for target in (target for panel in board["panels"] for target in panel["targets"]):
        assert target["datasource"]["uid"] in {source["uid"] for source in sources}
        if target["datasource"]["type"] == "tempo":
            braces, _, rest = target["query"].partition("}")
            parse(braces + "}")  # names and types: a bad one raises
            assert set(re.findall(r"span\.(\w+)", rest)) <= fields.BY_NAME.keys()
            assert "quantile_over_time" not in rest
        else:
            groups = [one["field"] for one in (*target["metrics"], *target["bucketAggs"]) if "field" in one]
            asked = re.findall(r"([\w.@]+) ?:", target["query"].replace("_exists_:", ""))
            exist = re.findall(r"_exists_: ?(\w+)", target["query"])
            assert set(groups) | set(asked) | set(exist) <= NAMES


def test_saved_objects_name_known_fields_and_each_other() -> None:
    objects = [json.loads(line) for line in (DEPLOY / "kibana" / "sonoscope.ndjson").read_text().splitlines()]
    ids = {one["id"] for one in objects}
    assert len(ids) == len(objects)
    assert {one["type"] for one in objects} == {"index-pattern", "search", "visualization", "dashboard"}
    for one in objects:
        assert {reference["id"] for reference in one["references"]} <= ids
        attributes = one["attributes"]
        meta = json.loads(attributes.get("kibanaSavedObjectMeta", {}).get("searchSourceJSON", "{}"))
        asked = re.findall(r"([\w.]+) ?[:<>]", meta.get("query", {}).get("query", ""))
        shown = attributes.get("columns", [])
        grouped = [
            part["params"]["field"]
            for part in json.loads(attributes.get("visState", "{}")).get("aggs", ())
            if "field" in part["params"]
        ]
        assert {*asked, *shown, *grouped} <= NAMES
    pattern = next(one for one in objects if one["type"] == "index-pattern")["attributes"]
    assert [pattern["title"]] == body("sonoscope-logs", None)["index_patterns"]


def test_logs_and_traces_are_linked_both_ways() -> None:
    sources = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/sonoscope.yaml").read_text())["datasources"]
    tempo, elastic, _ = sources
    link = tempo["jsonData"]["tracesToLogsV2"]
    assert link["datasourceUid"] == elastic["uid"]
    # With filterByTraceID alone Grafana writes an AND without a left side, which Lucene refuses.
    assert link["customQuery"]
    assert not link["filterByTraceID"]
    assert link["query"].startswith('trace.id:"')
    assert elastic["jsonData"]["dataLinks"][0]["datasourceUid"] == tempo["uid"]
    assert elastic["jsonData"]["dataLinks"][0]["field"] in NAMES


def test_tempo_takes_late_spans_and_keeps_zeros_wherever_its_blocks_lie() -> None:
    local, s3 = (yaml.safe_load((DEPLOY / "tempo" / name).read_text()) for name in ("tempo.yaml", "tempo-s3.yaml"))
    for config in (local, s3):
        assert config["live_store"]["wal"]["ingestion_time_range_slack"] == "48h"
        assert config["storage"]["trace"]["wal"]["ingestion_time_range_slack"] == "48h"
        assert config["overrides"]["defaults"]["read"]["left_pad_trace_ids"] is True
        assert config["usage_report"]["reporting_enabled"] is False
    assert s3["storage"]["trace"].pop("s3")["secret_key"].startswith("${")
    local["storage"]["trace"].pop("local")
    assert [config["storage"]["trace"].pop("backend") for config in (local, s3)] == ["local", "s3"]
    assert local == s3


def test_logstash_creates_documents_as_the_forwarder_does() -> None:
    text = (DEPLOY / "logstash" / "sonoscope.conf").read_text()
    assert 'action => "create"' in text
    assert 'document_id => "%{event_id}"' in text
    assert 'index => "sonoscope-logs-%{+YYYY.MM.dd}"' in text
    assert "event_id" in fields.EVENT_FIELDS
    removed = text.index('remove_field => ["host"')
    assert removed < text.index("json { source")  # else our own field `host` would go
    assert text.count("{") == text.count("}")


def test_prometheus_rules_pass_their_tests() -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not there (Debian package prometheus)")
    for arguments in (
        ["check", "rules", "rules.yaml"],
        ["check", "config", "--syntax-only", "prometheus.yaml"],
        ["test", "rules", "rules_test.yaml"],
    ):
        done = subprocess.run(["promtool", *arguments], cwd=DEPLOY / "prometheus", capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_rules_watch_only_jobs_that_are_scraped() -> None:
    scraped = {job["job_name"] for job in yaml.safe_load((DEPLOY / "prometheus/prometheus.yaml").read_text())["scrape_configs"]}
    tested = set(re.findall(r'job="(\w+)"', (DEPLOY / "prometheus/rules_test.yaml").read_text()))
    assert tested <= scraped <= SERVICES.keys() | {"sonoscope"}
    groups = yaml.safe_load((DEPLOY / "prometheus/rules.yaml").read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    said = (DEPLOY / "prometheus/rules_test.yaml").read_text()
    assert all(f"alertname: {rule['alert']}" in said for rule in rules)
    assert all(rule["annotations"]["action"] and rule["labels"]["severity"] for rule in rules)
