"""A real Prometheus of Debian's package that scrapes one address every second and evaluates deploy/'s own rules."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.servers.process import Server

RULES = Path(__file__).parents[2] / "deploy" / "prometheus" / "rules.yaml"


def prometheus_binary() -> str | None:
    """Where it lies; None where it is not installed."""
    return shutil.which("prometheus")


class Prometheus(Server):
    """Scrapes `target` (host:port)."""

    name = "prometheus"
    ready_s = 30.0

    def __init__(self, target: str) -> None:
        super().__init__()
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(RULES)],
            "scrape_configs": [{"job_name": "sonoscope", "static_configs": [{"targets": [target]}]}],
        }
        (self.folder / "prometheus.yaml").write_text(yaml.safe_dump(config))

    def command(self) -> list[str]:
        binary = prometheus_binary()
        assert binary is not None, "ask prometheus_binary() first"
        files = (f"--config.file={self.folder / 'prometheus.yaml'}", f"--storage.tsdb.path={self.folder / 'data'}")
        return [binary, *files, f"--web.listen-address=127.0.0.1:{self.port}"]

    def ready(self) -> bool:
        return httpx.get(f"{self.url}/-/ready", timeout=2.0).status_code == 200

    def ask(self, expression: str) -> list[dict[str, Any]]:
        """The samples that an expression has now."""
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": expression}, timeout=10)
        answer.raise_for_status()
        return answer.json()["data"]["result"]

    def targets(self) -> list[dict[str, Any]]:
        """What is scraped, with `health` and `lastError`."""
        return httpx.get(f"{self.url}/api/v1/targets", timeout=10).json()["data"]["activeTargets"]
